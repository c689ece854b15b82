"""Who leaves a node that people tainted, as text."""

from msgspec.structs import replace

from orchestrator.core.decisions import Update, render
from orchestrator.core.evictions import plan
from proto.kinds.node import NOT_READY_TAINT, UNREACHABLE_TAINT, Taint
from proto.kinds.toleration import Toleration
from proto.meta import format_time
from tests.unit.core.making import NOW, NOW_MS, node, pod


def tainted(*taints):
    return node("n1", taints=taints)


def away(key="gone", since_ms=NOW_MS):
    return Taint(key=key, effect="NoExecute", time_added=format_time(since_ms))


def tolerating(key="gone", seconds=None):
    return (Toleration(key=key, operator="Exists", toleration_seconds=seconds),)


def test_pods_that_do_not_tolerate_the_taint_are_stopped_bare_or_owned():
    pods = [
        pod("owned", node="n1", owner="rs"),
        pod("bare", node="n1"),
        pod("stays", node="n1", tolerations=tolerating()),
    ]
    assert render(plan(tainted(away()), pods, NOW_MS).decisions) == (
        "delete pod bare: it does not tolerate a taint of node n1\n"
        "Normal TaintManagerEviction on pod bare: Marking for deletion Pod default/bare\n"
        "delete pod owned: it does not tolerate a taint of node n1\n"
        "Normal TaintManagerEviction on pod owned: Marking for deletion Pod default/owned"
    )


def test_a_pod_has_its_own_grace_to_stop():
    (removal, _) = plan(tainted(away()), [pod("a", node="n1")], NOW_MS).decisions
    assert removal.grace_s is None


def test_a_toleration_with_seconds_counts_from_the_taint_on():
    found = tainted(away(since_ms=NOW_MS - 4000))
    pods = [pod("a", node="n1", tolerations=tolerating(seconds=10))]
    waiting = plan(found, pods, NOW_MS)
    assert (waiting.decisions, waiting.wake_at_ms) == ((), NOW_MS + 6000)
    assert "delete pod a" in render(plan(found, pods, NOW_MS + 6000).decisions)


def test_every_taint_must_be_tolerated():
    pods = [pod("a", node="n1", tolerations=tolerating("one"))]
    assert plan(tainted(away("one")), pods, NOW_MS).decisions == ()
    assert "delete pod a" in render(plan(tainted(away("one"), away("two")), pods, NOW_MS).decisions)


def test_a_taint_without_a_date_gets_one_before_anything_else_happens():
    undated = Taint(key="gone", effect="NoExecute")
    mild = Taint(key="mild", effect="NoSchedule")
    (update,) = plan(tainted(mild, undated), [pod("a", node="n1")], NOW_MS).decisions
    assert isinstance(update, Update)
    assert update.object.spec.taints == (mild, replace(undated, time_added=NOW))


def test_whoever_ends_already_is_left_alone():
    pods = [pod("done", node="n1", phase="Succeeded"), pod("going", node="n1", deleting=True)]
    assert plan(tainted(away()), pods, NOW_MS).decisions == ()


def test_taints_that_only_keep_pods_away_and_those_of_a_lost_node_evict_nobody():
    pods = [pod("a", node="n1")]
    for key, effect in (
        ("k", "NoSchedule"),
        ("k", "PreferNoSchedule"),
        (UNREACHABLE_TAINT, "NoExecute"),
        (NOT_READY_TAINT, "NoExecute"),
    ):
        assert plan(tainted(Taint(key=key, effect=effect)), pods, NOW_MS).decisions == ()
