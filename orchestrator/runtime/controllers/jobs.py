"""Jobs: woken by their pods, and by pods that they may adopt."""

from collections.abc import Iterator

from orchestrator.core.decisions import Plan
from orchestrator.core.job.plan import plan
from orchestrator.runtime.controllers.controller import Controller, Name, wakes
from orchestrator.world import Entry
from proto.kinds.job import JOBS
from proto.kinds.pod import PODS


class Jobs(Controller[Name]):
    """See the module."""

    name = "job"
    kinds = frozenset({JOBS, PODS})

    def woken_by(self, entry: Entry) -> Iterator[Name]:
        return wakes(self._world, JOBS, entry)

    def plan(self, key: Name, now_ms: int) -> Plan:
        found = self._world.get(JOBS, *key)
        if found is None:
            return Plan()
        owned = self._world.owned_by(found.metadata.uid, PODS)
        orphans = self._world.orphans(PODS, key[0])
        return plan(found, [*owned, *orphans], now_ms)
