"""Namespaces: woken by whatever changes in one that is being deleted."""

from collections.abc import Iterable, Iterator

from orchestrator.core import namespaces
from orchestrator.core.decisions import Plan
from orchestrator.runtime.controllers.controller import Controller
from orchestrator.world import Entry
from proto.kinds.namespace import NAMESPACES


class Namespaces(Controller[tuple[str]]):
    """See the module."""

    name = "namespace"
    kinds = None

    def initial(self) -> Iterable[tuple[str]]:
        return [(name,) for name in namespaces.INITIAL]

    def woken_by(self, entry: Entry) -> Iterator[tuple[str]]:
        if entry.kind is NAMESPACES:
            yield (entry.name,)
        elif entry.namespace:
            room = self._world.get(NAMESPACES, "", entry.namespace)
            if room is not None and room.metadata.deletion_timestamp:
                yield (entry.namespace,)

    def plan(self, key: tuple[str], now_ms: int) -> Plan:
        (name,) = key
        found = self._world.get(NAMESPACES, "", name)
        if found is None:
            return namespaces.initial(name)
        if not found.metadata.deletion_timestamp:
            return Plan()
        contents = [
            (entry.kind, entry.object)
            for kind in self._world.kinds.all
            if kind.is_namespaced
            for entry in self._world.entries(kind, name)
        ]
        return namespaces.plan(found, contents, now_ms)
