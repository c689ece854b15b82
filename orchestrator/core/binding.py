"""What follows from placements: bindings, and for pods that fit nowhere, the reason why."""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from msgspec.structs import replace

from orchestrator.core.decisions import Bind, Decision, Emit, Plan, Remove, UpdateStatus
from orchestrator.core.scheduling import Placement, Preemption
from orchestrator.core.storage import using
from orchestrator.core.storage.using import Needs
from proto.kinds.pod import PODS, Pod
from proto.meta import Condition, condition, format_time, with_condition


def plan(
    placements: Iterable[Placement],
    now_ms: int,
    needs: Mapping[str, Needs] = MappingProxyType({}),
) -> Plan:
    """Bind what was placed; tell the others once why not, and again when that changes.

    A pod whose claims have no volumes yet is not bound: they are told where it is to run.

    Args:
        placements: Of unbound pods.
        now_ms: Epoch milliseconds.
        needs: By uid: of pods with claims.
    """
    decisions: list[Decision] = []
    for placement in placements:
        pod = placement.pod
        found = needs.get(pod.metadata.uid, Needs())
        if placement.node is not None and not found.is_ready:
            decisions += [using.chosen(claim, placement.node, pod) for claim in found.choosing]
        elif placement.node is not None:
            decisions += _bound(placement.pod, placement.node, now_ms)
        else:
            decisions += _refused(placement, now_ms)
    return Plan(tuple(decisions))


def placed(pod: Pod, node: str) -> Pod:
    """The pod as it is once it has this node."""
    return replace(pod, spec=replace(pod.spec, node_name=node))


def _bound(pod: Pod, node: str, now_ms: int) -> list[Decision]:
    scheduled = Condition(
        type="PodScheduled", status="True", last_transition_time=format_time(now_ms)
    )
    conditions = with_condition(pod.status.conditions, scheduled)
    status = replace(pod.status, conditions=conditions, nominated_node_name="")
    bound = replace(placed(pod, node), status=status)
    name = f"{pod.metadata.namespace}/{pod.metadata.name}"
    return [
        Bind(PODS, bound, f"to {node}"),
        Emit(PODS, pod, "Normal", "Scheduled", f"Successfully assigned {name} to {node}"),
    ]


def _refused(placement: Placement, now_ms: int) -> list[Decision]:
    pod, message, nominated = placement.pod, placement.message, placement.nominated
    decisions: list[Decision] = []
    if placement.preemption is not None:
        decisions += _preempted(pod, placement.preemption, now_ms)
    before = condition(pod.status.conditions, "PodScheduled")
    is_told = before is not None and before.status == "False" and before.message == message
    if is_told and nominated == pod.status.nominated_node_name:
        return decisions
    refused = Condition(
        type="PodScheduled",
        status="False",
        reason="Unschedulable",
        message=message,
        last_transition_time=format_time(now_ms),
    )
    status = replace(
        pod.status,
        conditions=with_condition(pod.status.conditions, refused),
        nominated_node_name=nominated,
    )
    cause = f"room is made on {nominated}" if nominated else "fits nowhere"
    decisions.append(UpdateStatus(PODS, replace(pod, status=status), cause))
    if not is_told:
        decisions.append(Emit(PODS, pod, "Warning", "FailedScheduling", message))
    return decisions


def _preempted(pod: Pod, preemption: Preemption, now_ms: int) -> Iterator[Decision]:
    """The end of those who make room; source of the words: Kubernetes, prepareCandidate."""
    name = f"{pod.metadata.namespace}/{pod.metadata.name}"
    said = f"Preempted by pod {pod.metadata.uid} on node {preemption.node}"
    why = Condition(
        type="DisruptionTarget",
        status="True",
        reason="PreemptionByScheduler",
        message=f"{pod.spec.scheduler_name}: preempting to accommodate a higher priority pod",
        last_transition_time=format_time(now_ms),
    )
    for victim in preemption.victims:
        conditions = with_condition(victim.status.conditions, why)
        marked = replace(victim, status=replace(victim.status, conditions=conditions))
        yield Remove(PODS, marked, f"it makes room for {name}")
        yield Emit(PODS, victim, "Normal", "Preempted", said)
