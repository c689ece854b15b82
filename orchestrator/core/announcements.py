"""Which changes of objects are news to other programs, and what they are called."""

from collections.abc import Iterator
from typing import Any

from orchestrator.core.node_verdicts import is_lost
from proto.kinds.deployment import DEPLOYMENTS
from proto.kinds.event import EVENTS
from proto.kinds.kind import Kind
from proto.kinds.node import NODES
from proto.kinds.pod import PODS
from proto.meta import Resource, condition, is_true


def of(kind: Kind[Any], old: Resource | None, new: Resource | None) -> Iterator[str]:
    """The news in one change, most general first, such as ``created`` or ``bound``.

    Args:
        kind: Of the object; Events are told to people, not announced.
        old: Before; None when it was created.
        new: After; None when it is gone.
    """
    if kind is EVENTS:
        return
    if old is None:
        yield "created"
    if new is None:
        yield "deleted"
        return
    if kind is PODS:
        yield from _pod(old, new)
    elif kind is NODES:
        yield from _node(old, new)
    elif kind is DEPLOYMENTS:
        yield from _deployment(old, new)


def _pod(old: Any, new: Any) -> Iterator[str]:
    if new.spec.node_name and (old is None or not old.spec.node_name):
        yield "bound"
    phase = "" if old is None else old.status.phase
    news = {"Running": "started", "Succeeded": "succeeded", "Failed": "failed"}
    if new.status.phase != phase and new.status.phase in news:
        yield news[new.status.phase]
    yield from _turned(old, new, "Ready", "ready", "unready")
    if new.metadata.deletion_timestamp and (old is None or not old.metadata.deletion_timestamp):
        yield "terminating"


def _node(old: Any, new: Any) -> Iterator[str]:
    yield from _turned(old, new, "Ready", "ready", "unready")
    if is_lost(new) and not (old is not None and is_lost(old)):
        yield "lost"


def _deployment(old: Any, new: Any) -> Iterator[str]:
    was = condition(old.status.conditions, "Progressing") if old is not None else None
    now = condition(new.status.conditions, "Progressing")
    if now is None or (was is not None and was.reason == now.reason):
        return
    news = {
        "NewReplicaSetAvailable": "rolled-out",
        "ProgressDeadlineExceeded": "stuck",
        "ReplicaSetUpdated": "rolling",
    }
    if now.reason in news:
        yield news[now.reason]


def _turned(old: Any, new: Any, type_: str, on: str, off: str) -> Iterator[str]:
    before = old is not None and is_true(old.status.conditions, type_)
    after = is_true(new.status.conditions, type_)
    if before != after:
        yield on if after else off
