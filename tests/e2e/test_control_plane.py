"""The control plane breaks, in parts and as a whole; what runs on the hosts does not notice."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.kubeapi import Unavailable, name_of, uid_of
from tests.e2e.waiting import eventually, throughout

pytestmark = [pytest.mark.e2e, pytest.mark.docker]

NAMESPACES = "/api/v1/namespaces"
SILENCE_S = 4
"""Twice the time in which a host that is really lost has been replaced."""


def test_a_killed_orchestrator_comes_back_to_an_unchanged_cluster(cluster: Cluster) -> None:
    cluster.deploy("web", 6)
    before = cluster.instances(*cluster.hosts)

    cluster.orchestrator.kill()
    cluster.start_orchestrator()
    cluster.await_nodes(*cluster.hosts)
    cluster.await_ready("web", 6)
    cluster.deploy("later", 3)

    assert before.items() <= cluster.instances(*cluster.hosts).items()
    cluster.await_no_surplus("web", "later")


def test_an_orchestrator_that_was_away_finds_out_which_host_died(cluster: Cluster) -> None:
    dead = cluster.hosts[0]
    cluster.deploy("web", 6)

    cluster.orchestrator.kill()
    cluster.power_off(dead)
    cluster.start_orchestrator()

    cluster.await_ready_off(dead, "web", 6, within_s=30)


def test_without_etcd_reads_are_served_and_writes_are_told_to_retry(cluster: Cluster) -> None:
    cluster.deploy("web", 3)
    before = cluster.instances(*cluster.hosts)

    cluster.etcd.kill()

    assert len(cluster.api.pods("web")) == 3
    with pytest.raises(Unavailable) as refused:
        cluster.api.create(NAMESPACES, _namespace("too-early"))
    assert refused.value.status == 503
    assert int(refused.value.retry_after) > 0
    assert len(cluster.api.pods("web")) == 3, "reads are served after a failed write as before"

    cluster.start_etcd()
    cluster.write(lambda: cluster.api.create(NAMESPACES, _namespace("in-time")))
    cluster.await_ready("web", 3)
    assert cluster.instances(*cluster.hosts) == before


def test_nothing_acknowledged_is_lost_whatever_dies_under_writes(cluster: Cluster) -> None:
    def crash_etcd() -> None:
        cluster.etcd.kill()
        cluster.start_etcd()

    def hang_etcd() -> None:
        cluster.etcd.pause()
        try:
            eventually(lambda: not _accepts(cluster), within_s=20, what="a write is refused")
        finally:
            cluster.etcd.resume()

    def crash_orchestrator() -> None:
        cluster.orchestrator.kill()
        cluster.start_orchestrator()

    with _creating_namespaces(cluster) as acknowledged:
        for break_something in (crash_etcd, hang_etcd, crash_orchestrator):
            _await_more(acknowledged, f"before {break_something.__name__}")
            break_something()
        _await_more(acknowledged, "after all of it")

    kept = {name_of(namespace) for namespace in cluster.api.items(NAMESPACES)}
    assert set(acknowledged) <= kept


def test_without_nats_no_host_is_taken_for_lost(cluster: Cluster) -> None:
    cluster.deploy("web", 6)
    before = cluster.instances(*cluster.hosts)

    cluster.nats.kill()
    eventually(lambda: not _accepts(cluster), within_s=10, what="writes are put off")
    throughout(
        lambda: {uid_of(pod) for pod in cluster.api.pods("web")} == before.keys(),
        for_s=SILENCE_S,
        what="the pods are the same",
    )
    cluster.start_nats()
    cluster.await_nodes(*cluster.hosts)
    cluster.await_ready("web", 6)

    assert cluster.instances(*cluster.hosts) == before


def test_losing_all_that_nats_stored_loses_nothing(cluster: Cluster) -> None:
    cluster.deploy("web", 3)
    before = cluster.instances(*cluster.hosts)

    cluster.nats.kill()
    cluster.wipe_nats()
    cluster.start_nats()
    eventually(lambda: _accepts(cluster), within_s=20, what="a write is taken")
    cluster.await_nodes(*cluster.hosts)
    cluster.deploy("later", 3)

    assert before.items() <= cluster.instances(*cluster.hosts).items()
    cluster.await_no_surplus("web", "later")


def test_a_control_plane_that_died_as_a_whole_comes_back_to_an_unchanged_cluster(
    cluster: Cluster,
) -> None:
    cluster.deploy("web", 6)
    before = cluster.instances(*cluster.hosts)

    for daemon in (cluster.orchestrator, cluster.nats, cluster.etcd):
        daemon.kill()
    cluster.start_etcd()
    cluster.start_nats()
    cluster.start_orchestrator()
    cluster.await_nodes(*cluster.hosts)
    cluster.await_ready("web", 6)

    assert cluster.instances(*cluster.hosts) == before


def test_pods_run_again_on_the_host_whose_docker_was_restarted(cluster: Cluster) -> None:
    host, *others = cluster.hosts
    cluster.deploy("web", 6)
    there = cluster.instances(host).keys()
    untouched = cluster.instances(*others)

    host.stop_docker()  # it ends its containers first
    host.start_docker()

    cluster.await_nodes(*cluster.hosts)
    eventually(
        lambda: cluster.instances(host).keys() == there,
        within_s=30,
        what="the host runs the same pods as before",
    )
    cluster.await_ready("web", 6)
    assert cluster.instances(*others) == untouched


def _namespace(name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _accepts(cluster: Cluster) -> bool:
    """Whether the API takes a write now (a label on a node)."""
    try:
        cluster.api.merge("/api/v1/nodes/h1", {"metadata": {"labels": {"asked": "yes"}}})
    except Unavailable:
        return False
    return True


def _await_more(acknowledged: list[str], when: str) -> None:
    before = len(acknowledged)
    eventually(lambda: len(acknowledged) >= before + 20, within_s=30, what=f"20 more writes {when}")


@contextmanager
def _creating_namespaces(cluster: Cluster) -> Iterator[list[str]]:
    """One namespace after the other; yields the names that the API said it has created."""
    acknowledged: list[str] = []
    is_over = threading.Event()

    def create() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            try:
                cluster.api.create(NAMESPACES, _namespace(f"n{number}"))
            except Unavailable:
                continue  # not acknowledged, so it may be lost
            acknowledged.append(f"n{number}")

    writer = threading.Thread(target=create)
    writer.start()
    try:
        yield acknowledged
    finally:
        is_over.set()
        writer.join()
