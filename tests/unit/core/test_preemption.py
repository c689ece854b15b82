"""Who goes first, and who must go for whom."""

from msgspec.structs import replace

from orchestrator.core import binding
from orchestrator.core.decisions import render
from orchestrator.core.scheduling import Residents, schedule, table_of
from proto.kinds.disruption import (
    PodDisruptionBudget,
    PodDisruptionBudgetSpec,
    PodDisruptionBudgetStatus,
)
from proto.meta import LabelSelector, ObjectMeta, condition
from tests.unit.core.making import NOW_MS, bound, node, pod

EARLIER, LATER = NOW_MS - 60_000, NOW_MS + 60_000


def at(name, on, priority=0, **more):
    return bound(pod(name, priority=priority, **more), on)


def wanted(name="vip", priority=100, **more):
    return pod(name, priority=priority, **more)


def run(nodes, there, waiting, budgets=()):
    """What becomes of the waiting pods."""
    table = table_of(nodes, there)
    for found in waiting:
        table.upsert_pod(found)
    residents = Residents(
        on=lambda name: [found for found in there if found.spec.node_name == name],
        budgets=lambda _namespace: budgets,
        doomed=set(),
    )
    return schedule(table, waiting, residents)


def made_room(nodes, there, found, budgets=()):
    """Where, and by whose end."""
    (placement,) = run(nodes, there, [found], budgets)
    assert placement.node is None
    preemption = placement.preemption
    if preemption is None:
        return None
    return preemption.node, [victim.metadata.name for victim in preemption.victims]


def nodes(count=2, cpu="1"):
    return [node(f"n{number}", cpu=cpu) for number in range(1, count + 1)]


def budget(app, allowed):
    return PodDisruptionBudget(
        metadata=ObjectMeta(name=app, namespace="default", uid=app),
        spec=PodDisruptionBudgetSpec(selector=LabelSelector(match_labels={"app": app})),
        status=PodDisruptionBudgetStatus(disruptions_allowed=allowed),
    )


def test_the_queue_is_in_order_of_priority_and_then_of_age():
    waiting = [
        pod("young", cpu="1", created_ms=LATER),
        pod("old", cpu="1", created_ms=EARLIER),
        pod("high", cpu="1", priority=5, created_ms=LATER),
    ]
    found = {p.pod.metadata.name: p.node for p in run(nodes(), [], waiting)}
    assert found == {"high": "n1", "old": "n2", "young": None}


def test_a_pod_of_lower_priority_makes_room():
    there = [at("low", "n1", cpu="1"), at("equal", "n2", priority=100, cpu="1")]
    assert made_room(nodes(), there, wanted(cpu="500m")) == ("n1", ["low"])


def test_nobody_goes_for_an_equal_or_where_it_would_not_help():
    there = [at("equal", "n1", priority=100, cpu="1"), at("low", "n2", cpu="200m")]
    found = wanted(cpu="2")
    assert made_room(nodes(), there, found) is None
    (placement,) = run(nodes(), there, [found])
    assert placement.message == (
        "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: "
        "2 No preemption victims found for incoming pod."
    )


