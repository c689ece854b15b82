"""Cron jobs: woken by their jobs, and by the time of the next."""

from collections.abc import Iterator

from orchestrator.core import cronjob
from orchestrator.core.decisions import Plan
from orchestrator.runtime.controllers.controller import Controller, Name
from orchestrator.world import Entry
from proto.kinds.cronjob import CRON_JOBS
from proto.kinds.job import JOBS


class CronJobs(Controller[Name]):
    """See the module."""

    name = "cronjob"
    kinds = frozenset({CRON_JOBS, JOBS})

    def woken_by(self, entry: Entry) -> Iterator[Name]:
        if entry.kind is CRON_JOBS:
            yield entry.namespace, entry.name
            return
        owner = entry.object.metadata.controller
        if owner is not None and owner.kind == CRON_JOBS.name:
            yield entry.namespace, owner.name

    def plan(self, key: Name, now_ms: int) -> Plan:
        found = self._world.get(CRON_JOBS, *key)
        if found is None:
            return Plan()
        jobs = self._world.owned_by(found.metadata.uid, JOBS)
        return cronjob.plan(found, jobs, now_ms)
