"""What the agent needs of its host besides the engine: to remember, to knock, to look at itself.

The first two are Protocols with a real and a fake implementation, so that a simulation can run the
agent; looking is reading files, in whatever folder.
"""

import asyncio
import os
import time
from pathlib import Path
from typing import Protocol

from node_agent.core.resolving import Resolver, parse
from node_agent.core.usage import Sample

PROBE_TIMEOUT_S = 0.25
"""A host on the same network answers a connection attempt, yes or no, in a millisecond."""

PROBE_PORT = 9
"""The discard service: any port will do, since a refusal is an answer."""


class Disk(Protocol):
    """One small file that survives a crash whole: as it was, or as it is."""

    async def load(self) -> bytes | None:
        """What was saved last; None when nothing was."""
        ...

    async def save(self, content: bytes) -> None:
        """Replace it; safe from power loss when this returns.

        Raises:
            OSError: It could not be written; the old content is still there.
        """
        ...


class FileDisk:
    """The real one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def load(self) -> bytes | None:
        """See `Disk`."""
        return await asyncio.to_thread(self._load)

    async def save(self, content: bytes) -> None:
        """See `Disk`."""
        await asyncio.to_thread(self._save, content)

    def _load(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None

    def _save(self, content: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name itself
        finally:
            os.close(folder)


class MemoryDisk:
    """The fake: outlives the agent, not the process."""

    def __init__(self) -> None:
        self.content: bytes | None = None

    async def load(self) -> bytes | None:
        """See `Disk`."""
        return self.content

    async def save(self, content: bytes) -> None:
        """See `Disk`."""
        self.content = content


class Prober(Protocol):
    """Tells a dead host from a dead agent."""

    async def is_reachable(self, address: str) -> bool:
        """Whether the host's kernel answers at ``ip`` or ``ip:port``."""
        ...


class TcpProber:
    """The real one: a refused connection proves a host as alive as an accepted one."""

    async def is_reachable(self, address: str) -> bool:
        """See `Prober`."""
        host, _, port = address.rpartition(":") if ":" in address else (address, "", "")
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                _, writer = await asyncio.open_connection(host, int(port or PROBE_PORT))
        except (ConnectionRefusedError, ConnectionResetError):
            return True
        except (OSError, ValueError):  # TimeoutError is an OSError
            return False
        writer.close()
        return True


def resolver(path: Path) -> Resolver:
    """The host's own, from its resolv.conf; one that says nothing when that cannot be read."""
    try:
        return parse(path.read_text())
    except (OSError, ValueError):
        return Resolver()


class Machine:
    """What the whole machine uses, as its kernel counts; an agent in a container sees it, too.

    Source: the kernel's filesystems/proc. The CPU's time is what it did not idle or wait for a disk
    or another guest of its host; memory is what a new program could not be given.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc

    async def usage(self) -> Sample | None:
        """One look; None where the kernel does not tell."""
        return await asyncio.to_thread(self._usage)

    def _usage(self) -> Sample | None:
        try:
            times = (self._proc / "stat").read_text().partition("\n")[0].split()
            user, nice, system, _idle, _wait, irq, softirq = map(int, times[1:8])
            memory = (self._proc / "meminfo").read_text()
            kib = {line.split(":")[0]: line.split()[1] for line in memory.splitlines()}
            in_use_kib = int(kib["MemTotal"]) - int(kib["MemAvailable"])
        except (OSError, ValueError, KeyError):
            return None
        ticks = user + nice + system + irq + softirq
        ns_per_tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
        return Sample(time.time_ns(), ticks * ns_per_tick, in_use_kib * 1024)
