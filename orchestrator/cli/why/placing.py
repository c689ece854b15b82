"""Why no node takes a pod: the scheduler's words, and each node's obstacle by name.

The scheduler counts nodes; whoever wants to mend something must know which. So its tests are made
here once more, over what the API shows; where the two differ, the scheduler's words stand first.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from msgspec import Struct

from orchestrator.cli.why import claims, words
from orchestrator.cli.why.finding import Finding, Weight
from orchestrator.cli.why.seen import Seen
from proto.kinds.gates import SCHEDULING_GATED
from proto.kinds.node import (
    NOT_READY_TAINT,
    UNREACHABLE_TAINT,
    UNSCHEDULABLE_TAINT,
    Node,
    allocatable,
)
from proto.kinds.pod import Pod, host_ports, is_terminated, requests
from proto.kinds.toleration import tolerates
from proto.meta import condition

SCHEDULER = "default-scheduler"
"""Ours. Source: Kubernetes' default."""

UNSEEN_MS = 5_000
"""A scheduler looks within milliseconds."""

NODES_SHOWN = 6

ALL_NODES = 1_000_000
"""More free room of a resource than any node has: it is not counted there."""


class Obstacle(Struct, frozen=True):
    """Why one node does not take the pod.

    Attributes:
        reason: ``Cordoned``, ``Tainted``, ``NodeNotReady``, ``Selector``, ``Ports``, ``TooFull``
            or ``TooSmall`` (even when it is empty).
        words: The same, to follow the node's name.
        remedy: A command that would take it away; empty when there is no single one.
    """

    node: str
    reason: str
    words: str
    remedy: str = ""


_ADVICE = {
    "Cordoned": "Let pods onto it again, or add a node.",
    "Tainted": "Give the pod a toleration, or take the taint away.",
    "Selector": "Label a node so, or change the pod's nodeSelector.",
    "Ports": "Use another hostPort, or none.",
    "TooFull": "Ask for less, stop something else, or add a node.",
    "NodeNotReady": "Bring a node back.",
    "TooSmall": "Ask for less, or add a larger node.",
}
"""What would mend it, the easiest first."""

_EVERY = {
    "Cordoned": "No node can take it: every node is cordoned",
    "Tainted": "No node can take it: it does not tolerate any node's taints",
    "Selector": "No node can take it: none has the labels that it asks for",
    "Ports": "No node can take it: a port that it needs is in use on every one",
    "TooFull": "No node can take it: none has enough room left",
    "NodeNotReady": "No node can take it: none is ready",
    "TooSmall": "No node is large enough for what it asks for",
}
_WORDS = {
    "Cordoned": "cordoned",
    "Tainted": "tainted",
    "Selector": "with other labels",
    "Ports": "with its port in use",
    "TooFull": "too full",
    "NodeNotReady": "not ready",
    "TooSmall": "too small",
}

_OTHER_PODS = {
    "didn't match pod anti-affinity rules": (
        "where there is room there are pods that its podAntiAffinity keeps it away from"
    ),
    "didn't satisfy existing pods anti-affinity rules": (
        "where there is room there are pods whose podAntiAffinity keeps it away"
    ),
    "didn't match pod affinity rules": (
        "where there is room there are none of the pods that its podAffinity wants to be near"
    ),
    "didn't match pod topology spread constraints": (
        "where there is room it would be spread less evenly than its topologySpreadConstraints say"
    ),
}
"""What the scheduler says of other pods, which is not tested here again, and what it means."""

_JUDGED = (UNREACHABLE_TAINT, NOT_READY_TAINT, UNSCHEDULABLE_TAINT)
"""Taints that say what a condition, or the cordon, says already."""


