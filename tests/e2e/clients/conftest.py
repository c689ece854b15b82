"""One cluster of two nodes for all clients, and a namespace of its own for each test."""

import gc
import os
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.kubeapi import KubeApi
from tests.e2e.kubectl.cluster import ENGINE, up


class Cluster(NamedTuple):
    """What a client is told of it.

    Attributes:
        image: BusyBox.
    """

    server: str
    kubeconfig: Path
    image: str


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """`longshore up` on this machine's engine."""
    if not ENGINE.answers() and os.environ.get("LONGSHORE_REQUIRE_E2E") != "1":
        pytest.skip("no Docker engine answers at /var/run/docker.sock")
    image = f"longshore-test-clients-{uuid.uuid4().hex[:6]}:1"
    with up(tmp_path_factory.mktemp("cluster"), image, nodes=2) as found:
        yield Cluster(found.server, found.data / "kubeconfig", image)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """Its name; whatever a test leaves in it goes with it."""
    api, name = KubeApi(cluster.server), f"t-{uuid.uuid4().hex[:8]}"
    api.create("/api/v1/namespaces", {"kind": "Namespace", "metadata": {"name": name}})
    yield name
    api.call("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture(autouse=True)
def forgotten_sockets() -> Iterator[None]:
    """These clients leave sockets that have ended to the garbage collector: here, not in others' tests."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
