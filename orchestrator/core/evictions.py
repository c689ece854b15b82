"""Which pods may not stay on their node: its NoExecute taints, as far as people set them.

The taint of a lost node is the business of `node_verdicts`: nobody is left there to stop a pod.
Source: Kubernetes, pkg/controller/tainteviction.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from orchestrator.core.availability import earliest
from orchestrator.core.decisions import Decision, Emit, Plan, Remove, Update
from orchestrator.core.node_verdicts import tolerated_until_ms
from orchestrator.core.pod_ends import disrupted
from proto.kinds.node import NODES, NOT_READY_TAINT, UNREACHABLE_TAINT, Node, Taint
from proto.kinds.pod import PODS, Pod, is_terminated
from proto.meta import format_time, parse_time_ms


def plan(node: Node, pods: Iterable[Pod], now_ms: int) -> Plan:
    """Evict the pods that do not put up with the node's taints, or not for any longer.

    A taint that does not say since when it is there is dated first, so that the seconds of a
    toleration survive a change of leader.

    Args:
        node: As it is.
        pods: Those bound to it, in any order.
        now_ms: Epoch milliseconds.
    """
    taints = [taint for taint in node.spec.taints if _evicts(taint)]
    if not taints:
        return Plan()
    if not all(taint.time_added for taint in taints):
        return Plan((_dated(node, now_ms),))
    decisions: list[Decision] = []
    wake_at_ms = None
    for pod in sorted(pods, key=lambda pod: (pod.metadata.namespace, pod.metadata.name)):
        if is_terminated(pod) or pod.metadata.deletion_timestamp:
            continue
        until_ms = _until_ms(pod, taints)
        if until_ms is not None and until_ms <= now_ms:
            decisions += _evicted(node, pod, now_ms)
        else:
            wake_at_ms = earliest(wake_at_ms, until_ms)
    return Plan(tuple(decisions), wake_at_ms)


def _evicts(taint: Taint) -> bool:
    return taint.effect == "NoExecute" and taint.key not in (UNREACHABLE_TAINT, NOT_READY_TAINT)


def _dated(node: Node, now_ms: int) -> Update:
    now = format_time(now_ms)
    taints = tuple(
        replace(taint, time_added=now) if _evicts(taint) and not taint.time_added else taint
        for taint in node.spec.taints
    )
    changed = replace(node, spec=replace(node.spec, taints=taints))
    return Update(NODES, changed, "since when it is tainted")


def _until_ms(pod: Pod, taints: Iterable[Taint]) -> int | None:
    """When the first of these taints is not tolerated any more; None: never."""
    tolerations = pod.spec.tolerations
    return earliest(
        *(
            tolerated_until_ms(tolerations, taint, parse_time_ms(taint.time_added))
            for taint in taints
        )
    )


def _evicted(node: Node, pod: Pod, now_ms: int) -> tuple[Remove, Emit]:
    meta = pod.metadata
    text = f"Marking for deletion Pod {meta.namespace}/{meta.name}"
    said = "Taint manager: deleting due to NoExecute taint"
    going = disrupted(pod, "DeletionByTaintManager", said, now_ms)
    return (
        Remove(PODS, going, f"it does not tolerate a taint of node {node.metadata.name}"),
        Emit(PODS, pod, "Normal", "TaintManagerEviction", text),
    )
