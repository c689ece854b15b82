"""Daemons as child processes: started, restarted with a back-off when they die, stopped in order.

A `Daemon` runs for as long as its task does: cancelling the task ends the process. `running` ties
that to a block, so that nesting blocks gives the order: what starts last stops first.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from orchestrator.cli.refused import Refused

RESTART_DELAY_S_MIN = 0.2
RESTART_DELAY_S_MAX = 10.0
SETTLED_S = 30.0
"""A daemon that ran for this long starts again with the shortest delay."""

ATTEMPTS_MAX = 5
"""Quick deaths in a row before a daemon that never worked is given up."""

STOP_GRACE_S = 10.0
"""Between SIGTERM and SIGKILL. The daemons take well under a second."""

Say = Callable[[str], None]


def restart_delay_s(quick_deaths: int) -> float:
    """How long to wait before the next start.

    >>> [restart_delay_s(deaths) for deaths in (1, 2, 3, 9)]
    [0.2, 0.4, 0.8, 10.0]
    """
    return min(RESTART_DELAY_S_MAX, RESTART_DELAY_S_MIN * 2.0 ** (quick_deaths - 1))


class Daemon:
    """One child process, in a process group of its own (a Ctrl-C at the terminal is ours alone).

    Attributes:
        is_proven: It has worked: from now on it is restarted for as long as it takes.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        pid_file: Path,
        say: Say,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.is_proven = False
        self._argv = (*_dies_with_us(), *argv)
        self._log = log
        self._pid_file = pid_file
        self._say = say
        self._env = {**os.environ, **(env or {})}
        self._process: Process | None = None
        self._is_down = asyncio.Event()
        self._is_down.set()
        self._may_run = asyncio.Event()
        self._may_run.set()

    async def run(self) -> None:
        """Keep it running until cancelled, then end it.

        Raises:
            Refused: It never worked; the text ends with the last lines of its log.
        """
        clock = asyncio.get_running_loop().time
        quick_deaths = 0
        while True:
            await self._may_run.wait()
            began_s = clock()
            code = await self._live()
            if not self._may_run.is_set():
                continue
            quick_deaths = 1 if clock() - began_s > SETTLED_S else quick_deaths + 1
            if quick_deaths >= ATTEMPTS_MAX and not self.is_proven:
                raise Refused(f"{self.name} does not start ({_how(code)}):\n{self.log_tail()}")
            delay_s = restart_delay_s(quick_deaths)
            self._say(f"{self.name} died ({_how(code)}): again in {delay_s:g} s; see {self._log}")
            await asyncio.sleep(delay_s)

    async def kill(self) -> None:
        """End it at once (SIGKILL) and for good: until `revive`."""
        self._may_run.clear()
        self.kill_now()
        await self._is_down.wait()

    def kill_now(self) -> None:
        """SIGKILL it, if it runs."""
        if self._process is not None:
            _signal(self._process, signal.SIGKILL)

    def revive(self) -> None:
        """Let a killed one run again."""
        self._may_run.set()

    def log_tail(self, lines: int = 8) -> str:
        """The end of what it wrote, indented."""
        with contextlib.suppress(FileNotFoundError):
            text = self._log.read_text(encoding="utf-8", errors="replace")
            return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])
        return ""

    async def _live(self) -> int:
        """One life of the process; returns its exit code (negative: the signal)."""
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=DEVNULL,
                stdout=log,
                stderr=STDOUT,
                env=self._env,
                start_new_session=True,
            )
        self._process = process
        self._is_down.clear()
        self._pid_file.write_text(f"{process.pid}\n", encoding="utf-8")
        try:
            if not self._may_run.is_set():  # killed while it was starting
                _signal(process, signal.SIGKILL)
            return await process.wait()
        finally:
            await _end(process)
            self._pid_file.unlink(missing_ok=True)
            self._process = None
            self._is_down.set()


async def _end(process: Process) -> None:
    """Ask it to stop; insist after the grace, or at once when we are hurried (a second Ctrl-C)."""
    if process.returncode is not None:
        return
    _signal(process, signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_GRACE_S):
            await process.wait()
    except TimeoutError:
        pass
    finally:
        _signal(process, signal.SIGKILL)
    await process.wait()


def _signal(process: Process, number: signal.Signals) -> None:
    """To its whole group, unless it has ended: its id may be somebody else's by now."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def _dies_with_us() -> tuple[str, ...]:
    """Has the kernel stop a child whose parent was killed, so that none is left behind."""
    setpriv = shutil.which("setpriv")  # of util-linux, so nearly everywhere
    return (setpriv, "--pdeathsig", "TERM", "--") if setpriv else ()


@contextlib.asynccontextmanager
async def running(*daemons: Daemon) -> AsyncIterator[None]:
    """The daemons run inside the block, and have ended after it.

    Raises:
        ExceptionGroup: Of `Refused`, when one of them never worked; the block is cancelled.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(daemon.run(), name=daemon.name) for daemon in daemons]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


def script(name: str) -> str:
    """A console script of the environment that we run in."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise Refused(f"{path} is missing: install Longshore again (pip install longshore)")
    return str(path)
