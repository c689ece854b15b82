"""Resource quotas: woken by whatever they count."""

from collections.abc import Iterator

from orchestrator.core import resource_quota
from orchestrator.core.admission import quotas, usage
from orchestrator.core.decisions import Plan
from orchestrator.runtime.controllers.controller import Controller, Name
from orchestrator.world import Entry
from proto.kinds.quota import RESOURCE_QUOTAS


class Quotas(Controller[Name]):
    """See the module."""

    name = "resourcequota"
    kinds = None

    def woken_by(self, entry: Entry) -> Iterator[Name]:
        if entry.kind is RESOURCE_QUOTAS:
            yield entry.namespace, entry.name
        if entry.namespace:
            for quota in self._world.objects(RESOURCE_QUOTAS, entry.namespace):
                if entry.kind.resource in usage.counted(quota.spec.hard):
                    yield entry.namespace, quota.metadata.name

    def plan(self, key: Name, _now_ms: int) -> Plan:
        found = self._world.get(RESOURCE_QUOTAS, *key)
        if found is None or found.metadata.deletion_timestamp:
            return Plan()
        return resource_quota.plan(found, quotas.used(found, self._world))
