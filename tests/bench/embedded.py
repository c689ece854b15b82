"""`longshore up` on one host's Docker, for measuring."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.engine import Engine
from tests.e2e.kubeapi import KubeApi
from tests.e2e.testbed import Testbed
from tests.e2e.waiting import eventually

API_PORT = 16444


def data_of(testbed: Testbed) -> Path:
    """The cluster's folder."""
    return testbed.root.directory / "embedded"


@contextmanager
def embedded(testbed: Testbed, engine: Engine) -> Iterator[KubeApi]:
    """A cluster of one node that is ready this moment."""
    data = data_of(testbed)
    up = testbed.root.spawn(
        "longshore-up",
        *("env", f"DOCKER_HOST=unix://{engine.socket_path}"),
        str(Path(sys.executable).parent / "longshore"),
        *("up", "--nodes=1", f"--data={data}", f"--port={API_PORT}"),
    )
    try:

        def is_ready() -> bool:
            assert up.is_running, up.tail()
            return (data / "ready").exists()

        eventually(is_ready, within_s=60, what="longshore up is ready")
        yield KubeApi(f"http://127.0.0.1:{API_PORT}")
    finally:
        up.stop()
