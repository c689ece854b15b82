"""Claims that are made for pods: woken by pods."""

from collections.abc import Iterator

from orchestrator.core.decisions import Plan
from orchestrator.core.storage import ephemeral
from orchestrator.runtime.controllers.controller import Controller, Name
from orchestrator.world import Entry
from proto.kinds.pod import PODS
from proto.kinds.storage import PERSISTENT_VOLUME_CLAIMS
from proto.kinds.volume import claim_name


class EphemeralClaims(Controller[Name]):
    """Its keys are those of pods."""

    name = "ephemeral"
    kinds = frozenset({PODS})

    def woken_by(self, entry: Entry) -> Iterator[Name]:
        if any(volume.ephemeral is not None for volume in entry.object.spec.volumes):
            yield entry.namespace, entry.name

    def plan(self, key: Name, _now_ms: int) -> Plan:
        pod = self._world.get(PODS, *key)
        if pod is None:
            return Plan()
        names = (claim_name(key[1], v) for v in pod.spec.volumes if v.ephemeral is not None)
        found = (self._world.get(PERSISTENT_VOLUME_CLAIMS, key[0], name) for name in names)
        return ephemeral.plan(pod, {c.metadata.name: c for c in found if c is not None})
