"""What a controller is: which objects' changes concern it, and its plan for one of its own."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Generic, TypeVar

from orchestrator.core.decisions import Plan
from orchestrator.core.ownership import selector_of
from orchestrator.world import Entry, World
from proto.kinds.kind import Kind
from proto.meta import Resource

K = TypeVar("K", bound=tuple[str, ...])
R = TypeVar("R", bound=Resource)

Name = tuple[str, str]
"""Namespace and name."""


class Controller(ABC, Generic[K]):
    """Reads the world, changes nothing.

    Attributes:
        name: For the log.
        kinds: Whose changes concern it; None: every kind's.
    """

    name: ClassVar[str]
    kinds: ClassVar[frozenset[Kind[Any]] | None]

    def __init__(self, world: World) -> None:
        self._world = world

    def initial(self) -> Iterable[K]:
        """What to look at when a term begins, apart from what `woken_by` says of every object."""
        return ()

    @abstractmethod
    def woken_by(self, entry: Entry) -> Iterable[K]:
        """Whom to look at when this object has come, gone or changed: asked of both its states."""

    def woken_by_end(self, _entry: Entry) -> Iterable[K]:
        """Whom else, when it is gone."""
        return ()

    async def follow(self, ring: Callable[[K], None]) -> None:
        """Look after what is not in the world, for one term; ring for whom it concerns."""

    @abstractmethod
    def plan(self, key: K, now_ms: int) -> Plan:
        """What to do about one; pure but for reading the world. Nothing, if it is gone."""


def wakes(world: World, kind: Kind[Any], entry: Entry) -> Iterator[Name]:
    """The objects of a kind that an object is, is controlled by, or as an orphan may be adopted by.

    The kind is a namespaced one with a selector in its spec.
    """
    if entry.kind is kind:
        yield entry.namespace, entry.name
        return
    owner = entry.object.metadata.controller
    if owner is not None:
        if owner.kind == kind.name:
            yield entry.namespace, owner.name
        return
    for candidate in world.objects(kind, entry.namespace):
        selector = selector_of(candidate)
        if not selector.is_empty and selector.matches(entry.object.metadata.labels):
            yield entry.namespace, candidate.metadata.name


def candidates(world: World, owner: Resource, kind: Kind[R]) -> list[R]:
    """What an object owns of a kind, and what in its namespace it may adopt: nobody owns that."""
    meta = owner.metadata
    return [*world.owned_by(meta.uid, kind), *world.orphans(kind, meta.namespace)]
