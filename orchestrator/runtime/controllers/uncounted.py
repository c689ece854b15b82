"""Pods whose end a job was to count that is gone: woken by them, and by the ends of jobs."""

from collections.abc import Iterator

from orchestrator.core.decisions import Plan
from orchestrator.core.job.plan import orphaned
from orchestrator.core.job.view import is_tracked
from orchestrator.runtime.controllers.controller import Controller, Name
from orchestrator.world import Entry
from proto.kinds.job import JOBS
from proto.kinds.pod import PODS


class Uncounted(Controller[Name]):
    """Its keys are the names of pods."""

    name = "uncounted"
    kinds = frozenset({JOBS, PODS})

    def woken_by(self, entry: Entry) -> Iterator[Name]:
        if entry.kind is PODS and is_tracked(entry.object):
            yield entry.namespace, entry.name

    def woken_by_end(self, entry: Entry) -> Iterator[Name]:
        for pod in self._world.owned_by(entry.object.metadata.uid, PODS):
            yield entry.namespace, pod.metadata.name

    def plan(self, key: Name, _now_ms: int) -> Plan:
        found = self._world.get(PODS, *key)
        if found is None:
            return Plan()
        owner = found.metadata.controller
        job = None if owner is None else self._world.by_uid(owner.uid)
        return orphaned(found) if job is None else Plan()
