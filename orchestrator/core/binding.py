"""What follows from placements: bindings, and for pods that fit nowhere, the reason why."""

from collections.abc import Iterable

from msgspec.structs import replace

from orchestrator.core.decisions import Bind, Decision, Emit, Plan, UpdateStatus
from orchestrator.core.scheduling import Placement
from proto.kinds.pod import PODS, Pod
from proto.meta import Condition, condition, format_time, with_condition


def plan(placements: Iterable[Placement], now_ms: int) -> Plan:
    """Bind what was placed; tell the others once why not, and again when that changes."""
    decisions: list[Decision] = []
    for placement in placements:
        if placement.node is not None:
            decisions += _bound(placement.pod, placement.node, now_ms)
        else:
            decisions += _refused(placement.pod, placement.message, now_ms)
    return Plan(tuple(decisions))


def _bound(pod: Pod, node: str, now_ms: int) -> list[Decision]:
    scheduled = Condition(
        type="PodScheduled", status="True", last_transition_time=format_time(now_ms)
    )
    conditions = with_condition(pod.status.conditions, scheduled)
    bound = replace(
        pod,
        spec=replace(pod.spec, node_name=node),
        status=replace(pod.status, conditions=conditions),
    )
    name = f"{pod.metadata.namespace}/{pod.metadata.name}"
    return [
        Bind(PODS, bound, f"to {node}"),
        Emit(PODS, pod, "Normal", "Scheduled", f"Successfully assigned {name} to {node}"),
    ]


def _refused(pod: Pod, message: str, now_ms: int) -> list[Decision]:
    before = condition(pod.status.conditions, "PodScheduled")
    if before is not None and before.status == "False" and before.message == message:
        return []
    refused = Condition(
        type="PodScheduled",
        status="False",
        reason="Unschedulable",
        message=message,
        last_transition_time=format_time(now_ms),
    )
    status = replace(pod.status, conditions=with_condition(pod.status.conditions, refused))
    return [
        UpdateStatus(PODS, replace(pod, status=status), "fits nowhere"),
        Emit(PODS, pod, "Warning", "FailedScheduling", message),
    ]
