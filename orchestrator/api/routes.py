"""What a path is about."""

from typing import Any

from msgspec import Struct

from orchestrator.world import Registry
from proto.kinds.kind import Kind


class Target(Struct, frozen=True):
    """A collection, an object, or a part of one.

    Attributes:
        namespace: Empty for a cluster-scoped kind; None for all namespaces.
        name: Empty for the collection.
        subresource: Empty for the object itself.
    """

    kind: Kind[Any]
    namespace: str | None = ""
    name: str = ""
    subresource: str = ""


def segments(path: str) -> list[str]:
    """The parts of a path; clients may add a slash at its end.

    >>> segments("/api/v1/"), segments("/")
    (['api', 'v1'], [])
    """
    inner = path.strip("/")
    return inner.split("/") if inner else []


def parse(parts: list[str], kinds: Registry) -> Target | None:
    """The target of ``/api/v1/…`` or ``/apis/<group>/<version>/…``; None when it names none."""
    match parts:
        case ["api", version, *rest] if rest:
            return _target(kinds, "", version, rest)
        case ["apis", group, version, *rest] if group and rest:
            return _target(kinds, group, version, rest)
    return None


def _target(kinds: Registry, group: str, version: str, rest: list[str]) -> Target | None:
    namespace: str | None = None
    if rest[0] == "namespaces" and len(rest) > 2:
        namespaced = kinds.at(group, version, rest[2])
        if namespaced is not None and namespaced.is_namespaced:
            namespace, rest = rest[1], rest[2:]
    kind = kinds.at(group, version, rest[0])
    if kind is None or len(rest) > 3 or "" in rest or namespace == "":
        return None
    name, subresource = (*rest[1:], "", "")[:2]
    if not kind.is_namespaced:
        namespace = ""
    elif namespace is None and name:
        return None
    if subresource and subresource not in subresources(kind):
        return None
    return Target(kind, namespace, name, subresource)


def subresources(kind: Kind[Any]) -> dict[str, tuple[str, ...]]:
    """A kind's subresources with their verbs."""
    found: dict[str, tuple[str, ...]] = {}
    if kind.has_status:
        found["status"] = ("get", "patch", "update")
    if kind.has_scale:
        found["scale"] = ("get", "patch", "update")
    return found | dict(kind.subresources)
