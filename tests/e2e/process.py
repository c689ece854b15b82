"""A daemon that a test started, and the log it writes."""

import os
import signal
import subprocess
from pathlib import Path

from tests.e2e.waiting import eventually


class Process:
    """A process in a place.

    What `subprocess` started is either the process itself or, in a host, the `nsenter` that waits
    for it: only a child can be in another pid namespace. nsenter ends as its child ends.

    Attributes:
        was_ended: By the test; a daemon that ends without that has crashed.
    """

    def __init__(self, name: str, argv: list[str], log: Path, *, is_inner: bool) -> None:
        self.name = name
        self.log = log
        self.was_ended = False
        self._is_inner = is_inner
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as sink:
            self._popen = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"},
                start_new_session=True,  # a Ctrl-C meant for the tests ends the tests alone
            )
        self.pid = self._find_pid()

    def _find_pid(self) -> int:
        outer = self._popen.pid
        if not self._is_inner:
            return outer
        children = Path(f"/proc/{outer}/task/{outer}/children")

        def inner() -> int:
            assert self.is_running, f"{self.name} ended at once: {self.tail()}"
            return int((children.read_text().split() or ["0"])[0])

        return eventually(inner, within_s=10, what=f"{self.name} has started")

    @property
    def is_running(self) -> bool:
        return self._popen.poll() is None

    def pause(self) -> None:
        """It hangs: its connections stay open, and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self._popen.pid, signal.SIGCONT)  # nsenter stops itself with its child
        os.kill(self.pid, signal.SIGCONT)

    def reload(self) -> None:
        """SIGHUP: it reads its settings again."""
        os.kill(self.pid, signal.SIGHUP)

    def kill(self) -> None:
        """SIGKILL: it learns nothing of it."""
        self._end(signal.SIGKILL, within_s=10)

    def stop(self, within_s: float = 20) -> int:
        """SIGTERM, and its exit status.

        Raises:
            subprocess.TimeoutExpired: It did not end.
        """
        return self._end(signal.SIGTERM, within_s)

    def _end(self, how: signal.Signals, within_s: float) -> int:
        self.was_ended = True
        if self.is_running:
            try:
                os.kill(self.pid, how)
            except ProcessLookupError:
                pass  # it ended between the two lines
        return self._popen.wait(within_s)

    def reap(self) -> None:
        """Forget it after its host died."""
        self._popen.wait(10)

    def tail(self, lines: int = 20) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
