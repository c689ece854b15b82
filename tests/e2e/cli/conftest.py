"""One cluster for all tests of the command line, and the command line."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.kubectl.cluster import ENGINE, up

LONGSHORE = str(Path(sys.executable).parent / "longshore")
IMAGE = f"longshore-test-cli-{uuid.uuid4().hex[:6]}:1"
PATIENCE_S = 60


class Answer(NamedTuple):
    """What a command printed."""

    code: int
    out: str
    err: str


class Longshore:
    """`longshore`, for a user who has a kubeconfig of that cluster and nothing else."""

    def __init__(self, kubeconfig: Path, home: Path, namespace: str = "") -> None:
        self.image = IMAGE
        self._env = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(kubeconfig)}
        self._where = ["-n", namespace] if namespace else []
        self.namespace = namespace

    def within(self, namespace: str) -> "Longshore":
        """The same, in a namespace."""
        return Longshore(Path(self._env["KUBECONFIG"]), Path(self._env["HOME"]), namespace)

    def command(self, *arguments: str, **env: str) -> tuple[list[str], dict[str, str]]:
        """What to run it with."""
        return [LONGSHORE, *self._where, *arguments], {**self._env, **env}

    def run(self, *arguments: str, given: str = "", **env: str) -> Answer:
        """Run it, whatever comes of it."""
        argv, environment = self.command(*arguments, **env)
        done = subprocess.run(
            argv,
            input=given,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            env=environment,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Answer(done.returncode, done.stdout, done.stderr)

    def __call__(self, *arguments: str, given: str = "", **env: str) -> str:
        """What a command prints that must succeed."""
        answer = self.run(*arguments, given=given, **env)
        assert answer.code == 0, (arguments, answer)
        return answer.out

    def fails(self, *arguments: str, given: str = "", code: int = 1, **env: str) -> str:
        """What a command complains of that must fail."""
        answer = self.run(*arguments, given=given, **env)
        assert answer.code == code, (arguments, answer)
        return answer.err

    def together(self, *commands: str) -> list[str]:
        """What commands print that change nothing and must succeed: run at the same time."""
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda command: self(*command.split()), commands))

    @contextmanager
    def beside(self, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
        """Run it beside the test; killed with the context."""
        argv, env = self.command(*arguments)
        with subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
        ) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture(scope="package")
def cluster(tmp_path_factory) -> Iterator[Longshore]:
    """Two nodes, and a user."""
    if not ENGINE.answers() and os.environ.get("LONGSHORE_REQUIRE_E2E") != "1":
        pytest.skip("no Docker engine answers at /var/run/docker.sock")
    folder = tmp_path_factory.mktemp("cli")
    with up(folder, IMAGE, nodes=2) as found:
        yield Longshore(found.data / "kubeconfig", folder)


@pytest.fixture(scope="module")
def longshore(cluster) -> Iterator[Longshore]:
    """In a namespace of the module's own, deleted with everything in it."""
    name = f"n{uuid.uuid4().hex[:6]}"
    assert cluster("create", "namespace", name) == f"namespace/{name} created\n"
    yield cluster.within(name)
    assert f'namespace "{name}" deleted' in cluster("delete", "ns", name)
