"""What a ReplicaSet asks for, as text."""

from msgspec.structs import replace

from orchestrator.core import replicaset as core
from orchestrator.core.decisions import Create, Update, UpdateStatus, render
from orchestrator.core.replicaset import BURST, least_useful_first
from proto.kinds.replicaset import REPLICASETS
from proto.kinds.replicationcontroller import (
    REPLICATION_CONTROLLERS,
    ReplicationController,
    ReplicationControllerSpec,
)
from tests.unit.core.making import NOW_MS, pod, replicaset


def plan(rs, pods, now_ms):
    return core.plan(REPLICASETS, rs, pods, now_ms)


def status_of(found):
    (written,) = (d.object.status for d in found.decisions if isinstance(d, UpdateStatus))
    return written


def ready(name, **kwargs):
    return pod(name, owner="rs1", node=kwargs.pop("node", "n1"), ready_since_ms=NOW_MS, **kwargs)


def test_missing_pods_are_created_from_the_template():
    rs = replicaset(2)
    found = plan(rs, [ready("web-a")], NOW_MS)
    assert render(found.decisions) == (
        "create pod web-*: 1 of 2 are missing\nupdate status of replicaset web: 1 pods, 1 ready"
    )
    (created,) = (d for d in found.decisions if isinstance(d, Create))
    assert created.object.metadata.labels == rs.spec.template.metadata.labels
    assert created.object.spec == rs.spec.template.spec
    assert created.object.metadata.controller.uid == "rs1"
    assert (created.announce.reason, created.announce.message) == (
        "SuccessfulCreate",
        "Created pod: {name}",
    )


def test_surplus_pods_are_deleted_the_newest_first():
    pods = [ready("web-a"), ready("web-b", created_ms=NOW_MS + 5000)]
    assert render(plan(replicaset(1), pods, NOW_MS).decisions) == (
        "delete pod web-b: 1 more than the 1 asked for\n"
        "Normal SuccessfulDelete on replicaset web: Deleted pod: web-b\n"
        "update status of replicaset web: 2 pods, 2 ready"
    )


def test_the_least_useful_pods_go_first():
    pods = [
        ready("alone", node="n2"),
        ready("together-old"),
        ready("together-new", created_ms=NOW_MS + 1000),
        ready("together-restarted", restarts=3),
        pod("starting", owner="rs1", node="n3", phase="Running"),
        pod("pending", owner="rs1", node="n3", phase="Pending"),
        pod("unassigned", owner="rs1"),
    ]
    names = [found.metadata.name for found in least_useful_first(pods, 0, NOW_MS)]
    assert names == [
        "unassigned",
        "pending",
        "starting",
        "together-restarted",
        "together-new",
        "together-old",
        "alone",
    ]


def test_a_pod_that_became_ready_lately_goes_before_one_that_has_been_for_long():
    pods = [
        pod("long", owner="rs1", node="n1", ready_since_ms=NOW_MS - 60_000),
        pod("lately", owner="rs1", node="n1", ready_since_ms=NOW_MS),
    ]
    assert least_useful_first(pods, 0, NOW_MS)[0].metadata.name == "lately"


def test_pods_that_ended_or_are_going_do_not_count():
    pods = [
        ready("web-a"),
        ready("web-b", deleting=True),
        pod("web-c", owner="rs1", node="n1", phase="Failed"),
        pod("web-d", owner="rs1", node="n1", phase="Succeeded"),
    ]
    assert render(plan(replicaset(2), pods, NOW_MS).decisions).startswith(
        "create pod web-*: 1 of 2 are missing"
    )


def test_orphans_that_match_are_adopted_before_anything_is_created():
    found = plan(replicaset(3), [pod("stray"), pod("other", labels={"app": "db"})], NOW_MS)
    assert render(found.decisions).splitlines()[:-1] == ["update pod stray: an orphan matches"]
    (adopted,) = (d.object for d in found.decisions if isinstance(d, Update))
    assert adopted.metadata.controller.uid == "rs1"


def test_pods_whose_labels_match_no_more_are_released():
    found = plan(replicaset(1), [ready("web-a", labels={"app": "debug"})], NOW_MS)
    assert render(found.decisions).splitlines()[:-1] == [
        "update pod web-a: its labels match no more"
    ]
    (released,) = (d.object for d in found.decisions if isinstance(d, Update))
    assert released.metadata.owner_references == ()


def test_pods_of_another_owner_or_namespace_are_none_of_its_business():
    elsewhere = pod("elsewhere")
    elsewhere = replace(elsewhere, metadata=replace(elsewhere.metadata, namespace="other"))
    found = plan(replicaset(0), [pod("theirs", owner="rs2"), elsewhere], NOW_MS)
    assert render(found.decisions) == "update status of replicaset web: 0 pods, 0 ready"


def test_no_more_than_a_burst_is_created_or_deleted_in_one_pass():
    created = plan(replicaset(BURST + 9), [], NOW_MS).decisions
    assert sum(isinstance(decision, Create) for decision in created) == BURST
    pods = [ready(f"web-{number}") for number in range(BURST + 9)]
    deleted = render(plan(replicaset(0), pods, NOW_MS).decisions)
    assert deleted.count("delete pod") == BURST


def test_a_ready_pod_becomes_available_after_its_seconds_and_not_before():
    rs = replicaset(1, min_ready_seconds=10)
    pods = [pod("web-a", owner="rs1", node="n1", ready_since_ms=NOW_MS)]
    before = plan(rs, pods, NOW_MS + 9_999)
    assert (status_of(before).ready_replicas, status_of(before).available_replicas) == (1, 0)
    assert before.wake_at_ms == NOW_MS + 10_000
    after = plan(rs, pods, before.wake_at_ms)
    assert status_of(after).available_replicas == 1
    assert after.wake_at_ms is None


def test_one_that_is_being_deleted_only_tells():
    rs = replicaset(3)
    rs = replace(
        rs, metadata=replace(rs.metadata, deletion_timestamp=rs.metadata.creation_timestamp)
    )
    assert (
        render(plan(rs, [], NOW_MS).decisions) == "update status of replicaset web: 0 pods, 0 ready"
    )


def test_ready_pods_go_before_available_ones_and_after_the_others():
    pods = [
        pod("available", owner="rs1", node="n1", ready_since_ms=NOW_MS - 60_000),
        pod("ready", owner="rs1", node="n2", ready_since_ms=NOW_MS),
        pod("starting", owner="rs1", node="n3", phase="Running", created_ms=NOW_MS - 60_000),
    ]
    names = [found.metadata.name for found in least_useful_first(pods, 30, NOW_MS)]
    assert names == ["starting", "ready", "available"]


def test_a_replication_controller_gets_the_very_same_plan():
    rs = replicaset(2)
    spec = ReplicationControllerSpec(
        replicas=2, selector={"app": "web"}, template=rs.spec.template, min_ready_seconds=0
    )
    rc = REPLICATION_CONTROLLERS.defaults(ReplicationController(metadata=rs.metadata, spec=spec))
    for pods in ([], [ready("web-a")], [ready(f"web-{n}") for n in range(4)], [pod("stray")]):
        found = core.plan(REPLICATION_CONTROLLERS, rc, pods, NOW_MS)
        wanted = render(plan(rs, pods, NOW_MS).decisions)
        assert render(found.decisions) == wanted.replace("replicaset", "replicationcontroller")
    (created, _, _) = core.plan(REPLICATION_CONTROLLERS, rc, [], NOW_MS).decisions
    owner = created.object.metadata.controller
    assert (owner.api_version, owner.kind) == ("v1", "ReplicationController")
