"""Why a pod is pending, restarting, not ready, terminating, or where it went."""

from collections.abc import Iterator

from orchestrator.cli.why import containers, ending, placing, words
from orchestrator.cli.why.finding import Explanation, Finding, Weight, ordered
from orchestrator.cli.why.seen import Seen
from proto.kinds.node import Node
from proto.kinds.pod import Pod, is_ready, is_terminated, status_cell
from proto.meta import condition

UNANSWERED_MS = 10_000
"""An agent takes up a pod within milliseconds."""


def explain_pod(pod: Pod, seen: Seen) -> Explanation:
    """All findings on one pod."""
    findings = ordered(_findings(pod, seen)) or (_fine(pod, seen),)
    return Explanation(
        kind="pod",
        name=pod.metadata.name,
        namespace=pod.metadata.namespace,
        summary=_summary(pod, seen),
        findings=findings,
    )


def is_plainly_well(pod: Pod) -> bool:
    """Whether there is nothing to look for: the quick answer for most pods of a large cluster."""
    return (
        is_ready(pod)
        and not pod.metadata.deletion_timestamp
        and not any(status.restart_count for status in pod.status.container_statuses)
    )


def _findings(pod: Pod, seen: Seen) -> Iterator[Finding]:
    yield from ending.findings_of(pod, seen)
    if is_terminated(pod):
        yield from _of_containers(pod, seen)
        return
    if not pod.metadata.deletion_timestamp:
        yield from placing.findings_of(pod, seen)
    if node := seen.node(pod.spec.node_name):
        yield from _of_node(pod, node, seen)
    yield from _of_containers(pod, seen)
    if pod.spec.node_name and not pod.metadata.deletion_timestamp:
        yield from _not_taken_up(pod, seen)
        yield from _not_ready(pod, seen)


def _of_containers(pod: Pod, seen: Seen) -> Iterator[Finding]:
    for status in pod.status.container_statuses:
        yield from containers.findings_of(pod, status, seen)


def _of_node(pod: Pod, node: Node, seen: Seen) -> Iterator[Finding]:
    """What its node does to it."""
    name = node.metadata.name
    ready = condition(node.status.conditions, "Ready")
    if ready is not None and ready.status != "True":
        since = words.age(ready.last_transition_time, seen.now_ms)
        is_bare = pod.metadata.controller is None
        stays = " It has no controller, so nothing replaces it elsewhere." if is_bare else ""
        yield Finding(
            weight=Weight.PROBLEM,
            reason="NodeNotReady",
            what=f"Its node {name} has not been ready for {since}: what is shown of it is old",
            evidence=tuple(filter(None, (f"{ready.reason}: {ready.message}", pod.status.message))),
            advice=f"Bring the node back.{stays}",
            next=(f"longshore why node/{name}",),
        )
    elif node.spec.unschedulable:
        yield from _held(pod, name, seen)


def _held(pod: Pod, node: str, seen: Seen) -> Iterator[Finding]:
    """On a cordoned node: a drain would move it, unless a budget forbids."""
    for budget in seen.budgets:
        meta, status = budget.metadata, budget.status
        selector = budget.spec.selector
        if (
            meta.namespace == pod.metadata.namespace
            and selector is not None
            and selector.matches(pod.metadata.labels)
            and status.observed_generation
            and not status.disruptions_allowed
        ):
            yield Finding(
                weight=Weight.NOTE,
                reason="HeldByDisruptionBudget",
                what=f"Its node {node} is cordoned, and the budget {meta.name} lets no pod go now",
                evidence=(words.budgeted(budget),),
                advice="Have more replicas ready, or lower the budget.",
            )


def _not_taken_up(pod: Pod, seen: Seen) -> Iterator[Finding]:
    if pod.status.container_statuses:
        return
    scheduled = condition(pod.status.conditions, "PodScheduled")
    since_ms = words.time_ms(scheduled.last_transition_time) if scheduled else None
    is_late = since_ms is not None and seen.now_ms - since_ms > UNANSWERED_MS
    name = pod.spec.node_name
    yield Finding(
        weight=Weight.PROBLEM if is_late else Weight.NOTE,
        reason="NotTakenUp",
        what=f"It was given to {name}, whose agent has not reported it yet",
        next=(f"longshore why node/{name}",) if is_late else (),
    )


def _not_ready(pod: Pod, seen: Seen) -> Iterator[Finding]:
    """Everything runs, and still it does not count as ready."""
    statuses = pod.status.container_statuses
    if is_ready(pod) or not statuses or not all(status.state.running for status in statuses):
        return
    ready = condition(pod.status.conditions, "Ready")
    if ready is not None and ready.reason == "NodeLost":
        return  # its node says it better
    unready = [status.name for status in statuses if not status.ready]
    failed = seen.events_of(pod, "Unhealthy")[:2]
    yield Finding(
        weight=Weight.PROBLEM,
        reason="NotReady",
        what=f"It runs, and is not ready: {words.listed(unready) or 'a condition does not hold'}",
        evidence=(
            *((f"{ready.reason}: {ready.message}",) if ready and ready.reason else ()),
            *(words.told(event, seen.now_ms) for event in failed),
        ),
        advice="Its readiness probe fails." if failed else "",
        next=(f"longshore logs {pod.metadata.name}{seen.inside(pod.metadata.namespace)}",),
    )


def _fine(pod: Pod, seen: Seen) -> Finding:
    ready = condition(pod.status.conditions, "Ready")
    if is_terminated(pod):
        what = "It has done what it was to do"
    elif ready is not None and ready.status == "True":
        since = words.age(ready.last_transition_time, seen.now_ms)
        what = f"It has been Running and Ready for {since}; nothing to explain"
    else:
        what = f"It is {pod.status.phase or 'Pending'}; nothing is wrong that the API shows"
    return Finding(weight=Weight.FINE, reason="Fine", what=what)


def _summary(pod: Pod, seen: Seen) -> str:
    where = f" on {pod.spec.node_name}" if pod.spec.node_name else ""
    age = words.age(pod.metadata.creation_timestamp, seen.now_ms)
    restarts = sum(status.restart_count for status in pod.status.container_statuses)
    again = f", {words.count(restarts, 'restart')}" if restarts else ""
    return f"pod {pod.metadata.name} is {status_cell(pod)}{where}, {age} old{again}"


def explain_gone_pod(namespace: str, name: str, seen: Seen) -> Explanation | None:
    """What became of a pod that is not there any more; None when nobody ever told of it.

    Args:
        namespace: Where it was.
        name: Its name.
        seen: With the events that are still kept.
    """
    events = seen.events_named("Pod", namespace, name)
    if not events:
        return None
    told = {event.reason: event for event in reversed(events)}
    inside = seen.inside(namespace)
    if lost := told.get("NodeLost"):
        what, reason = "It was removed because its node was lost", "NodeLost"
        key = lost
    elif evicted := told.get("TaintManagerEviction"):
        what, reason = "It was evicted by a taint of its node", "Evicted"
        key = evicted
    elif killed := told.get("Killing"):
        what, reason = "It was deleted, and stopped", "Deleted"
        key = killed
    else:
        what, reason, key = "It was deleted", "Deleted", events[0]
    return Explanation(
        kind="pod",
        name=name,
        namespace=namespace,
        summary=f"pod {name} is gone",
        findings=(
            Finding(
                weight=Weight.NOTE,
                reason=reason,
                what=what,
                evidence=tuple(
                    dict.fromkeys(words.told(event, seen.now_ms) for event in (key, *events[:4]))
                ),
                next=(f"longshore get pods{inside}", f"longshore events{inside}"),
            ),
        ),
    )
