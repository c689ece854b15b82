"""Replica sets and replication controllers: woken by their pods, and by pods they may adopt."""

from collections.abc import Iterator
from typing import Any, ClassVar

from orchestrator.core import replicaset
from orchestrator.core.decisions import Plan
from orchestrator.runtime.controllers.controller import Controller, Name, candidates, wakes
from orchestrator.world import Entry
from proto.kinds.kind import Kind
from proto.kinds.pod import PODS
from proto.kinds.replicaset import REPLICASETS
from proto.kinds.replicationcontroller import REPLICATION_CONTROLLERS


class ReplicaSets(Controller[Name]):
    """See the module."""

    name = "replicaset"
    kind: ClassVar[Kind[Any]] = REPLICASETS
    kinds = frozenset({REPLICASETS, PODS})

    def woken_by(self, entry: Entry) -> Iterator[Name]:
        return wakes(self._world, self.kind, entry)

    def plan(self, key: Name, now_ms: int) -> Plan:
        found = self._world.get(self.kind, *key)
        if found is None:
            return Plan()
        return replicaset.plan(self.kind, found, candidates(self._world, found, PODS), now_ms)


class ReplicationControllers(ReplicaSets):
    """The same of another kind."""

    name = "replicationcontroller"
    kind = REPLICATION_CONTROLLERS
    kinds = frozenset({REPLICATION_CONTROLLERS, PODS})
