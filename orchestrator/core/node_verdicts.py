"""What a verdict on a node changes: the Node object, and the pods of a lost node.

Conditions and taints are Kubernetes' (pkg/controller/nodelifecycle); reasons that Kubernetes does
not tell apart have names of their own.
"""

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from orchestrator.core.availability import earliest
from orchestrator.core.decisions import Decision, Emit, Plan, Remove, Update, UpdateStatus
from orchestrator.core.node_lifecycle import Memory, State, Verdict
from orchestrator.core.pod_ends import disrupted, failed
from proto.kinds.node import (
    NODES,
    NOT_READY_TAINT,
    OUT_OF_SERVICE_TAINT,
    UNREACHABLE_TAINT,
    Node,
    Taint,
)
from proto.kinds.pod import PODS, Pod, is_terminated
from proto.kinds.statefulset import is_one_of_a_kind
from proto.kinds.toleration import Toleration, tolerates
from proto.meta import (
    Condition,
    condition,
    format_time,
    is_true,
    parse_time_ms,
    with_condition,
)

LOST_REASON = "HostUnreachable"

_READY_CONDITION = {
    State.READY: ("True", "AgentReady", "The agent and its Docker engine answer."),
    State.SILENT: ("Unknown", "NodeStatusUnknown", "The agent stopped sending heartbeats."),
    State.AGENT_DOWN: (
        "Unknown",
        "AgentDown",
        "The agent is silent but its host answers: its containers stay.",
    ),
    State.ENGINE_DOWN: ("False", "EngineDown", "Docker does not answer: {detail}"),
    State.LEAVING: (
        "Unknown",
        "AgentStopped",
        "The agent was stopped on purpose: its containers stay.",
    ),
    State.SHUTDOWN: ("False", "NodeShutdown", "node is shutting down"),
    State.LOST: (
        "Unknown",
        LOST_REASON,
        "The host is silent and nobody reaches it: its pods move elsewhere.",
    ),
}
"""State to status, reason and message of the Ready condition."""

_LOSS = Taint(key=UNREACHABLE_TAINT, effect="NoExecute")

_TAINTS = {
    State.READY: (),
    State.SILENT: ((UNREACHABLE_TAINT, "NoSchedule"),),
    State.AGENT_DOWN: ((UNREACHABLE_TAINT, "NoSchedule"),),
    State.ENGINE_DOWN: ((NOT_READY_TAINT, "NoSchedule"),),
    State.LEAVING: ((UNREACHABLE_TAINT, "NoSchedule"),),
    State.SHUTDOWN: ((NOT_READY_TAINT, "NoSchedule"),),
    State.LOST: ((UNREACHABLE_TAINT, "NoSchedule"), (UNREACHABLE_TAINT, "NoExecute")),
}


def remembered(nodes: Iterable[Node], started_ms: int) -> Memory:
    """What a new leader starts judging with: nobody heard yet, the written losses known.

    Args:
        nodes: All of them.
        started_ms: When it began to lead, on the clock that judges.
    """
    return Memory(started_ms, lost=frozenset(n.metadata.name for n in nodes if is_lost(n)))


def is_lost(node: Node) -> bool:
    """Whether the node is written down as lost."""
    ready = condition(node.status.conditions, "Ready")
    return ready is not None and ready.reason == LOST_REASON


def plan(node: Node, verdict: Verdict, pods: Iterable[Pod], now_ms: int) -> Plan:
    """Write a verdict down, and move the pods of a lost node without waiting for that.

    The condition is written first, the taints in the next pass.

    Args:
        node: As it is.
        verdict: On it.
        pods: Those bound to it, in any order; looked at when it is lost.
        now_ms: Epoch milliseconds.
    """
    written = tuple(_written(node, verdict, now_ms))
    if verdict.state is not State.LOST:
        return Plan(written)
    moved = pods_of_lost_node(node, pods, now_ms)
    return Plan((*written, *moved.decisions), moved.wake_at_ms)


def _written(node: Node, verdict: Verdict, now_ms: int) -> Iterator[Decision]:
    state = verdict.state
    if state is State.UNHEARD or (state is State.SILENT and is_lost(node)):
        return  # nothing was learnt that what is written does not say already
    old = condition(node.status.conditions, "Ready")
    new = _ready_condition(verdict, now_ms)
    taints = _tainted(node, state, now_ms)
    if old is None or _said(old) != _said(new):
        conditions = with_condition(node.status.conditions, new)
        status = replace(node.status, conditions=conditions)
        yield UpdateStatus(NODES, replace(node, status=status), f"it is {new.reason}")
        yield from _told(node, old, new)
    elif taints != node.spec.taints:
        changed = replace(node, spec=replace(node.spec, taints=taints))
        yield Update(NODES, changed, f"taints of a node that is {new.reason}")


def _said(found: Condition) -> tuple[str, str, str]:
    return found.status, found.reason, found.message


def _ready_condition(verdict: Verdict, now_ms: int) -> Condition:
    status, reason, message = _READY_CONDITION[verdict.state]
    now = format_time(now_ms)
    return Condition(
        type="Ready",
        status=status,
        reason=reason,
        message=message.replace("{detail}", verdict.detail),
        last_transition_time=now,
        last_heartbeat_time=now,
    )


