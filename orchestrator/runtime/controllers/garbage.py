"""Owners and their dependents: woken by everything that has an owner or waits to be deleted."""

from collections.abc import Iterator

from orchestrator.core import garbage
from orchestrator.core.decisions import Plan
from orchestrator.runtime.controllers.controller import Controller
from orchestrator.world import Entry

Key = tuple[str, str, str]
"""Resource, namespace and name."""


def _key(entry: Entry) -> Key:
    return entry.kind.resource, entry.namespace, entry.name


class Garbage(Controller[Key]):
    """See the module."""

    name = "garbage"
    kinds = None

    def woken_by(self, entry: Entry) -> Iterator[Key]:
        meta = entry.object.metadata
        if meta.owner_references or (meta.deletion_timestamp and meta.finalizers):
            yield _key(entry)

    def woken_by_end(self, entry: Entry) -> Iterator[Key]:
        """Whoever depended on it, or waited for it, is looked at again."""
        for dependent in self._world.dependents(entry.object.metadata.uid):
            yield _key(dependent)
        for reference in entry.object.metadata.owner_references:
            owner = self._world.by_uid(reference.uid)
            if owner is not None and owner.object.metadata.finalizers:
                yield _key(owner)

    def plan(self, key: Key, _now_ms: int) -> Plan:
        resource, namespace, name = key
        kind = self._world.kinds.named(resource)
        found = None if kind is None else self._world.get(kind, namespace, name)
        if kind is None or found is None:
            return Plan()
        meta = found.metadata
        owners = {
            reference.uid: owner.object
            for reference in meta.owner_references
            if (owner := self._world.by_uid(reference.uid)) is not None
        }
        dependents = [(entry.kind, entry.object) for entry in self._world.dependents(meta.uid)]
        return garbage.plan(kind, found, owners, dependents)
