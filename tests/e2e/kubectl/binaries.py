"""The kubectl binaries of this machine, and how to run one."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple


def found() -> list[Path]:
    """Every kubectl: plain, and ``kubectl.1.32`` and so on beside it or on the path."""
    folders = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep) if folder]
    plain = shutil.which("kubectl")
    if plain is not None:
        folders.append(Path(plain).resolve().parent)
    pinned = {path.name: path for folder in folders for path in sorted(folder.glob("kubectl.1.*"))}
    if pinned or plain is None:
        return [pinned[name] for name in sorted(pinned)]
    return [Path(plain)]


def usual() -> Path:
    """The one for tests that need just one: 1.32 where there is one, as the API speaks its protocol."""
    return ([path for path in found() if path.name.endswith("1.32")] or found())[-1]


def varied() -> list[Path]:
    """The oldest, the usual and the newest: between them, all ways to ask that we know of."""
    return sorted({found()[0], usual(), found()[-1]}) if found() else []


class Answer(NamedTuple):
    """What a command printed."""

    code: int
    out: str
    err: str


class Kubectl:
    """One binary that talks to one server."""

    def __init__(self, binary: Path, server: str, folder: Path) -> None:
        self._argv = [str(binary), "--server", server, "--cache-dir", str(folder / binary.name)]
        # No kubeconfig of the user's, and no question to a terminal.
        self._env = {"PATH": os.environ["PATH"], "HOME": str(folder), "KUBECONFIG": "/dev/null"}

    def run(self, *arguments: str, given: str = "", timeout_s: float = 60) -> Answer:
        """Run it, whatever comes of it."""
        done = subprocess.run(
            [*self._argv, *arguments],
            input=given,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=self._env,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def __call__(self, *arguments: str, given: str = "") -> str:
        """What a command prints that must succeed."""
        answer = self.run(*arguments, given=given)
        assert answer.code == 0, (arguments, answer)
        return answer.out

    def fails(self, *arguments: str, given: str = "") -> str:
        """What a command complains of that must fail."""
        answer = self.run(*arguments, given=given)
        assert answer.code != 0, (arguments, answer)
        return answer.err

    def command(self, *arguments: str) -> tuple[list[str], dict[str, str]]:
        """What to run it with: its arguments and its environment."""
        return [*self._argv, *arguments], self._env

    @contextmanager
    def beside(
        self, *arguments: str, stdin: int | BinaryIO = subprocess.DEVNULL
    ) -> Iterator["subprocess.Popen[bytes]"]:
        """Run it beside the test, for bytes; killed with the context."""
        with subprocess.Popen(
            [*self._argv, *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._env,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Run it beside the test."""
        return subprocess.Popen(
            [*self._argv, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._env,
        )
