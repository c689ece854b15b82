"""Deployments: woken by replica sets, the pods of these, and configuration that rolls them."""

from collections.abc import Iterator

from orchestrator.core import deployment
from orchestrator.core.decisions import Plan
from orchestrator.runtime.controllers import configuration
from orchestrator.runtime.controllers.controller import Controller, Name, wakes
from orchestrator.world import Entry
from proto.kinds.deployment import DEPLOYMENTS
from proto.kinds.pod import PODS
from proto.kinds.replicaset import REPLICASETS


class Deployments(Controller[Name]):
    """See the module."""

    name = "deployment"
    kinds = frozenset({DEPLOYMENTS, REPLICASETS, PODS, *configuration.KINDS})

    def woken_by(self, entry: Entry) -> Iterator[Name]:
        if entry.kind in configuration.KINDS:
            yield from configuration.wakes(self._world, DEPLOYMENTS, entry)
            return
        if entry.kind is not PODS:
            yield from wakes(self._world, DEPLOYMENTS, entry)
            return
        owner = entry.object.metadata.controller
        if owner is not None and owner.kind == REPLICASETS.name:
            found = self._world.entry(REPLICASETS, entry.namespace, owner.name)
            if found is not None:  # a deployment counts the pods of its replica sets
                yield from wakes(self._world, DEPLOYMENTS, found)

    def plan(self, key: Name, now_ms: int) -> Plan:
        found = self._world.get(DEPLOYMENTS, *key)
        if found is None:
            return Plan()
        owned = self._world.owned_by(found.metadata.uid, REPLICASETS)
        orphans = self._world.orphans(REPLICASETS, key[0])
        pods = {rs.metadata.uid: self._world.owned_by(rs.metadata.uid, PODS) for rs in owned}
        configs = configuration.of(self._world, found)
        return deployment.plan(found, [*owned, *orphans], pods, now_ms, configs)
