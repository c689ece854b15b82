"""Who owns what, and which pod is where: kept with every change, so that nobody scans."""

from typing import Any

from orchestrator.world.entry import Entry
from proto.kinds.kind import Kind
from proto.kinds.pod import PODS, Pod
from proto.kinds.references import referenced

Key = tuple[str, str]
"""Namespace and name."""


def _key(entry: Entry) -> Key:
    return entry.namespace, entry.name


class OwnerIndex:
    """Objects by the uids of their owners, and all objects by their own."""

    def __init__(self) -> None:
        self._dependents: dict[str, dict[Kind[Any], dict[Key, Entry]]] = {}
        self._orphans: dict[tuple[Kind[Any], str], dict[str, Entry]] = {}
        self._uids: dict[str, Entry] = {}

    def update(self, old: Entry | None, new: Entry | None) -> None:
        """An object came, changed or went."""
        if old is not None:
            self._uids.pop(old.object.metadata.uid, None)
            for owner in old.object.metadata.owner_references:
                self._forget(owner.uid, old)
            room = self._orphans.get((old.kind, old.namespace), {})
            room.pop(old.name, None)
            if not room:
                self._orphans.pop((old.kind, old.namespace), None)
        if new is not None:
            self._uids[new.object.metadata.uid] = new
            for owner in new.object.metadata.owner_references:
                kinds = self._dependents.setdefault(owner.uid, {})
                kinds.setdefault(new.kind, {})[_key(new)] = new
            if new.object.metadata.controller is None:
                room = self._orphans.setdefault((new.kind, new.namespace), {})
                room[new.name] = new

    def _forget(self, uid: str, dependent: Entry) -> None:
        kinds = self._dependents.get(uid, {})
        found = kinds.get(dependent.kind, {})
        found.pop(_key(dependent), None)
        if not found:
            kinds.pop(dependent.kind, None)
        if not kinds:
            self._dependents.pop(uid, None)

    def by_uid(self, uid: str) -> Entry | None:
        """The object of that uid."""
        return self._uids.get(uid)

    def dependents(self, uid: str) -> list[Entry]:
        """Everything that names this owner, ordered by kind, namespace and name."""
        kinds = self._dependents.get(uid, {})
        ordered = sorted(kinds, key=lambda kind: kind.resource)
        return [entry for kind in ordered for entry in self._of_kind(uid, kind)]

    def orphans(self, kind: Kind[Any], namespace: str) -> list[Any]:
        """Objects that no controller manages, ordered by name."""
        found = self._orphans.get((kind, namespace), {})
        return [found[name].object for name in sorted(found)]

    def owned_by(self, uid: str, kind: Kind[Any]) -> list[Any]:
        """Those of one kind, decoded."""
        return [entry.object for entry in self._of_kind(uid, kind)]

    def _of_kind(self, uid: str, kind: Kind[Any]) -> list[Entry]:
        found = self._dependents.get(uid, {}).get(kind, {})
        return [found[key] for key in sorted(found)]


class NodesBySource:
    """Nodes by the ConfigMaps and Secrets that pods bound to them take values from."""

    def __init__(self) -> None:
        self._users: dict[tuple[str, str, str], dict[str, str]] = {}  # pod to node

    def update(self, old: Entry | None, new: Entry | None) -> None:
        """A pod came, moved or went; other kinds do not matter here."""
        before, after = _bound(old), _bound(new)
        if before and after and before.spec == after.spec:
            return  # its status changed, as most often
        for pod in (before, after):
            if pod is None:
                continue
            meta = pod.metadata
            for source in referenced(pod.spec):
                key = source.kind, meta.namespace, source.name
                users = self._users.setdefault(key, {})
                if pod is after:
                    users[meta.name] = pod.spec.node_name
                else:
                    users.pop(meta.name, None)
                if not users:
                    del self._users[key]

    def using(self, kind: str, namespace: str, name: str) -> frozenset[str]:
        """The nodes whose pods use an object of that kind (ConfigMap or Secret)."""
        return frozenset(self._users.get((kind, namespace, name), {}).values())


def _bound(entry: Entry | None) -> Pod | None:
    if entry is None or entry.kind is not PODS:
        return None
    pod: Pod = entry.object
    return pod if pod.spec.node_name else None


class PodsByNode:
    """Pods by the node they are bound to."""

    def __init__(self) -> None:
        self._nodes: dict[str, dict[tuple[str, str], Entry]] = {}

    def update(self, old: Entry | None, new: Entry | None) -> None:
        """A pod came, moved or went; other kinds do not matter here."""
        if old is not None and old.kind is PODS:
            node = old.object.spec.node_name
            pods = self._nodes.get(node, {})
            pods.pop((old.namespace, old.name), None)
            if not pods:
                self._nodes.pop(node, None)
        if new is not None and new.kind is PODS:
            node = new.object.spec.node_name
            self._nodes.setdefault(node, {})[new.namespace, new.name] = new

    def on(self, node: str) -> list[Pod]:
        """Pods bound to a node, ordered by namespace and name."""
        found = self._nodes.get(node, {})
        return [found[key].object for key in sorted(found)]
