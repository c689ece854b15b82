"""What a verdict changes, as text."""

from msgspec.structs import replace

from orchestrator.core.decisions import Update, UpdateStatus, render
from orchestrator.core.node_lifecycle import Memory, State, Verdict
from orchestrator.core.node_verdicts import is_lost, plan, pods_of_lost_node, remembered
from proto.kinds.node import NOT_READY_TAINT, OUT_OF_SERVICE_TAINT, UNREACHABLE_TAINT, Taint
from proto.kinds.toleration import Toleration
from proto.meta import condition, format_time
from tests.unit.core.making import NOW, NOW_MS, node, pod

LOST = Verdict("n1", State.LOST)


def lost(since_ms=NOW_MS):
    taint = Taint(key=UNREACHABLE_TAINT, effect="NoExecute", time_added=format_time(since_ms))
    return node("n1", ready="Unknown", reason="HostUnreachable", taints=(taint,))


def written(found):
    """The node after the passes that a verdict takes."""
    node_, verdict = found
    for _ in range(5):
        decisions = plan(node_, verdict, (), NOW_MS).decisions
        writes = [d for d in decisions if isinstance(d, Update | UpdateStatus)]
        assert len(writes) <= 1
        if not writes:
            return node_
        node_ = writes[0].object
    raise AssertionError("never settled")


def taints(found):
    return {(taint.key, taint.effect) for taint in found.spec.taints}


def test_a_loss_is_written_and_told_and_then_left_alone():
    found = plan(node("n1"), LOST, (), NOW_MS)
    assert render(found.decisions) == (
        "update status of node n1: it is HostUnreachable\n"
        "Normal NodeNotReady on node n1: Node n1 status is now: NodeNotReady\n"
        "Warning NodeLost on node n1: Node n1 is lost: The host is silent and nobody reaches it: "
        "its pods move elsewhere."
    )
    after = written((node("n1"), LOST))
    assert is_lost(after)
    assert taints(after) == {(UNREACHABLE_TAINT, "NoSchedule"), (UNREACHABLE_TAINT, "NoExecute")}
    assert {taint.time_added for taint in after.spec.taints} == {NOW}
    assert render(plan(after, LOST, (), NOW_MS + 9000).decisions) == ""


def test_a_node_that_returns_is_ready_and_keeps_only_the_taints_people_gave_it():
    own = Taint(key="gpu", effect="NoSchedule")
    after = written((node("n1", taints=(own,)), LOST))
    back = written((after, Verdict("n1", State.READY)))
    assert back.spec.taints == (own,)
    ready = condition(back.status.conditions, "Ready")
    assert (ready.status, ready.reason) == ("True", "AgentReady")
    assert "Normal NodeReady on node n1" in render(
        plan(after, Verdict("n1", State.READY), (), NOW_MS).decisions
    )


def test_every_state_but_loss_leaves_running_pods_alone():
    for state in (State.SILENT, State.AGENT_DOWN, State.ENGINE_DOWN, State.LEAVING):
        after = written((node("n1"), Verdict("n1", state, "hung")))
        assert {taint.effect for taint in after.spec.taints} == {"NoSchedule"}
        assert "delete" not in render(
            plan(
                node("n1"), Verdict("n1", state), [pod("a", owner="rs", node="n1")], NOW_MS
            ).decisions
        )


def test_a_hung_engine_is_named():
    after = written((node("n1"), Verdict("n1", State.ENGINE_DOWN, "timed out")))
    ready = condition(after.status.conditions, "Ready")
    assert (ready.status, ready.message) == ("False", "Docker does not answer: timed out")
    assert taints(after) == {(NOT_READY_TAINT, "NoSchedule")}


def test_nothing_is_written_while_nothing_is_known():
    assert plan(lost(), Verdict("n1", State.UNHEARD), (), NOW_MS).decisions == ()
    assert plan(lost(), Verdict("n1", State.SILENT), (), NOW_MS).decisions == ()


def test_a_new_leader_remembers_the_losses_written_down():
    assert remembered([lost(), node("n2")], 5) == Memory(5, lost=frozenset({"n1"}))


def test_controlled_pods_of_a_lost_node_are_removed_at_once():
    found = pods_of_lost_node(
        lost(), [pod("web-a", owner="rs", node="n1", ready_since_ms=0)], NOW_MS
    )
    assert render(found.decisions) == (
        "delete pod web-a: its node n1 is lost\n"
        "Warning NodeLost on pod web-a: Node n1 is lost: removing the pod"
    )
    assert found.decisions[0].grace_s == 0


