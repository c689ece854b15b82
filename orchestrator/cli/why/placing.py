"""Why no node takes a pod: the scheduler's words, and each node's obstacle by name.

The scheduler counts nodes; whoever wants to mend something must know which. So its tests are made
here once more, over what the API shows; where the two differ, the scheduler's words stand first.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from orchestrator.cli.why import words
from orchestrator.cli.why.finding import Finding, Weight
from orchestrator.cli.why.seen import Seen
from proto.kinds.node import NOT_READY_TAINT, UNREACHABLE_TAINT, Node, allocatable
from proto.kinds.pod import Pod, host_ports, is_terminated, requests, tolerates
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
    """

    node: str
    reason: str
    words: str


_ADVICE = {
    "Cordoned": "Let pods onto it again, or add a node.",
    "NodeNotReady": "Bring a node back.",
    "Tainted": "Give the pod a toleration, or take the taint away.",
    "Selector": "Label a node so, or change the pod's nodeSelector.",
    "Ports": "Use another hostPort, or none.",
    "TooFull": "Ask for less, stop something else, or add a node.",
    "TooSmall": "No node is that large: ask for less, or add a larger node.",
}


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
    if scheduled is not None and scheduled.status == "False":
        yield _refused(pod, seen, scheduled.message)
    else:
        yield _unseen(pod, seen)


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
    obstacles = [found for node in seen.nodes if (found := obstacle(pod, node, seen))]
    main = _main(obstacles)
    told = tuple(f"{found.node}: {found.words}" for found in obstacles[:NODES_SHOWN])
    more = len(obstacles) - len(told)
    tried = [
        f"tried {words.count(event.count, 'time')} so far"
        for event in seen.events_of(pod, "FailedScheduling")[:1]
        if event.count > 1
    ]
    return Finding(
        weight=Weight.PROBLEM,
        reason="Unschedulable",
        what=_said(obstacles, seen),
        evidence=(
            f"the scheduler says: {message}",
            *told,
            *((f"and {words.count(more, 'more node')}",) if more else ()),
            *tried,
        ),
        advice=_ADVICE.get(main.reason, "") if main else "",
        next=_next(pod, main, seen),
    )


def _said(obstacles: Sequence[Obstacle], seen: Seen) -> str:
    if not seen.nodes:
        return "No node can take it: the cluster has none"
    if not obstacles:
        return "No node could take it when the scheduler last looked"
    reasons = {found.reason for found in obstacles}
    if reasons == {"TooSmall"}:
        return "No node is large enough for what it asks for"
    if len(reasons) == 1:
        every = {
            "Cordoned": "every node is cordoned",
            "NodeNotReady": "no node is ready",
            "Tainted": "it tolerates no node's taints",
            "Selector": "no node has the labels that its nodeSelector asks for",
            "Ports": "a port that it needs is in use on every node",
            "TooFull": "no node has enough room left",
        }
        return f"No node can take it: {every[reasons.pop()]}"
    return "No node can take it, each for a reason of its own"


def _main(obstacles: Sequence[Obstacle]) -> Obstacle | None:
    """The one that is mended most easily: a node that would do but for it."""
    order = ("Cordoned", "Tainted", "Selector", "Ports", "TooFull", "NodeNotReady", "TooSmall")
    return min(obstacles, key=lambda found: order.index(found.reason), default=None)


def _next(pod: Pod, main: Obstacle | None, seen: Seen) -> tuple[str, ...]:
    if main is None:
        return ("longshore get nodes",)
    match main.reason:
        case "Cordoned":
            return (f"longshore uncordon {main.node}",)
        case "NodeNotReady":
            return (f"longshore why node/{main.node}",)
        case "Tainted" | "Selector":
            return (f"longshore edit node {main.node}",)
        case _:
            inside = seen.inside(pod.metadata.namespace)
            return (f"longshore describe pod {pod.metadata.name}{inside}", "longshore status")


def obstacle(pod: Pod, node: Node, seen: Seen) -> Obstacle | None:
    """The first thing that keeps a pod off a node; None when nothing that can be seen here does."""
    name = node.metadata.name
    ready = condition(node.status.conditions, "Ready")
    if ready is None or ready.status != "True":
        return Obstacle(name, "NodeNotReady", "is not ready")
    if node.spec.unschedulable:
        return Obstacle(name, "Cordoned", "is cordoned")
    for taint in node.spec.taints:
        if taint.effect == "PreferNoSchedule" or tolerates(
            pod.spec.tolerations, taint.key, taint.value, taint.effect
        ):
            continue
        if taint.key in (UNREACHABLE_TAINT, NOT_READY_TAINT):
            return Obstacle(name, "NodeNotReady", "is not ready")
        value = f"={taint.value}" if taint.value else ""
        said = f"has the taint {taint.key}{value}:{taint.effect}, which it does not tolerate"
        return Obstacle(name, "Tainted", said)
    for key, value in sorted(pod.spec.node_selector.items()):
        there = node.metadata.labels.get(key)
        if there != value:
            other = f"{key}={there}" if there is not None else f"no label {key}"
            return Obstacle(name, "Selector", f"has {other}, it wants {key}={value}")
    return _without_room(pod, node, seen)


def _without_room(pod: Pod, node: Node, seen: Seen) -> Obstacle | None:
    name = node.metadata.name
    there = [one for one in seen.pods_on(name) if not is_terminated(one)]
    taken = {port[1:] for one in there for port in host_ports(one.spec)}
    for _, protocol, port in sorted(host_ports(pod.spec)):
        if (protocol, port) in taken:
            return Obstacle(name, "Ports", f"port {port}/{protocol} is in use there")
    sizes = allocatable(node)
    for resource, asked in sorted((requests(pod.spec) | {"pods": 1}).items()):
        size = sizes.get(resource, ALL_NODES if resource == "pods" else 0)
        if asked > size:
            said = f"has {amount(resource, size)} {resource}, it asks for {amount(resource, asked)}"
            return Obstacle(name, "TooSmall", said)
        used = used_of(there, resource)
        if seen.has_all_pods and used + asked > size:
            free = amount(resource, max(0, size - used))
            of = f"{free} of {amount(resource, size)} {resource} left"
            return Obstacle(name, "TooFull", f"has {of}, it asks for {amount(resource, asked)}")
    return None


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
