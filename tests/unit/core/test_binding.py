"""What placements write."""

from orchestrator.core.binding import plan
from orchestrator.core.decisions import render
from orchestrator.core.scheduling import schedule, table_of
from proto.meta import condition
from tests.unit.core.making import NOW_MS, node, pod


def test_a_placed_pod_is_bound_and_told_so():
    found = plan(schedule(table_of([node("n1")]), [pod("a")]), NOW_MS)
    assert render(found.decisions) == (
        "bind pod a: to n1\nNormal Scheduled on pod a: Successfully assigned default/a to n1"
    )
    bound = found.decisions[0].object
    assert bound.spec.node_name == "n1"
    assert condition(bound.status.conditions, "PodScheduled").status == "True"


def test_a_refusal_is_told_once_and_again_when_the_reason_changes():
    waiting = pod("a", cpu="9")
    found = plan(schedule(table_of([node("n1")]), [waiting]), NOW_MS)
    text = "0/1 nodes are available: 1 Insufficient cpu."
    assert render(found.decisions) == (
        f"update status of pod a: fits nowhere\nWarning FailedScheduling on pod a: {text}"
    )
    told = found.decisions[0].object
    assert condition(told.status.conditions, "PodScheduled").message == text
    assert plan(schedule(table_of([node("n1")]), [told]), NOW_MS).decisions == ()
    assert plan(schedule(table_of([]), [told]), NOW_MS).decisions != ()