def _told(node: Node, old: Condition | None, new: Condition) -> Iterator[Emit]:
    name = node.metadata.name
    was_ready, is_ready = old is not None and old.status == "True", new.status == "True"
    if was_ready != is_ready:
        word = "NodeReady" if is_ready else "NodeNotReady"
        yield Emit(NODES, node, "Normal", word, f"Node {name} status is now: {word}")
    if new.reason == LOST_REASON:
        yield Emit(NODES, node, "Warning", "NodeLost", f"Node {name} is lost: {new.message}")


def _tainted(node: Node, state: State, now_ms: int) -> tuple[Taint, ...]:
    """The node's taints with those of its state in place of those of an earlier one."""
    wanted = _TAINTS[state]
    kept = tuple(
        taint
        for taint in node.spec.taints
        if taint.key not in (UNREACHABLE_TAINT, NOT_READY_TAINT)
        or (taint.key, taint.effect) in wanted
    )
    there = {(taint.key, taint.effect) for taint in kept}
    now = format_time(now_ms)
    added = (
        Taint(key=key, effect=effect, time_added=now)
        for key, effect in wanted
        if (key, effect) not in there
    )
    return (*kept, *added)


def pods_of_lost_node(node: Node, pods: Iterable[Pod], now_ms: int) -> Plan:
    """What becomes of the pods of a node judged lost.

    Pods with a controller are removed at once, for the controller to replace them; so are pods that
    were being deleted, since nobody is left to confirm. Bare pods, and those that tolerate the
    loss, stay bound and are no longer ready: they come back if the node does.

    Pods of stateful sets stay, too, even those being deleted: a node that nobody reaches may still
    run them, and whoever took their place would write to the same data. They go when somebody
    vouches that the node is off: by its taint `OUT_OF_SERVICE_TAINT`, by deleting the Node, or by
    deleting the pod with ``--force``. Source: Kubernetes, non-graceful node shutdown.

    Args:
        node: Lost; its taint, once written, says since when.
        pods: Those bound to it, in any order.
        now_ms: Epoch milliseconds.
    """
    decisions: list[Decision] = []
    wake_at_ms = None
    since_ms = _lost_since_ms(node, now_ms)
    for pod in sorted(pods, key=lambda pod: (pod.metadata.namespace, pod.metadata.name)):
        if is_terminated(pod):
            continue
        until_ms = tolerated_until_ms(pod.spec.tolerations, _LOSS, since_ms)
        must_stay = is_one_of_a_kind(pod) and not _is_out_of_service(node, pod)
        is_leaving = bool(pod.metadata.deletion_timestamp) and not must_stay
        has_owner = pod.metadata.controller is not None and not must_stay
        if is_leaving or (has_owner and until_ms is not None and until_ms <= now_ms):
            decisions += _removed(node, pod, now_ms)
            continue
        decisions += _not_ready(node, pod, now_ms)
        if has_owner:
            wake_at_ms = earliest(wake_at_ms, until_ms)
    return Plan(tuple(decisions), wake_at_ms)


def _is_out_of_service(node: Node, pod: Pod) -> bool:
    """Whether somebody vouched that the node runs nothing any more."""
    return any(
        taint.key == OUT_OF_SERVICE_TAINT
        and not tolerates(pod.spec.tolerations, taint.key, taint.value, taint.effect)
        for taint in node.spec.taints
    )


def tolerated_until_ms(
    tolerations: Iterable[Toleration], taint: Taint, since_ms: int
) -> int | None:
    """How long a pod puts up with a taint of its node; None: for ever.

    Of several tolerations with seconds the shortest counts. Source: getMinTolerationTime.
    """
    fitting = [
        found for found in tolerations if tolerates((found,), taint.key, taint.value, taint.effect)
    ]
    limits = [found.toleration_seconds for found in fitting if found.toleration_seconds is not None]
    if limits:
        return since_ms + max(0, min(limits)) * 1000
    return None if fitting else since_ms


def _lost_since_ms(node: Node, now_ms: int) -> int:
    for taint in node.spec.taints:
        is_ours = (taint.key, taint.effect) == (UNREACHABLE_TAINT, "NoExecute")
        if is_ours and taint.time_added:
            return min(now_ms, parse_time_ms(taint.time_added))
    return now_ms


def _removed(node: Node, pod: Pod, now_ms: int) -> Iterator[Decision]:
    name = node.metadata.name
    said = "Taint manager: deleting due to NoExecute taint"
    going = failed(disrupted(pod, "DeletionByTaintManager", said, now_ms))
    yield Remove(PODS, going, f"its node {name} is lost", grace_s=0)
    yield Emit(PODS, pod, "Warning", "NodeLost", f"Node {name} is lost: removing the pod")


def _not_ready(node: Node, pod: Pod, now_ms: int) -> Iterator[Decision]:
    status = pod.status
    if status.reason == "NodeLost" and not is_true(status.conditions, "Ready"):
        return
    name = node.metadata.name
    message = f"Node {name} which was running pod {pod.metadata.name} is unresponsive"
    conditions = with_condition(
        status.conditions,
        Condition(
            type="Ready",
            status="False",
            reason="NodeLost",
            message=message,
            last_transition_time=format_time(now_ms),
        ),
    )
    changed = replace(status, reason="NodeLost", message=message, conditions=conditions)
    yield UpdateStatus(PODS, replace(pod, status=changed), f"its node {name} is lost")
    yield Emit(PODS, pod, "Warning", "NodeLost", f"Node {name} is lost: the pod waits for it")