def test_the_pods_of_a_lost_node_do_not_wait_for_it_to_be_written():
    text = render(plan(node("n1"), LOST, [pod("web-a", owner="rs", node="n1")], NOW_MS).decisions)
    assert "delete pod web-a" in text


def test_bare_pods_stay_bound_and_are_no_longer_ready():
    bare = pod("a", node="n1", ready_since_ms=0)
    found = pods_of_lost_node(lost(), [bare], NOW_MS)
    assert render(found.decisions) == (
        "update status of pod a: its node n1 is lost\n"
        "Warning NodeLost on pod a: Node n1 is lost: the pod waits for it"
    )
    after = found.decisions[0].object
    ready = condition(after.status.conditions, "Ready")
    assert (ready.status, ready.reason, after.spec.node_name) == ("False", "NodeLost", "n1")
    assert pods_of_lost_node(lost(), [after], NOW_MS).decisions == ()


def test_pods_that_were_being_deleted_go_since_nobody_is_left_to_confirm():
    found = pods_of_lost_node(lost(), [pod("a", node="n1", deleting=True)], NOW_MS)
    assert "delete pod a" in render(found.decisions)


def test_pods_that_ended_stay_as_they_are():
    assert (
        pods_of_lost_node(
            lost(), [pod("a", owner="rs", node="n1", phase="Failed")], NOW_MS
        ).decisions
        == ()
    )


def test_a_toleration_with_seconds_delays_and_one_without_keeps():
    patient = Toleration(key=UNREACHABLE_TAINT, operator="Exists", toleration_seconds=10)
    loyal = Toleration(key=UNREACHABLE_TAINT, operator="Exists")
    pods = [
        pod("patient", owner="rs", node="n1", tolerations=(patient,)),
        pod("loyal", owner="rs", node="n1", tolerations=(loyal,)),
    ]
    before = pods_of_lost_node(lost(NOW_MS - 4000), pods, NOW_MS)
    assert "delete" not in render(before.decisions)
    assert before.wake_at_ms == NOW_MS + 6000
    after = pods_of_lost_node(lost(NOW_MS - 4000), pods, before.wake_at_ms)
    assert "delete pod patient" in render(after.decisions)
    assert "delete pod loyal" not in render(after.decisions)
    assert after.wake_at_ms is None


def test_of_several_tolerations_the_shortest_counts():
    both = tuple(
        Toleration(key=UNREACHABLE_TAINT, operator="Exists", toleration_seconds=seconds)
        for seconds in (300, 5)
    )
    found = pods_of_lost_node(lost(), [pod("a", owner="rs", node="n1", tolerations=both)], NOW_MS)
    assert found.wake_at_ms == NOW_MS + 5000


def test_the_order_of_pods_is_irrelevant():
    pods = [pod(name, owner="rs", node="n1") for name in "cab"]
    assert pods_of_lost_node(lost(), pods, NOW_MS) == pods_of_lost_node(lost(), pods[::-1], NOW_MS)


def test_the_written_node_keeps_what_others_wrote():
    found = node("n1", labels={"disk": "ssd"})
    found = replace(found, spec=replace(found.spec, unschedulable=True))
    after = written((found, LOST))
    assert after.metadata.labels["disk"] == "ssd"
    assert after.spec.unschedulable


def of_a_stateful_set(**kwargs):
    found = pod("web-0", owner="web", node="n1", ready_since_ms=0, **kwargs)
    (owner,) = found.metadata.owner_references
    owners = (replace(owner, kind="StatefulSet"),)
    return replace(found, metadata=replace(found.metadata, owner_references=owners))


def test_a_stateful_sets_pod_stays_on_a_lost_node_even_while_it_is_deleted():
    found = pods_of_lost_node(lost(), [of_a_stateful_set()], NOW_MS)
    assert render(found.decisions) == (
        "update status of pod web-0: its node n1 is lost\n"
        "Warning NodeLost on pod web-0: Node n1 is lost: the pod waits for it"
    )
    found = pods_of_lost_node(lost(), [of_a_stateful_set(deleting=True)], NOW_MS)
    assert "delete pod" not in render(found.decisions)


def test_it_goes_when_somebody_vouches_that_the_node_is_off():
    off = Taint(key=OUT_OF_SERVICE_TAINT, value="nodeshutdown", effect="NoExecute")
    node_ = lost()
    node_ = replace(node_, spec=replace(node_.spec, taints=(*node_.spec.taints, off)))
    for found in (of_a_stateful_set(), of_a_stateful_set(deleting=True)):
        (removed, _) = pods_of_lost_node(node_, [found], NOW_MS).decisions
        assert removed.grace_s == 0