def findings_of(pod: Pod, seen: Seen) -> Iterator[Finding]:
    """Why a pod has no node; nothing when it has one that exists."""
    if pod.spec.node_name:
        if seen.nodes and seen.node(pod.spec.node_name) is None:
            yield Finding(
                weight=Weight.PROBLEM,
                reason="NoSuchNode",
                what=f"It is bound to node {pod.spec.node_name}, which does not exist",
                next=("longshore get nodes",),
            )
        return
    scheduled = condition(pod.status.conditions, "PodScheduled")
    if pod.spec.scheduling_gates:
        yield _gated(pod)
    elif scheduled is not None and scheduled.status == "False":
        of_claims = claims.finding_of(pod, seen, scheduled.message)
        yield of_claims or _refused(pod, seen, scheduled.message)
    else:
        yield _unseen(pod, seen)


def _gated(pod: Pod) -> Finding:
    names = [gate.name for gate in pod.spec.scheduling_gates]
    return Finding(
        weight=Weight.PROBLEM,
        reason=SCHEDULING_GATED,
        what=f"It is not placed before its scheduling gates are removed: {', '.join(names)}",
        evidence=tuple(f"spec.schedulingGates: {name}" for name in names),
        advice="Whoever set a gate removes it once what it stands for is done.",
    )


def _unseen(pod: Pod, seen: Seen) -> Finding:
    name = pod.spec.scheduler_name
    if name not in ("", SCHEDULER):
        return Finding(
            weight=Weight.PROBLEM,
            reason="OtherScheduler",
            what=f"It waits for a scheduler called {name} to give it a node",
            evidence=(f"spec.schedulerName: {name}",),
            advice="Leave schedulerName out, unless a program of that name runs here.",
        )
    created_ms = words.time_ms(pod.metadata.creation_timestamp) or seen.now_ms
    is_late = seen.now_ms - created_ms > UNSEEN_MS
    return Finding(
        weight=Weight.PROBLEM if is_late else Weight.NOTE,
        reason="NotLookedAt",
        what="The scheduler has not looked at it yet",
        advice="The control plane may have no leader." if is_late else "",
        next=("longshore status",) if is_late else (),
    )


def _refused(pod: Pod, seen: Seen, message: str) -> Finding:
    by_node = [found for node in seen.nodes if (found := tuple(obstacles(pod, node, seen)))]
    main = _main(by_node)
    told = tuple(f"{found.node}: {found.words}" for found, *_ in by_node[:NODES_SHOWN])
    more = len(by_node) - len(told)
    room = pod.status.nominated_node_name
    tried = [
        f"tried {words.count(event.count, 'time')} so far"
        for event in seen.events_of(pod, "FailedScheduling")[:1]
        if event.count > 1
    ]
    return Finding(
        weight=Weight.PROBLEM,
        reason="Unschedulable",
        what=_said([first for first, *_ in by_node], seen, message),
        evidence=(
            f"the scheduler says: {message}",
            *told,
            *((f"and {words.count(more, 'more node')}",) if more else ()),
            *tried,
            *((f"pods of lower priority make room for it on {room}",) if room else ()),
        ),
        advice=_ADVICE[main.reason] if main else "",
        next=_next(pod, main, seen),
    )


def _said(firsts: Sequence[Obstacle], seen: Seen, message: str) -> str:
    if not seen.nodes:
        return "No node can take it: the cluster has none"
    for words_, meaning in _OTHER_PODS.items():
        if words_ in message:
            return f"No node can take it: {meaning}"
    if not firsts:
        return "No node could take it when the scheduler last looked"
    counts = Counter(found.reason for found in firsts)
    if len(counts) == 1:
        return _EVERY[firsts[0].reason]
    each = ", ".join(f"{number} {_WORDS[reason]}" for reason, number in counts.most_common())
    return f"No node can take it: {each}"


def _main(by_node: Sequence[Sequence[Obstacle]]) -> Obstacle | None:
    """The one that is mended most easily: of the node that would do but for the least."""
    ease = {reason: index for index, reason in enumerate(_ADVICE)}
    best = min(
        by_node,
        key=lambda found: (max(ease[one.reason] for one in found), len(found)),
        default=None,
    )
    return max(best, key=lambda one: ease[one.reason]) if best else None


