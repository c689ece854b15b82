"""Custom resource definitions: woken by their objects, and by others that want the same names."""

from collections.abc import Iterator

from orchestrator.core.custom import definitions
from orchestrator.core.decisions import Plan
from orchestrator.runtime.controllers.controller import Controller
from orchestrator.world import Entry
from proto import kinds
from proto.kinds.definition import DEFINITIONS, Names


class Definitions(Controller[tuple[str]]):
    """See the module."""

    name = "definition"
    kinds = None  # those that are declared come and go

    def woken_by(self, entry: Entry) -> Iterator[tuple[str]]:
        if entry.kind.schema is not None:
            yield (entry.kind.resource,)
        elif entry.kind is DEFINITIONS:  # and those that may have waited for one of its names
            for found in self._world.objects(DEFINITIONS):
                if found.spec.group == entry.object.spec.group:
                    yield (found.metadata.name,)

    def plan(self, key: tuple[str], now_ms: int) -> Plan:
        (name,) = key
        found = self._world.get(DEFINITIONS, "", name)
        if found is None:
            return Plan()
        taken = [
            other.status.accepted_names
            for other in self._world.objects(DEFINITIONS)
            if other.spec.group == found.spec.group
            and other.metadata.uid != found.metadata.uid
            and other.status.accepted_names is not None
        ]
        taken += [
            Names(plural=k.plural, singular=k.singular, kind=k.name, short_names=k.short_names)
            for k in kinds.ALL
            if k.group == found.spec.group
        ]
        contents = [
            (entry.kind, entry.object)
            for kind in self._world.kinds.declared(name)
            for entry in self._world.entries(kind)
        ]
        return definitions.plan(found, taken, contents, now_ms)
