"""The whole state that the page renders, from what was seen. Pure."""

from collections.abc import Iterator

from msgspec import Struct

from orchestrator.cli.overview import Overview, overview_kind
from orchestrator.cli.why import Seen, Weight, explain
from orchestrator.cli.why.pods import is_plainly_well
from proto.kinds.pod import Pod, is_ready, is_terminated, ready_cell, status_cell


class PodPicture(Struct, frozen=True, kw_only=True, rename="camel"):
    """One pod.

    Attributes:
        tone: ``well``, ``busy`` (on its way, or worth a look), ``bad`` or ``done``.
        what: The first thing to say of it, when it is not well.
        owner: ``deploy/web``; empty for a bare pod.
        created: RFC 3339.
    """

    namespace: str
    name: str
    node: str
    state: str
    tone: str
    what: str
    ready: str
    restarts: int
    created: str
    owner: str
    ip: str
    images: tuple[str, ...]
    containers: tuple[str, ...]


class Picture(Struct, frozen=True, kw_only=True, rename="camel"):
    """Everything.

    Attributes:
        now: Epoch milliseconds: the page counts ages from it.
        behind: Why this may be out of date; empty when it is not.
    """

    now: int
    behind: str
    overview: Overview
    pods: tuple[PodPicture, ...]


def picture(seen: Seen, overview: Overview, behind: str) -> Picture:
    """The page's state."""
    pods = sorted(seen.pods, key=lambda pod: (pod.metadata.namespace, pod.metadata.name))
    return Picture(
        now=seen.now_ms,
        behind=behind,
        overview=overview,
        pods=tuple(_pods(pods, seen)),
    )


def _pods(pods: list[Pod], seen: Seen) -> Iterator[PodPicture]:
    for pod in pods:
        tone, what = _tone(pod, seen)
        owner = seen.controller_of(pod)
        yield PodPicture(
            namespace=pod.metadata.namespace,
            name=pod.metadata.name,
            node=pod.spec.node_name,
            state=status_cell(pod),
            tone=tone,
            what=what,
            ready=ready_cell(pod),
            restarts=sum(status.restart_count for status in pod.status.container_statuses),
            created=pod.metadata.creation_timestamp,
            owner=f"{overview_kind(owner)}/{owner.metadata.name}" if owner else "",
            ip=pod.status.pod_ip,
            images=tuple(container.image for container in pod.spec.containers),
            containers=tuple(container.name for container in pod.spec.all_containers),
        )


def _tone(pod: Pod, seen: Seen) -> tuple[str, str]:
    if is_plainly_well(pod):
        return "well", ""
    first = explain(pod, seen).findings[0]
    if first.weight is Weight.PROBLEM:
        return "bad", first.what
    if is_terminated(pod):
        return "done", first.what
    if first.weight is Weight.NOTE:
        return "busy", first.what
    return ("well", "") if is_ready(pod) else ("busy", first.what)
