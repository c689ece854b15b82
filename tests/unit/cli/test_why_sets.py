"""Why a stateful set, a daemon set or a replication controller is as it is."""

from msgspec.structs import replace

from orchestrator.cli.why import Explanation, Seen, explain
from proto.kinds.replicationcontroller import (
    REPLICATION_CONTROLLERS,
    ReplicationController,
    ReplicationControllerSpec,
)
from tests.unit.core import making


def explained(found, **around: object) -> Explanation:
    return explain(found, Seen(now_ms=making.NOW_MS, nodes=(making.node("n1"),), **around))


def test_a_stateful_set_says_whom_its_pods_wait_for():
    found = making.statefulset(3)
    found = replace(found, status=replace(found.status, observed_generation=1))
    first = making.pod("web-0", owner="s1")
    told = explained(found, stateful_sets=(found,), pods=(first,)).findings
    assert "2 more are to come, one after the other: web-0 is not ready" in [f.what for f in told]
    parallel = making.statefulset(3, parallel=True)
    told = explained(parallel, stateful_sets=(parallel,), pods=(first,)).findings
    assert "WaitsInLine" not in [finding.reason for finding in told]


def test_a_stateful_set_says_why_old_pods_stay():
    for found, reason in (
        (making.statefulset(2, partition=1), "Partition"),
        (making.statefulset(2, on_delete=True), "OnDelete"),
    ):
        rolling = replace(found.status, update_revision="web-2", current_revision="web-1")
        told = explained(replace(found, status=rolling)).findings
        assert reason in [finding.reason for finding in told]
        assert reason not in [finding.reason for finding in explained(found).findings]


def test_a_daemon_set_that_fits_no_node_says_so():
    found = making.daemonset()
    found = replace(found, status=replace(found.status, observed_generation=1))
    assert [finding.reason for finding in explained(found).findings] == ["NoNodes"]
    there = replace(found.status, desired_number_scheduled=2, number_misscheduled=1)
    told = explained(replace(found, status=there))
    assert told.summary == "daemon set web: ready on 0 of 2 nodes, 0 up to date"
    assert [finding.reason for finding in told.findings] == ["Misscheduled"]


def test_a_replication_controller_is_explained_as_a_replica_set_is():
    spec = ReplicationControllerSpec(replicas=2, template=making.template())
    found = REPLICATION_CONTROLLERS.defaults(
        ReplicationController(metadata=making.replicaset().metadata, spec=spec)
    )
    assert explained(found).summary == "replication controller web: 0 of 2 ready"
