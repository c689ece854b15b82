"""Stateful sets: woken by revisions, pods, their places' claims, configuration that rolls them."""

from collections.abc import Iterator

from orchestrator.core import stateful_pod, statefulset
from orchestrator.core.decisions import Plan
from orchestrator.runtime.controllers import configuration
from orchestrator.runtime.controllers.controller import Controller, Name, candidates, wakes
from orchestrator.world import Entry
from proto.kinds.controllerrevision import CONTROLLER_REVISIONS
from proto.kinds.pod import PODS
from proto.kinds.statefulset import STATEFUL_SETS
from proto.kinds.storage import PERSISTENT_VOLUME_CLAIMS


class StatefulSets(Controller[Name]):
    """See the module."""

    name = "statefulset"
    kinds = frozenset(
        {
            STATEFUL_SETS,
            CONTROLLER_REVISIONS,
            PODS,
            PERSISTENT_VOLUME_CLAIMS,
            *configuration.KINDS,
        }
    )

    def woken_by(self, entry: Entry) -> Iterator[Name]:
        if entry.kind in configuration.KINDS:
            yield from configuration.wakes(self._world, STATEFUL_SETS, entry)
            return
        if entry.kind is not PERSISTENT_VOLUME_CLAIMS:
            yield from wakes(self._world, STATEFUL_SETS, entry)
            return
        for found in self._world.objects(STATEFUL_SETS, entry.namespace):
            if stateful_pod.has_claim(found, entry.name):
                yield entry.namespace, found.metadata.name

    def plan(self, key: Name, now_ms: int) -> Plan:
        found = self._world.get(STATEFUL_SETS, *key)
        if found is None:
            return Plan()
        revisions = candidates(self._world, found, CONTROLLER_REVISIONS)
        pods = candidates(self._world, found, PODS)
        names = (
            name
            for ordinal in statefulset.places(found, pods)
            for name in stateful_pod.claim_names(found, ordinal).values()
        )
        claims = {
            name: claim
            for name in names
            if (claim := self._world.get(PERSISTENT_VOLUME_CLAIMS, key[0], name)) is not None
        }
        configs = configuration.of(self._world, found)
        return statefulset.plan(found, revisions, pods, claims, now_ms, configs)
