"""What a node is short of, in its conditions and taints."""

from msgspec.structs import replace

from orchestrator.core.decisions import Update, UpdateStatus
from orchestrator.core.reports import plan
from proto.kinds.node import Node, NodeSpec, NodeStatus, Taint
from proto.meta import Condition, ObjectMeta, condition
from tests.unit.core.making import report as report_of

READY = Condition(type="Ready", status="True", reason="AgentReady")
MINE = Taint(key="mine", effect="NoExecute")
KEY = "node.kubernetes.io/disk-pressure"


def told(holds: str, at: str = "2026-01-01T00:00:00Z", type_: str = "DiskPressure") -> Condition:
    return Condition(type=type_, status=holds, reason=f"It{holds}", last_transition_time=at)


def after(node: Node, *conditions: Condition) -> Node:
    """The node once its agent's report was followed to the end."""
    report = report_of(conditions=conditions)
    for _ in range(5):
        decisions = plan(report, node, []).decisions
        if not decisions:
            return node
        (decision,) = decisions
        assert isinstance(decision, Update | UpdateStatus)
        node = decision.object
    raise AssertionError("it never settles")


def a_node() -> Node:
    found = Node(
        metadata=ObjectMeta(name="n1"),
        spec=NodeSpec(taints=(MINE,)),
        status=NodeStatus(conditions=(READY,)),
    )
    return after(found)


def test_a_condition_that_holds_taints_the_node_and_one_that_ceases_does_not():
    low = after(a_node(), told("False", type_="MemoryPressure"), told("True"))
    assert [c.type for c in low.status.conditions] == ["MemoryPressure", "DiskPressure", "Ready"]
    assert low.spec.taints == (MINE, Taint(key=KEY, effect="NoSchedule"))
    well = after(low, told("False", type_="MemoryPressure"), told("False", "2026-01-01T00:05:00Z"))
    assert well.spec.taints == (MINE,)
    assert condition(well.status.conditions, "Ready") == READY


def test_another_run_of_an_agent_that_says_the_same_changes_nothing():
    low = after(a_node(), told("True"))
    assert after(low, told("True", "2026-02-02T00:00:00Z")) == low


def test_an_agent_that_has_not_looked_yet_leaves_things_as_they_are():
    low = after(a_node(), told("True"))
    assert after(low) == low


def test_the_ready_condition_is_not_the_agents():
    lying = replace(READY, status="False")
    assert after(a_node(), lying).status.conditions == (READY,)
