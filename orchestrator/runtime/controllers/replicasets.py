"""Replica sets: woken by their pods, and by pods that they may adopt."""

from collections.abc import Iterator

from orchestrator.core import replicaset
from orchestrator.core.decisions import Plan
from orchestrator.runtime.controllers.controller import Controller, Name, wakes
from orchestrator.world import Entry
from proto.kinds.pod import PODS
from proto.kinds.replicaset import REPLICASETS


class ReplicaSets(Controller[Name]):
    """See the module."""

    name = "replicaset"
    kinds = frozenset({REPLICASETS, PODS})

    def woken_by(self, entry: Entry) -> Iterator[Name]:
        return wakes(self._world, REPLICASETS, entry)

    def plan(self, key: Name, now_ms: int) -> Plan:
        found = self._world.get(REPLICASETS, *key)
        if found is None:
            return Plan()
        owned = self._world.owned_by(found.metadata.uid, PODS)
        orphans = self._world.orphans(PODS, key[0])
        return replicaset.plan(found, [*owned, *orphans], now_ms)
