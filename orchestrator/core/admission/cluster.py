"""The rest of the cluster, as admission reads it, and how it says no."""

from typing import Any, Protocol, TypeVar

from proto.errors import Forbidden
from proto.kinds.kind import Kind
from proto.meta import Resource

R = TypeVar("R", bound=Resource)


class Kinds(Protocol):
    """Which kinds there are."""

    def named(self, resource: str) -> Kind[Any] | None:
        """The kind of a plural with its group: ``deployments.apps``."""
        ...


class Cluster(Protocol):
    """What there is at present; the world, or a few objects in tests."""

    @property
    def kinds(self) -> Kinds:
        """Built-in and declared ones."""
        ...

    def get(self, kind: Kind[R], namespace: str, name: str) -> R | None:
        """One object; None when there is none."""
        ...

    def objects(self, kind: Kind[R], namespace: str | None = None) -> list[R]:
        """All objects of a kind, or those of one namespace, ordered by namespace and name."""
        ...


def forbidden(kind: Kind[Any], found: Resource, why: str) -> Forbidden:
    """The refusal of an object, in Kubernetes' words."""
    return Forbidden(f'{kind.resource} "{found.metadata.name}" is forbidden: {why}')
