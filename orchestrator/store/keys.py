"""Where things are kept in the store."""

from typing import Any

from proto import kinds
from proto.kinds.kind import Kind

ROOT = "/longshore/"
REGISTRY = f"{ROOT}registry/"
"""Every object: ``registry/<group or core>/<plural>/<namespace or _>/<name>``."""

LEADER = f"{ROOT}leader"
"""Held with a lease by the orchestrator that leads; its create revision is the epoch."""

MARK = f"{ROOT}mark"
"""Moved by every transaction of the writer: its mod revision is that of the last one."""

DEPLOYS = f"{ROOT}deploys/"
"""Outcome by message id of deploy events, so that each is applied once."""


_KINDS = {(kind.group or "core", kind.plural): kind for kind in kinds.ALL}


def of(kind: Kind[Any], namespace: str, name: str) -> str:
    """An object's key."""
    return f"{prefix(kind)}{namespace or '_'}/{name}"


def prefix(kind: Kind[Any]) -> str:
    """What all keys of a kind start with."""
    return f"{REGISTRY}{kind.group or 'core'}/{kind.plural}/"


def kind_of(key: str) -> Kind[Any] | None:
    """The kind of the object under a key; None for one that this version does not know."""
    parts = key.removeprefix(REGISTRY).split("/", 2)
    return _KINDS.get((parts[0], parts[1])) if len(parts) == 3 else None


def deploy(namespace: str, digest: str) -> str:
    """A deploy event's outcome."""
    return f"{DEPLOYS}{namespace}/{digest}"
