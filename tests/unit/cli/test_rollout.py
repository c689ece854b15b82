"""How a rollout stands, over the deployment controller's own steps."""

from msgspec.structs import replace

from node_agent.core.observed import Failure, Pull, PullKey, State
from orchestrator.cli.rollout import Rollout, Verdict, changes, counted, rollout
from orchestrator.cli.why import Seen
from proto.kinds.deployment import REVISION_ANNOTATION
from proto.meta import Condition, OwnerReference, format_time
from tests.unit.cli.reported import event, reported
from tests.unit.core import making
from tests.unit.node_agent.given import IMAGE, NOW_MS, container, observed, pod, sandbox, spec

TIMED_OUT = Condition(
    type="Progressing",
    status="False",
    reason="ProgressDeadlineExceeded",
    message='ReplicaSet "web" has timed out progressing.',
)


def owner(kind: str, uid: str) -> tuple[OwnerReference, ...]:
    return (OwnerReference(api_version="apps/v1", kind=kind, name="web", uid=uid, controller=True),)


def replica_set(uid: str, revision: str):
    found = making.replicaset()
    meta = replace(
        found.metadata,
        name=f"web-{uid}",
        uid=uid,
        annotations={REVISION_ANNOTATION: revision},
        owner_references=owner("Deployment", "d1"),
    )
    return replace(found, metadata=meta)


def deployment(replicas: int = 2, *, paused: bool = False, generation: int = 1, **status: object):
    found = making.deployment(replicas, paused=paused)
    meta = replace(found.metadata, annotations={REVISION_ANNOTATION: "2"}, generation=generation)
    status = {"observed_generation": 1, **status}
    return replace(found, metadata=meta, status=replace(found.status, **status))


def running(name: str, rs: str):
    return reported(pod(name), sandbox(name), container(name), owner=rs)


def pulling_nothing(name: str, rs: str):
    failure = Failure("ErrImagePull", "manifest unknown", 1, NOW_MS - 1000)
    seen = observed(sandbox(name), images=(), pulls={PullKey(IMAGE): Pull(failure=failure)})
    return reported(pod(name, spec()), seen=seen, owner=rs)


def looked(found, *pods, events=(), since_ms=NOW_MS - 20_000) -> Rollout:
    sets = (replica_set("old", "1"), replica_set("new", "2"))
    seen = Seen(now_ms=NOW_MS, deployments=(found,), replica_sets=sets, pods=pods, events=events)
    return rollout("default", "web", seen, since_ms)


HALF_WAY = deployment(replicas=3, updated_replicas=1, ready_replicas=3, available_replicas=2)
DONE = deployment(replicas=2, updated_replicas=2, ready_replicas=2, available_replicas=2)
DONE = replace(DONE, status=replace(DONE.status, replicas=2))


def test_new_pods_are_told_from_old_ones():
    found = looked(
        HALF_WAY, running("web-1", "old"), running("web-2", "old"), running("web-3", "new")
    )
    assert found.verdict is Verdict.ROLLING
    assert counted(found) == "1 of 3 updated, 1 ready, 2 available, 2 old pods left"
    assert [(p.name, p.is_new) for p in found.pods if p.is_new] == [("web-3", True)]
    assert found.images == ("web:1",)


def test_it_is_done_when_all_are_new_and_available():
    found = looked(DONE, running("web-1", "new"), running("web-2", "new"))
    assert (found.verdict, found.stuck) == (Verdict.DONE, ())


def test_a_change_that_nobody_has_looked_at_is_under_way():
    unseen = replace(DONE, metadata=replace(DONE.metadata, generation=2))
    found = looked(unseen, running("web-1", "new"))
    assert (found.verdict, found.updated) == (Verdict.ROLLING, 0)
    assert not any(pod.is_new for pod in found.pods)


def test_what_holds_it_up_is_told_while_it_does():
    found = looked(HALF_WAY, running("web-1", "old"), pulling_nothing("web-3", "new"))
    assert [one.reason for one in found.stuck] == ["ImageNotPulled"]
    assert found.stuck[0].what.startswith("1 of 2 pods: Image demo/web:1 cannot be pulled")


def test_past_its_deadline_it_has_failed():
    late = replace(HALF_WAY, status=replace(HALF_WAY.status, conditions=(TIMED_OUT,)))
    found = looked(late, pulling_nothing("web-3", "new"))
    assert found.verdict is Verdict.FAILED
    assert found.stuck[0].reason == "ProgressDeadlineExceeded"


def test_a_paused_and_a_deleted_deployment_do_not_roll():
    assert looked(deployment(paused=True)).verdict is Verdict.PAUSED
    assert rollout("default", "other", Seen(now_ms=NOW_MS), 0).verdict is Verdict.GONE


def test_events_from_before_it_began_are_not_its_own():
    new = running("web-1", "new")
    told = event(new, "BackOff", "Back-off 10s")
    assert [e.reason for e in looked(HALF_WAY, new, events=(told,)).events] == ["BackOff"]
    assert looked(HALF_WAY, new, events=(told,), since_ms=NOW_MS).events == ()


def test_each_change_is_told_once():
    old, begun = running("web-1", "old"), pulling_nothing("web-3", "new")
    first = looked(HALF_WAY, old, begun)
    assert list(changes(None, first)) == [
        "pod web-1 (old) on node-1: Running, ready",
        "pod web-3 on node-1: ImagePullBackOff",
        "1 of 3 updated, 0 ready, 2 available, 1 old pod left",
        f"stuck: {first.stuck[0].what}",
    ]
    assert list(changes(first, first)) == []
    told = event(begun, "Failed", "manifest unknown")
    later = looked(HALF_WAY, running("web-3", "new"), events=(told,))
    assert list(changes(first, later)) == [
        "pod web-3 on node-1: Running, ready",
        "pod web-1: gone",
        "pod web-3: Failed: manifest unknown",
        "1 of 3 updated, 1 ready, 2 available",
    ]


def test_a_pod_that_restarts_is_told_with_how_often():
    ended = container("web-3", spec(), State.EXITED, 2, exit_code=1)
    crashing = reported(pod("web-3"), sandbox("web-3"), ended, owner="new")
    first = looked(HALF_WAY, crashing)
    assert "pod web-3 on node-1: CrashLoopBackOff, 2 restarts" in list(changes(None, first))


def test_pods_are_in_the_order_in_which_they_were_made():
    old = running("web-z", "old")
    older = replace(old, metadata=replace(old.metadata, creation_timestamp=format_time(0)))
    assert [p.name for p in looked(HALF_WAY, running("web-a", "new"), older).pods] == [
        "web-z",
        "web-a",
    ]