def test_a_node_that_the_pod_does_not_select_is_of_no_help():
    there = [at("low", "n1", cpu="1"), at("low2", "n2", cpu="1")]
    (placement,) = run(nodes(), there, [wanted(selector={"disk": "ssd"})])
    assert placement.preemption is None
    assert placement.message.endswith(
        "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    )


def test_a_pod_whose_class_never_preempts_waits():
    found = wanted(cpu="1", preemption_policy="Never")
    (placement,) = run(nodes(1), [at("low", "n1", cpu="1")], [found])
    assert placement.preemption is None
    assert placement.message.endswith(" preemption: not eligible due to preemptionPolicy=Never.")


def test_as_many_as_possible_stay_the_more_important_first():
    there = [
        at("a", "n1", priority=1, cpu="400m"),
        at("b", "n1", priority=3, cpu="400m"),
        at("c", "n1", priority=2, cpu="200m"),
    ]
    assert made_room(nodes(1), there, wanted(cpu="300m")) == ("n1", ["a"])
    assert made_room(nodes(1), there, wanted(cpu="500m")) == ("n1", ["c", "a"])


def test_among_equals_the_one_that_came_last_goes():
    there = [at("old", "n1", cpu="500m", created_ms=EARLIER), at("new", "n1", cpu="500m")]
    assert made_room(nodes(1), there, wanted(cpu="500m")) == ("n1", ["new"])


def test_budgets_are_spared_before_anything_else():
    there = [
        at("guarded", "n1", cpu="1", labels={"app": "db"}),
        at("free", "n2", priority=50, cpu="1"),
    ]
    found = wanted(cpu="1")
    assert made_room(nodes(), there, found, [budget("db", 0)]) == ("n2", ["free"])
    assert made_room(nodes(), there, found, [budget("db", 1)]) == ("n1", ["guarded"])
    assert made_room(nodes(1), there[:1], found, [budget("db", 0)]) == ("n1", ["guarded"])


def test_then_the_lowest_of_the_highest_priorities_counts_then_the_sum_then_the_number():
    there = [at("nine", "n1", priority=9, cpu="1"), at("five", "n2", priority=5, cpu="1")]
    assert made_room(nodes(), there, wanted(cpu="1")) == ("n2", ["five"])
    there = [
        at("a", "n1", priority=5, cpu="500m"),
        at("b", "n1", priority=4, cpu="500m"),
        at("c", "n2", priority=5, cpu="500m"),
        at("d", "n2", priority=3, cpu="500m"),
    ]
    assert made_room(nodes(), there, wanted(cpu="1")) == ("n2", ["c", "d"])
    there = [
        at("a", "n1", cpu="500m"),
        at("b", "n1", cpu="500m"),
        at("c", "n2", cpu="1"),
    ]
    assert made_room(nodes(), there, wanted(cpu="1")) == ("n2", ["c"])


def test_then_those_go_that_started_last_then_the_name_decides():
    there = [at("old", "n1", cpu="1", created_ms=EARLIER), at("new", "n2", cpu="1")]
    assert made_room(nodes(), there, wanted(cpu="1")) == ("n2", ["new"])
    there = [at("a", "n1", cpu="1"), at("b", "n2", cpu="1")]
    assert made_room(nodes(), there, wanted(cpu="1")) == ("n1", ["a"])


def test_a_host_port_is_made_free():
    there = [at("web", "n1", host_port=80), at("other", "n1", cpu="1")]
    assert made_room(nodes(1), there, wanted(host_port=80)) == ("n1", ["web"])


def test_two_that_need_room_do_not_count_on_the_same_victim():
    there = [at("a", "n1", cpu="1"), at("b", "n2", cpu="1")]
    found = run(
        nodes(), there, [wanted("v1", cpu="1"), wanted("v2", cpu="1"), wanted("v3", cpu="1")]
    )
    assert [p.preemption and p.preemption.node for p in found] == ["n1", "n2", None]
    assert [[v.metadata.name for v in p.preemption.victims] for p in found[:2]] == [["a"], ["b"]]


def test_a_pod_waits_for_those_that_leave_its_node_and_nobody_else_goes():
    promised = wanted(cpu="1")
    promised = replace(promised, status=replace(promised.status, nominated_node_name="n1"))
    there = [at("leaving", "n1", cpu="1", deleting=True), at("low", "n2", cpu="1")]
    (placement,) = run(nodes(), there, [promised])
    assert (placement.preemption, placement.nominated) == (None, "n1")
    assert placement.message.endswith(
        " preemption: not eligible due to terminating pod on the nominated node."
    )


def test_room_that_was_made_is_left_to_whom_it_was_made_for():
    promised = wanted(cpu="1")
    promised = replace(promised, status=replace(promised.status, nominated_node_name="n1"))
    low, higher = pod("low", cpu="1"), pod("higher", priority=200, cpu="1")
    found = {p.pod.metadata.name: p.node for p in run(nodes(1), [], [low, promised])}
    assert found == {"vip": "n1", "low": None}
    table = table_of(nodes(1))
    table.upsert_pod(promised)
    assert [p.node for p in schedule(table, [low])] == [None]
    assert [p.node for p in schedule(table, [higher])] == ["n1"]


def test_those_who_make_room_are_told_so_and_go_gracefully():
    there = [at("low", "n1", cpu="1")]
    found = wanted(cpu="1")
    plan = binding.plan(run(nodes(1), there, [found]), NOW_MS)
    assert render(plan.decisions) == (
        "delete pod low: it makes room for default/vip\n"
        "Normal Preempted on pod low: Preempted by pod uid-vip on node n1\n"
        "update status of pod vip: room is made on n1\n"
        "Warning FailedScheduling on pod vip: 0/1 nodes are available: 1 Insufficient cpu."
    )
    removed, _, told, _ = plan.decisions
    why = condition(removed.object.status.conditions, "DisruptionTarget")
    assert (why.status, why.reason) == ("True", "PreemptionByScheduler")
    assert why.message == "default-scheduler: preempting to accommodate a higher priority pod"
    assert removed.grace_s is None
    assert told.object.status.nominated_node_name == "n1"
