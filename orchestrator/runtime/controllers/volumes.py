"""Volumes: woken by their claims, the pods that use these, and the nodes that hold some of them."""

from collections.abc import Iterator

from orchestrator.core.decisions import Plan
from orchestrator.core.storage import using, volumes
from orchestrator.runtime.controllers.controller import Controller
from orchestrator.world import Entry
from proto.kinds.event import ObjectReference
from proto.kinds.node import NODES
from proto.kinds.persistentvolume import PERSISTENT_VOLUMES
from proto.kinds.pod import PODS
from proto.kinds.storage import PERSISTENT_VOLUME_CLAIMS


class Volumes(Controller[tuple[str]]):
    """See the module."""

    name = "volume"
    kinds = frozenset({PERSISTENT_VOLUMES, PERSISTENT_VOLUME_CLAIMS, PODS, NODES})

    def woken_by(self, entry: Entry) -> Iterator[tuple[str]]:
        if entry.kind is PERSISTENT_VOLUMES:
            yield (entry.name,)
        elif entry.kind is NODES:
            for volume in self._world.storage.leaving(entry.name):
                yield (volume.metadata.name,)
        else:
            is_claim = entry.kind is PERSISTENT_VOLUME_CLAIMS
            names = (entry.name,) if is_claim else using.names(entry.name, entry.object.spec)
            for name in names:
                for volume in self._world.storage.kept_for(entry.namespace, name):
                    yield (volume.metadata.name,)

    def plan(self, key: tuple[str], now_ms: int) -> Plan:
        volume = self._world.get(PERSISTENT_VOLUMES, "", *key)
        if volume is None:
            return Plan()
        ref = volume.spec.claim_ref or ObjectReference()
        claim = self._world.get(PERSISTENT_VOLUME_CLAIMS, ref.namespace, ref.name)
        pods = self._world.storage.pods_using(ref.namespace, ref.name)
        holders = (self._world.get(NODES, "", name) for name in volumes.holders(volume))
        nodes = {node.metadata.name: node for node in holders if node is not None}
        return volumes.plan(volume, claim, pods, nodes, now_ms)
