"""Which pods use which claim, and which volume is whose: kept with every change."""

from typing import Any

from orchestrator.core.storage import using, volumes
from orchestrator.core.storage.matching import is_bound
from orchestrator.world.entry import Entry
from proto.kinds.kind import Kind
from proto.kinds.persistentvolume import PERSISTENT_VOLUMES, PersistentVolume
from proto.kinds.pod import PODS, Pod
from proto.kinds.storage import PERSISTENT_VOLUME_CLAIMS, PersistentVolumeClaim

Name = tuple[str, str]
"""Namespace and name."""


class StorageIndex:
    """See the module."""

    def __init__(self) -> None:
        self._pods: dict[Name, dict[str, Entry]] = {}  # by claim, then by pod
        self._unbound: dict[Name, Entry] = {}
        self._kept: dict[Name, dict[str, Entry]] = {}  # volumes by claim
        self._leaving: dict[str, dict[str, Entry]] = {}  # volumes by node
        self._update = {
            PODS: self._update_pod,
            PERSISTENT_VOLUME_CLAIMS: self._update_claim,
            PERSISTENT_VOLUMES: self._update_volume,
        }

    def update(self, kind: Kind[Any], old: Entry | None, new: Entry | None) -> None:
        """An object came, changed or went."""
        update = self._update.get(kind)
        if update is not None:
            if old is not None:
                update(old, is_there=False)
            if new is not None:
                update(new, is_there=True)

    def _update_pod(self, entry: Entry, *, is_there: bool) -> None:
        pod: Pod = entry.object
        for name in using.names(entry.name, pod.spec):
            _place(self._pods, (entry.namespace, name), entry, is_there=is_there)

    def _update_claim(self, entry: Entry, *, is_there: bool) -> None:
        claim: PersistentVolumeClaim = entry.object
        self._unbound.pop((entry.namespace, entry.name), None)
        if is_there and not is_bound(claim):
            self._unbound[entry.namespace, entry.name] = entry

    def _update_volume(self, entry: Entry, *, is_there: bool) -> None:
        volume: PersistentVolume = entry.object
        ref = volume.spec.claim_ref
        if ref is not None:
            _place(self._kept, (ref.namespace, ref.name), entry, is_there=is_there)
        for node in volumes.leaves(volume):
            _place(self._leaving, node, entry, is_there=is_there)

    def pods_using(self, namespace: str, claim: str) -> list[Pod]:
        """Pods with a volume that means that claim, ordered by name."""
        return _objects(self._pods.get((namespace, claim), {}))

    def unbound(self) -> list[PersistentVolumeClaim]:
        """Claims without a volume, ordered by namespace and name."""
        return [self._unbound[name].object for name in sorted(self._unbound)]

    def kept_for(self, namespace: str, claim: str) -> list[PersistentVolume]:
        """Volumes that name that claim, ordered by name."""
        return _objects(self._kept.get((namespace, claim), {}))

    def leaving(self, node: str) -> list[PersistentVolume]:
        """Volumes of which a node is to remove what it holds, ordered by name."""
        return _objects(self._leaving.get(node, {}))


def _place(room: dict[Any, dict[str, Entry]], key: Any, entry: Entry, *, is_there: bool) -> None:
    found = room.setdefault(key, {})
    if is_there:
        found[entry.name] = entry
    else:
        found.pop(entry.name, None)
        if not found:
            del room[key]


def _objects(found: dict[str, Entry]) -> list[Any]:
    return [found[name].object for name in sorted(found)]
