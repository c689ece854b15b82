"""Real etcd and nats-server processes for tests, from their wheels, in temporary directories."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sysconfig
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from proto.bus import PAYLOAD_BYTES_MAX

START_TIMEOUT_S = 30.0
"""A loaded machine may take seconds to start etcd."""


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def binary(name: str) -> str:
    """Where an executable of this Python environment is, or else the system's."""
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    assert found, f"{name} is not installed: pip install -e '.[dev]'"
    return found


def _is_frozen(pid: int) -> bool:
    """Whether every thread has stopped: on a busy machine that takes a moment."""
    stats = Path(f"/proc/{pid}/task").glob("*/stat")
    return all(stat.read_text().rpartition(") ")[2][0] in "TZ" for stat in stats)


class Server:
    """A server process that can be killed and started again on the same port and data.

    Attributes:
        url: How clients reach it.
        directory: Its data and its log.
    """

    def __init__(
        self, argv: list[str], url: str, directory: str, *, greeting: bytes, answer: bytes
    ) -> None:
        self.url = url
        self.port = int(url.rpartition(":")[2])
        self.directory = Path(directory)
        self._name = Path(argv[0]).name
        self._greeting = greeting
        self._answer = answer
        self._argv = argv
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until it serves."""
        with (self.directory / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._argv, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while not await self._answers():
                    assert self._process.returncode is None, f"{self._name} ended: {self.log()}"
                    await asyncio.sleep(0.02)
        except TimeoutError:
            await self.kill()
            raise AssertionError(f"{self._name} did not start: {self.log()}") from None

    async def _answers(self) -> bool:
        """Whether its first line promises service; etcd accepts connections long before that."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(self._greeting)
                return self._answer in await reader.readline()
            finally:
                writer.close()
                await writer.wait_closed()
        except OSError:
            return False

    def log(self) -> str:
        """The end of what it printed."""
        return (self.directory / "log").read_text(errors="replace")[-2000:]

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal: SIGSTOP freezes it (before this returns), SIGCONT thaws it."""
        assert self._process is not None
        os.kill(self._process.pid, number)
        while number is signal.SIGSTOP and not _is_frozen(self._process.pid):
            time.sleep(0.001)

    async def kill(self) -> None:
        """End it as a power loss would, data kept; no error if it has ended."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        if self._process is not None:
            await self._process.wait()

    async def stop(self) -> None:
        """End it as an operator would."""
        assert self._process is not None
        self._process.terminate()
        await self._process.wait()

    async def restart(self) -> None:
        """Kill it and start it again."""
        await self.kill()
        await self.start()


@contextlib.asynccontextmanager
async def etcd(*args: str) -> AsyncIterator[Server]:
    """One etcd member, with more arguments if wanted."""
    with tempfile.TemporaryDirectory(prefix="longshore-etcd-") as directory:
        url, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        argv = [binary("etcd"), "--name=test", f"--data-dir={directory}/data"]
        argv += [f"--listen-client-urls={url}", f"--advertise-client-urls={url}"]
        argv += [f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"]
        argv += [f"--initial-cluster=test={peer}", "--unsafe-no-fsync", "--log-level=warn"]
        argv += ["--backend-batch-interval=1h", *args]  # why: see orchestrator.cli.servers
        health = b"GET /health HTTP/1.0\r\n\r\n"
        async with _running(
            Server(argv, url, directory, greeting=health, answer=b" 200 ")
        ) as server:
            yield server


@contextlib.asynccontextmanager
async def nats(*, has_jetstream: bool = True) -> AsyncIterator[Server]:
    """One nats-server, configured as `longshore up` does."""
    with tempfile.TemporaryDirectory(prefix="longshore-nats-") as directory:
        port = free_port()
        lines = [f"listen: 127.0.0.1:{port}", f"max_payload: {PAYLOAD_BYTES_MAX}"]
        if has_jetstream:
            store = (
                f'store_dir: "{directory}/jetstream", max_file_store: 1GB, sync_interval: always'
            )
            lines.append(f"jetstream {{ {store} }}")
        config = Path(directory) / "nats.conf"
        config.write_text("\n".join(lines))
        argv = [binary("nats-server"), "--config", str(config)]
        url = f"nats://127.0.0.1:{port}"
        async with _running(Server(argv, url, directory, greeting=b"", answer=b"INFO ")) as server:
            yield server


@contextlib.asynccontextmanager
async def _running(server: Server) -> AsyncIterator[Server]:
    await server.start()
    try:
        yield server
    finally:
        await server.kill()
