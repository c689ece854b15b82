"""Claims: woken by volumes that may be theirs, by their classes, and by the pods that use them."""

from collections.abc import Iterator

from msgspec.structs import replace

from orchestrator.core.decisions import Plan
from orchestrator.core.storage import claims, matching, using
from orchestrator.core.storage.claims import Around
from orchestrator.runtime.controllers.controller import Controller, Name
from orchestrator.world import Entry
from proto.kinds.node import NODES
from proto.kinds.persistentvolume import PERSISTENT_VOLUMES, PersistentVolume
from proto.kinds.pod import PODS
from proto.kinds.storage import PERSISTENT_VOLUME_CLAIMS, STORAGE_CLASSES


class Claims(Controller[Name]):
    """See the module."""

    name = "claim"
    kinds = frozenset({PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES, PODS, NODES})

    def woken_by(self, entry: Entry) -> Iterator[Name]:
        if entry.kind is PERSISTENT_VOLUME_CLAIMS:
            yield entry.namespace, entry.name
        elif entry.kind is PODS:
            for name in using.names(entry.name, entry.object.spec):
                yield entry.namespace, name
        elif entry.kind is PERSISTENT_VOLUMES:
            yield from self._woken_by_volume(entry.object)
        elif entry.kind is STORAGE_CLASSES:
            for claim in self._world.storage.unbound():
                if matching.class_name(claim) in ("", entry.name):
                    yield claim.metadata.namespace, claim.metadata.name

    def _woken_by_volume(self, volume: PersistentVolume) -> Iterator[Name]:
        ref = volume.spec.claim_ref
        if ref is not None:
            yield ref.namespace, ref.name
            return
        for claim in self._world.storage.unbound():
            is_asked_for = claim.spec.volume_name == volume.metadata.name
            if is_asked_for or matching.class_name(claim) == volume.spec.storage_class_name:
                yield claim.metadata.namespace, claim.metadata.name

    def woken_by_end(self, entry: Entry) -> Iterator[Name]:
        """Claims that were to get their volumes on a node that is gone."""
        if entry.kind is NODES:
            for claim in self._world.storage.unbound():
                if matching.selected_node(claim) == entry.name:
                    yield claim.metadata.namespace, claim.metadata.name

    def plan(self, key: Name, _now_ms: int) -> Plan:
        claim = self._world.get(PERSISTENT_VOLUME_CLAIMS, *key)
        if claim is None:
            return Plan()
        classes = self._world.objects(STORAGE_CLASSES)
        around = Around(
            classes={found.metadata.name: found for found in classes},
            pods=self._world.storage.pods_using(*key),
        )
        if matching.is_bound(claim):
            volume = self._world.get(PERSISTENT_VOLUMES, "", claim.spec.volume_name)
            return claims.plan(claim, replace(around, volumes=(volume,) if volume else ()))
        nodes = self._world.objects(NODES)
        return claims.plan(
            claim,
            replace(
                around,
                volumes=self._world.objects(PERSISTENT_VOLUMES),
                nodes={node.metadata.name: node for node in nodes},
            ),
        )