def _next(pod: Pod, main: Obstacle | None, seen: Seen) -> tuple[str, ...]:
    if main is None:
        return ("longshore get nodes",)
    inside = seen.inside(pod.metadata.namespace)
    described = f"longshore describe pod {pod.metadata.name}{inside}"
    return (main.remedy,) if main.remedy else (described, "longshore status")


def obstacles(pod: Pod, node: Node, seen: Seen) -> Iterator[Obstacle]:
    """What keeps a pod off a node, in the scheduler's order; nothing where it cannot be seen."""
    name = node.metadata.name
    ready = condition(node.status.conditions, "Ready")
    if ready is None or ready.status != "True":
        yield Obstacle(name, "NodeNotReady", "is not ready", f"longshore why node/{name}")
    if node.spec.unschedulable:
        yield Obstacle(name, "Cordoned", "is cordoned", f"longshore uncordon {name}")
    for taint in node.spec.taints:
        if taint.effect == "PreferNoSchedule" or taint.key in _JUDGED:
            continue
        if not tolerates(pod.spec.tolerations, taint.key, taint.value, taint.effect):
            value = f"={taint.value}" if taint.value else ""
            said = f"has the taint {taint.key}{value}:{taint.effect}, which it does not tolerate"
            yield Obstacle(name, "Tainted", said, f"longshore taint nodes {name} {taint.key}-")
    for key, value in sorted(pod.spec.node_selector.items()):
        there = node.metadata.labels.get(key)
        if there != value:
            other = f"{key}={there}" if there is not None else f"no label {key}"
            said = f"has {other}, it wants {key}={value}"
            relabel = " --overwrite" if there is not None else ""
            remedy = f"longshore label node {name} {key}={value}{relabel}"
            yield Obstacle(name, "Selector", said, remedy)
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity is not None else None
    required = affinity.required if affinity is not None else None
    if required is not None and not required.matches(name, node.metadata.labels):
        yield Obstacle(name, "Selector", "is not one that its nodeAffinity requires")
    yield from _of_room(pod, node, seen)


def _of_room(pod: Pod, node: Node, seen: Seen) -> Iterator[Obstacle]:
    name = node.metadata.name
    there = [one for one in seen.pods_on(name) if not is_terminated(one)]
    taken = {port[1:] for one in there for port in host_ports(one.spec)}
    for _, protocol, port in sorted(host_ports(pod.spec)):
        if (protocol, port) in taken:
            yield Obstacle(name, "Ports", f"port {port}/{protocol} is in use there")
    sizes = allocatable(node)
    for resource, asked in sorted((requests(pod.spec) | {"pods": 1}).items()):
        size = sizes.get(resource, ALL_NODES if resource == "pods" else 0)
        wants = f"it asks for {amount(resource, asked)}"
        used = used_of(there, resource)
        if asked > size:
            yield Obstacle(name, "TooSmall", f"has {amount(resource, size)} {resource}, {wants}")
        elif seen.has_all_pods and used + asked > size:
            free = amount(resource, max(0, size - used))
            of = f"{free} of {amount(resource, size)} {resource} left"
            yield Obstacle(name, "TooFull", f"has {of}, {wants}")


def used_of(pods: Sequence[Pod], resource: str) -> int:
    """What pods ask for together of one resource; ``pods`` is how many they are."""
    if resource == "pods":
        return len(pods)
    return sum(requests(pod.spec).get(resource, 0) for pod in pods)


def amount(resource: str, units: int) -> str:
    """Milli-CPU, bytes or a number, as people say it.

    >>> amount("cpu", 1500), amount("memory", 3 << 29), amount("pods", 110)
    ('1.5', '1.5Gi', '110')
    """
    if resource == "cpu":
        return f"{units / 1000:g}"
    if resource not in ("memory", "ephemeral-storage"):
        return str(units)
    for suffix, scale in (("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)):
        if units >= 1 << scale:
            return f"{units / (1 << scale):.3g}{suffix}"
    return str(units)
