"""What the agent needs of its host besides the engine: to remember, to knock, to look at itself.

The first two are Protocols with a real and a fake implementation, so that a simulation can run the
agent; looking is reading files, in whatever folder.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from node_agent.core.image_gc import Space
from node_agent.core.pressure import Level
from node_agent.core.resolving import Resolver, parse
from node_agent.core.usage import Sample

PROBE_TIMEOUT_S = 0.25
"""A host on the same network answers a connection attempt, yes or no, in a millisecond."""

PROBE_PORT = 9
"""The discard service: any port will do, since a refusal is an answer."""


class Clock:
    """Two times, both in epoch milliseconds."""

    def __init__(
        self, wall_ns: Callable[[], int] = time.time_ns, steady_ns: Callable[[], int] | None = None
    ) -> None:
        """Both agree now.

        Args:
            wall_ns: What people and Docker read; somebody may set it, forward or back.
            steady_ns: Only ever passes, also while the host sleeps; from any start.
        """
        self._wall_ns = wall_ns
        self._steady_ns = steady_ns or _boot_time_ns
        self._began_ns = wall_ns() - self._steady_ns()

    def wall_ms(self) -> int:
        """What to tell others."""
        return self._wall_ns() // 1_000_000

    def steady_ms(self) -> int:
        """What to count back-offs, graces and deadlines by."""
        return (self._began_ns + self._steady_ns()) // 1_000_000

    def steadied(self, wall_ms: int) -> int:
        """A moment of the past that somebody else read off the wall, as this clock counts."""
        now_ms = self.steady_ms()
        return min(now_ms, wall_ms + now_ms - self.wall_ms())


def _boot_time_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


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

    async def levels(self, node_path: str, image_path: str) -> dict[str, Level]:
        """What there is left, by what `pressure` calls it; what cannot be seen is left out.

        Args:
            node_path: On the file system of the agent's own folders.
            image_path: On that of the engine's images and containers.
        """
        return await asyncio.to_thread(self._levels, node_path, image_path)

    def _levels(self, node_path: str, image_path: str) -> dict[str, Level]:
        found: dict[str, Level] = {}
        try:
            kib = self._memory_kib()
            found["memory.available"] = Level(kib["MemAvailable"] << 10, kib["MemTotal"] << 10)
            limits = (self._proc / "sys/kernel" / name for name in ("pid_max", "threads-max"))
            most = min(int(path.read_text()) for path in limits)
            running = (self._proc / "loadavg").read_text().split()[3]  # as 3/512
            found["pid.available"] = Level(most - int(running.partition("/")[2]), most)
        except (OSError, ValueError, KeyError, IndexError):
            pass  # the kernel does not tell
        for name, path in (("nodefs", node_path), ("imagefs", image_path)):
            space = _space(path) if path else None
            if space is not None:
                available = Level(space.available_bytes, space.capacity_bytes)
                found[f"{name}.available"] = available
                found[f"{name}.inodesFree"] = Level(space.inodes_free, space.inodes)
        return found

    async def bytes_in(self, folder: str) -> int:
        """What files in a folder take of its disk; what cannot be seen counts for nothing."""
        return await asyncio.to_thread(_bytes_in, folder)

    async def space(self, path: str) -> Space | None:
        """Of the file system that a path is on; None where that cannot be seen."""
        return await asyncio.to_thread(_space, path)

    def _usage(self) -> Sample | None:
        try:
            times = (self._proc / "stat").read_text().partition("\n")[0].split()
            user, nice, system, _idle, _wait, irq, softirq = map(int, times[1:8])
            kib = self._memory_kib()
            in_use_kib = kib["MemTotal"] - kib["MemAvailable"]
        except (OSError, ValueError, KeyError):
            return None
        ticks = user + nice + system + irq + softirq
        ns_per_tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
        return Sample(time.time_ns(), ticks * ns_per_tick, in_use_kib * 1024)

    def _memory_kib(self) -> dict[str, int]:
        lines = (self._proc / "meminfo").read_text().splitlines()
        return {line.split(":")[0]: int(line.split()[1]) for line in lines}


def _bytes_in(folder: str) -> int:
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # gone meanwhile
                total += os.lstat(os.path.join(path, name)).st_blocks * 512  # noqa: PTH118
    return total


def _space(path: str) -> Space | None:
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    size = found.f_frsize
    return Space(found.f_blocks * size, found.f_bavail * size, found.f_files, found.f_favail)
