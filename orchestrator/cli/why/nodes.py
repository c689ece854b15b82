"""Why a node is not ready, takes no pods, or cannot be drained."""

from collections.abc import Iterator

from orchestrator.cli.why import ending, words
from orchestrator.cli.why.finding import Explanation, Finding, Weight, ordered
from orchestrator.cli.why.placing import amount, used_of
from orchestrator.cli.why.seen import Seen
from proto.kinds.node import (
    NOT_READY_TAINT,
    UNREACHABLE_TAINT,
    UNSCHEDULABLE_TAINT,
    Node,
    allocatable,
)
from proto.kinds.pod import Pod, is_terminated
from proto.meta import condition

FULL_SHARE = 0.95
"""Of a resource that pods asked for: then little fits any more."""

_JUDGED = (UNREACHABLE_TAINT, NOT_READY_TAINT, UNSCHEDULABLE_TAINT)
"""Taints that say what a condition, or the cordon, says already."""

_REMEDIES = {
    "AgentDown": "Start its agent: its host answers, and its containers run on.",
    "AgentStopped": "Start its agent; it was stopped on purpose.",
    "NodeShutdown": "Start its host, or wait for it; it is being shut down.",
    "HostUnreachable": "Look after the host: power, network. Its managed pods run elsewhere.",
    "EngineDown": "Start Docker on the host: systemctl start docker.",
    "NodeStatusUnknown": "Wait a moment: its peers are being asked whether the host is there.",
}


def explain_node(node: Node, seen: Seen) -> Explanation:
    """All findings on one node."""
    name = node.metadata.name
    ready = condition(node.status.conditions, "Ready")
    is_ready = ready is not None and ready.status == "True"
    since = words.age(ready.last_transition_time if ready else "", seen.now_ms)
    running = _running(node, seen)
    cordoned = ", cordoned" if node.spec.unschedulable else ""
    word = "Ready" if is_ready else "NotReady"
    fine = Finding(
        weight=Weight.FINE,
        reason="Fine",
        what=f"It has been Ready for {since}, and takes pods; nothing to explain",
    )
    return Explanation(
        kind="node",
        name=name,
        summary=f"node {name} has been {word} for {since}{cordoned}, with "
        f"{words.count(len(running), 'pod')}",
        findings=ordered(_findings(node, seen)) or (fine,),
    )


def _running(node: Node, seen: Seen) -> list[Pod]:
    return [pod for pod in seen.pods_on(node.metadata.name) if not is_terminated(pod)]


def _findings(node: Node, seen: Seen) -> Iterator[Finding]:
    yield from ending.findings_of(node, seen)
    yield from _readiness(node, seen)
    yield from _pressure(node, seen)
    yield from _cordon(node, seen)
    yield from _taints(node)
    yield from _fullness(node, seen)


def _readiness(node: Node, seen: Seen) -> Iterator[Finding]:
    name = node.metadata.name
    ready = condition(node.status.conditions, "Ready")
    if ready is not None and ready.status == "True":
        return
    if ready is None:
        what, said = "Its agent has never reported how it is", ""
    else:
        since = words.age(ready.last_transition_time, seen.now_ms)
        what = f"It has been NotReady for {since}: {ready.message}"
        said = f"condition Ready={ready.status}, {ready.reason}"
    told = (words.told(event, seen.now_ms) for event in seen.events_of(node)[:3])
    stuck = [pod.metadata.name for pod in _running(node, seen)]
    still = (f"still bound to it: {words.listed(stuck)}",) if stuck else ()
    yield Finding(
        weight=Weight.PROBLEM,
        reason=ready.reason if ready and ready.reason else "NotReady",
        what=what,
        evidence=(*filter(None, (said,)), *told, *still),
        advice=_REMEDIES.get(ready.reason if ready else "", "Look after its agent and its host."),
        next=(
            f"longshore node start {name}  # where longshore up runs it",
            "systemctl status node-agent  # on its host",
        ),
    )


def _pressure(node: Node, seen: Seen) -> Iterator[Finding]:
    for found in node.status.conditions:
        if found.type != "Ready" and found.status == "True":
            since = words.age(found.last_transition_time, seen.now_ms)
            yield Finding(
                weight=Weight.PROBLEM,
                reason=found.type,
                what=f"{found.type} for {since}: {found.message or found.reason}",
            )


def _cordon(node: Node, seen: Seen) -> Iterator[Finding]:
    if not node.spec.unschedulable:
        return
    name = node.metadata.name
    left = _running(node, seen)
    yield Finding(
        weight=Weight.NOTE,
        reason="Cordoned",
        what="It is cordoned: it takes no new pods, and those it has stay",
        evidence=(f"{words.count(len(left), 'pod')} on it",) if left else (),
        next=(f"longshore uncordon {name}",),
    )
    for budget in seen.budgets:
        selector, status = budget.spec.selector, budget.status
        held = [
            pod.metadata.name
            for pod in left
            if pod.metadata.namespace == budget.metadata.namespace
            and selector is not None
            and selector.matches(pod.metadata.labels)
        ]
        if held and status.observed_generation and not status.disruptions_allowed:
            yield Finding(
                weight=Weight.PROBLEM,
                reason="HeldByDisruptionBudget",
                what=f"A drain waits: the budget {budget.metadata.name} lets no pod go now",
                evidence=(
                    words.budgeted(budget),
                    f"held: {words.listed(held)}",
                ),
                advice="Have more replicas ready, or lower the budget.",
            )


def _taints(node: Node) -> Iterator[Finding]:
    for taint in node.spec.taints:
        if taint.key in _JUDGED:
            continue
        value = f"={taint.value}" if taint.value else ""
        yield Finding(
            weight=Weight.NOTE,
            reason="Tainted",
            what=f"The taint {taint.key}{value}:{taint.effect} keeps pods away that do not "
            "tolerate it",
            next=(f"longshore taint nodes {node.metadata.name} {taint.key}-",),
        )


def _fullness(node: Node, seen: Seen) -> Iterator[Finding]:
    if not seen.has_all_pods:
        return
    running = _running(node, seen)
    for resource, size in sorted(allocatable(node).items()):
        used = used_of(running, resource)
        if size and used >= FULL_SHARE * size:
            yield Finding(
                weight=Weight.NOTE,
                reason="Full",
                what=f"Its {resource} is promised: {amount(resource, used)} of "
                f"{amount(resource, size)}",
            )
