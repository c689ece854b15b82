"""Disruption budgets: woken by the pods they select."""

from collections.abc import Iterator

from orchestrator.core import disruption, scale
from orchestrator.core.decisions import Plan
from orchestrator.runtime.controllers.controller import Controller, Name
from orchestrator.world import Entry
from proto.kinds.deployment import DEPLOYMENTS
from proto.kinds.disruption import DISRUPTION_BUDGETS
from proto.kinds.pod import PODS
from proto.kinds.replicaset import REPLICASETS


class Budgets(Controller[Name]):
    """See the module."""

    name = "disruption"
    kinds = frozenset({DISRUPTION_BUDGETS, PODS})

    def woken_by(self, entry: Entry) -> Iterator[Name]:
        if entry.kind is DISRUPTION_BUDGETS:
            yield entry.namespace, entry.name
            return
        for budget in self._world.objects(DISRUPTION_BUDGETS, entry.namespace):
            if disruption.selects(budget, entry.object):
                yield entry.namespace, budget.metadata.name

    def plan(self, key: Name, now_ms: int) -> Plan:
        found = self._world.get(DISRUPTION_BUDGETS, *key)
        if found is None:
            return Plan()
        pods = [pod for pod in self._world.objects(PODS, key[0]) if disruption.selects(found, pod)]
        owners = {owner.uid for pod in pods if (owner := pod.metadata.controller) is not None}
        controllers = {uid: known for uid in owners if (known := self._controller(uid)) is not None}
        return disruption.plan(found, pods, controllers, now_ms)

    def _controller(self, uid: str) -> disruption.Controller | None:
        """Who keeps up the number of an owner's pods: itself, or a replica set's deployment."""
        entry = self._world.by_uid(uid)
        if entry is not None and entry.kind is REPLICASETS:
            above = entry.object.metadata.controller
            if above is not None and above.kind == DEPLOYMENTS.name:
                owner = self._world.by_uid(above.uid)
                entry = owner if owner is not None and owner.kind is DEPLOYMENTS else None
        if entry is None or not entry.kind.has_scale:
            return None
        wanted = scale.numbers(entry.object, entry.kind.scale).wanted
        return disruption.Controller(entry.object.metadata.uid, wanted)
