"""A shell at which a scene is played: bash with kubectl, a home and a namespace."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class Printed(NamedTuple):
    """What came of a command: its exit code, and both its outputs in the order they came."""

    code: int
    text: str


class Shell:
    """A bash that keeps its variables and its background jobs from command to command."""

    def __init__(self, home: Path, env: Mapping[str, str]) -> None:
        self._scratch = home / ".commands"
        self._scratch.mkdir()
        self._count = 0
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=home,
            env=dict(env),
            start_new_session=True,  # so that background jobs end with it
        )

    def run(self, command: str, timeout_s: float) -> Printed:
        """Run it and wait for its end, not for that of what it left in the background.

        Raises:
            AssertionError: It took longer, or ended the shell.
        """
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._count += 1
        script, output = (self._scratch / f"{self._count}.{name}" for name in ("sh", "out"))
        script.write_text(command + "\n")
        line = f". '{script}' </dev/null >'{output}' 2>&1; echo $?\n"
        self._bash.stdin.write(line.encode())
        self._bash.stdin.flush()
        ready, _, _ = select.select([self._bash.stdout], [], [], timeout_s)
        code = self._bash.stdout.readline().strip() if ready else b""
        text = output.read_text(errors="replace") if output.exists() else ""
        assert code, f"no end after {timeout_s} s, having printed:\n{text}"
        return Printed(int(code), text)

    def close(self) -> None:
        """End it and everything it started."""
        os.killpg(self._bash.pid, signal.SIGKILL)
        self._bash.communicate()


@contextmanager
def at_shell(home: Path, kubectl: Path, env: Mapping[str, str]) -> Iterator[Shell]:
    """A shell in a home, with that binary as its kubectl, and this Python."""
    (home / "bin").mkdir()
    (home / "bin" / "kubectl").symlink_to(kubectl)
    python = home / "bin" / "python"  # ours, with the libraries that it has
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    fixed = {"HOME": str(home), "LANG": "C.UTF-8", "TERM": "dumb"}
    shell = Shell(home, {**fixed, "PATH": f"{home / 'bin'}:{os.environ['PATH']}", **env})
    try:
        yield shell
    finally:
        shell.close()
