"""A rollout as it stands: its pods, how far it is, what holds it up. Pure.

`rollout` reads the present; `changes` tells what is new since the last look, for those who read
lines. Source of the verdict: kubectl, rollout status.
"""

import enum
from collections.abc import Iterator, Sequence

from msgspec import Struct

from orchestrator.cli.why import Finding, Seen, Weight, explain, words
from orchestrator.cli.why.seen import last_ms
from proto.kinds.deployment import REVISION_ANNOTATION, Deployment
from proto.kinds.event import Event
from proto.kinds.pod import Pod, is_ready, status_cell
from proto.kinds.replicaset import ReplicaSet
from proto.meta import condition

TIMED_OUT = "ProgressDeadlineExceeded"


class Verdict(enum.StrEnum):
    """How it stands."""

    ROLLING = "rolling"
    DONE = "done"
    FAILED = "failed"
    """It made no progress until its deadline."""
    PAUSED = "paused"
    GONE = "gone"


class PodLine(Struct, frozen=True, kw_only=True):
    """One pod.

    Attributes:
        state: As ``kubectl get pods`` shows it.
        is_new: Of the present template.
    """

    name: str
    node: str
    state: str
    created: str
    restarts: int
    is_new: bool
    is_ready: bool


class Rollout(Struct, frozen=True, kw_only=True):
    """One deployment's.

    Attributes:
        updated: Pods of the present template, of `wanted`.
        ready: Of those, how many are.
        available: Of all pods, new and old.
        old: Pods of earlier templates that are still there.
        stuck: What keeps it from going on, while it does.
        events: Told of it and its pods since it began, the latest last.
    """

    namespace: str
    name: str
    images: tuple[str, ...] = ()
    wanted: int = 0
    updated: int = 0
    ready: int = 0
    available: int = 0
    old: int = 0
    pods: tuple[PodLine, ...] = ()
    verdict: Verdict
    stuck: tuple[Finding, ...] = ()
    events: tuple[Event, ...] = ()


def rollout(namespace: str, name: str, seen: Seen, since_ms: int) -> Rollout:
    """How the deployment of that name stands.

    Args:
        namespace: Its.
        name: Its.
        seen: Its namespace.
        since_ms: When somebody began to look: earlier events are of an earlier rollout.
    """
    found = next(
        (
            one
            for one in seen.deployments
            if (one.metadata.namespace, one.metadata.name) == (namespace, name)
        ),
        None,
    )
    if found is None:
        return Rollout(namespace=namespace, name=name, verdict=Verdict.GONE)
    new = new_replica_set(found, seen)
    pods = sorted(seen.pods_of(found), key=lambda pod: pod.metadata.creation_timestamp)
    lines = tuple(_line(pod, new) for pod in pods)
    verdict = _verdict(found)
    problems = explain(found, seen).findings if verdict is not Verdict.DONE else ()
    return Rollout(
        namespace=namespace,
        name=name,
        images=tuple(c.image for c in found.spec.template.spec.containers),
        wanted=found.spec.replicas or 0,
        updated=found.status.updated_replicas if _is_looked_at(found) else 0,
        ready=sum(line.is_new and line.is_ready for line in lines),
        available=found.status.available_replicas,
        old=sum(not line.is_new for line in lines),
        pods=lines,
        verdict=verdict,
        stuck=tuple(one for one in problems if one.weight is Weight.PROBLEM),
        events=tuple(_events(found, pods, seen, since_ms)),
    )


def new_replica_set(found: Deployment, seen: Seen) -> ReplicaSet | None:
    """That of the present template: the one of the deployment's own revision."""
    if not _is_looked_at(found):
        return None
    revision = found.metadata.annotations.get(REVISION_ANNOTATION)
    sets = seen.replica_sets_of(found)
    return next(
        (rs for rs in sets if rs.metadata.annotations.get(REVISION_ANNOTATION) == revision), None
    )


def _is_looked_at(found: Deployment) -> bool:
    """Whether the status is about the present spec."""
    return found.status.observed_generation >= found.metadata.generation


def _line(pod: Pod, new: ReplicaSet | None) -> PodLine:
    owner = pod.metadata.controller
    return PodLine(
        name=pod.metadata.name,
        node=pod.spec.node_name,
        state=status_cell(pod),
        created=pod.metadata.creation_timestamp,
        restarts=sum(status.restart_count for status in pod.status.container_statuses),
        is_new=new is not None and owner is not None and owner.uid == new.metadata.uid,
        is_ready=is_ready(pod) and not pod.metadata.deletion_timestamp,
    )


def _verdict(found: Deployment) -> Verdict:
    status, wanted = found.status, found.spec.replicas or 0
    if found.metadata.deletion_timestamp:
        return Verdict.GONE
    if not _is_looked_at(found):
        return Verdict.ROLLING
    progressing = condition(status.conditions, "Progressing")
    if progressing is not None and progressing.reason == TIMED_OUT:
        return Verdict.FAILED
    is_done = (
        status.updated_replicas >= wanted
        and status.replicas <= status.updated_replicas
        and status.available_replicas >= status.updated_replicas
    )
    if is_done:
        return Verdict.DONE
    return Verdict.PAUSED if found.spec.paused else Verdict.ROLLING


def _events(found: Deployment, pods: Sequence[Pod], seen: Seen, since_ms: int) -> Iterator[Event]:
    about = [found, *seen.replica_sets_of(found), *pods]
    events = [event for one in about for event in seen.events_of(one)]
    # Events tell whole seconds: one of the second in which it began is of it.
    recent = (event for event in events if last_ms(event) >= since_ms // 1000 * 1000)
    yield from sorted(recent, key=last_ms)


def counted(found: Rollout) -> str:
    """How far it is, in one line."""
    old = f", {words.count(found.old, 'old pod')} left" if found.old else ""
    return (
        f"{found.updated} of {found.wanted} updated, {found.ready} ready, "
        f"{found.available} available{old}"
    )


def changes(before: Rollout | None, after: Rollout) -> Iterator[str]:
    """What is new, a line each."""
    was = {pod.name: pod for pod in before.pods} if before else {}
    now = {pod.name: pod for pod in after.pods}
    for pod in after.pods:
        line = _told(pod)
        if pod.name not in was or _told(was[pod.name]) != line:
            yield line
    for name in sorted(was.keys() - now.keys()):
        yield f"pod {name}: gone"
    told = {(e.metadata.name, e.count) for e in before.events} if before else set()
    for event in after.events:
        if event.type == "Warning" and (event.metadata.name, event.count) not in told:
            about = event.involved_object
            yield f"{about.kind.lower()} {about.name}: {event.reason}: {event.message.strip()}"
    if before is None or counted(before) != counted(after):
        yield counted(after)
    held = {one.reason for one in before.stuck} if before else set()
    for one in after.stuck:
        if one.reason not in held:
            yield f"stuck: {one.what}"


def _told(pod: PodLine) -> str:
    where = f" on {pod.node}" if pod.node else ""
    old = "" if pod.is_new else " (old)"
    ready = ", ready" if pod.is_ready else ""
    again = f", {words.count(pod.restarts, 'restart')}" if pod.restarts else ""
    return f"pod {pod.name}{old}{where}: {pod.state}{ready}{again}"
