"""Where things are kept in the store."""

from typing import Any

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

TOKEN_KEY = f"{ROOT}token-key"
"""The private key, PKCS #8 in PEM, that tokens of service accounts are signed with. Made for the
first of them; whoever removes it ends all of them."""


def of(kind: Kind[Any], namespace: str, name: str) -> str:
    """An object's key."""
    return f"{prefix(kind)}{namespace or '_'}/{name}"


def prefix(kind: Kind[Any]) -> str:
    """What all keys of a kind start with."""
    return f"{REGISTRY}{kind.group or 'core'}/{kind.plural}/"


def prefix_of(key: str) -> str:
    """The prefix of the kind of the object under a key; empty when it is no object's key."""
    group, _, rest = key.removeprefix(REGISTRY).partition("/")
    plural, _, name = rest.partition("/")
    return f"{REGISTRY}{group}/{plural}/" if name and key.startswith(REGISTRY) else ""


def deploy(namespace: str, digest: str) -> str:
    """A deploy event's outcome."""
    return f"{DEPLOYS}{namespace}/{digest}"
