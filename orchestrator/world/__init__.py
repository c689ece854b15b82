"""The world: every object in memory, indexed, with a bounded history for watchers.

Only `runtime.writer` changes it, with what it has committed to the store. Readers run on the same
event loop and nothing here awaits, so between two awaits they see one consistent state.

**Versions.** A commit at store revision R that writes several objects gives the i-th one the
version ``R * 128 + i``: unique and ordered, though they share a transaction (at most 128 writes,
see `store.TXN_OPS_MAX`). Printed, a version is a ``resourceVersion``. `World.version` is
``R * 128 + 127``: everything up to and with revision R. Stored bytes carry the position in their
own ``resourceVersion`` field, so that a restart gives every object the same version again.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import structlog

from orchestrator import store
from orchestrator.core.custom import declared
from orchestrator.store import Item, Listing, keys
from orchestrator.world.entry import Change, Entry, version_of
from orchestrator.world.feed import Feed, Over
from orchestrator.world.index import NodesBySource, OwnerIndex, PodsByNode
from orchestrator.world.registry import Registry
from orchestrator.world.storage import StorageIndex
from proto.errors import Compacted
from proto.kinds.definition import DEFINITIONS, CustomResourceDefinition
from proto.kinds.kind import Kind
from proto.kinds.pod import Pod
from proto.meta import Resource

log = structlog.get_logger()

R = TypeVar("R", bound=Resource)

HISTORY_LIMIT = 20_000
"""Changes kept for watchers that come late: at 100 changes a second, more than 3 minutes; about
20 MB with 1 KB objects. A watcher that is further behind lists again (410).
"""

Bell = Callable[[Sequence[Change]], None]

__all__ = ["HISTORY_LIMIT", "Change", "Entry", "Feed", "Over", "Registry", "World"]


class World:
    """See the module."""

    def __init__(self, history_limit: int = HISTORY_LIMIT) -> None:
        self.revision = 0
        self.kinds = Registry()
        self._objects: dict[Kind[Any], dict[str, dict[str, Entry]]] = {
            kind: {} for kind in self.kinds.all
        }
        self._declared: dict[str, object] = {}  # what kinds follow from, by definition
        self._history: deque[Change] = deque(maxlen=history_limit)
        self._forgotten = 0  # the version below which history is incomplete
        self._bells: list[Bell] = []
        self._feeds: set[Feed] = set()
        self._owners = OwnerIndex()
        self._pods = PodsByNode()
        self._sources = NodesBySource()
        self.storage = StorageIndex()

    @property
    def version(self) -> int:
        """The version of everything that is known."""
        return version_of(self.revision, store.TXN_OPS_MAX - 1)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever loaded."""
        return self.revision == 0

    # -- reading

    def entry(self, kind: Kind[Any], namespace: str, name: str) -> Entry | None:
        """One object with its encoded form."""
        found = self._rooms(kind).get(namespace, {}).get(name)
        return None if found is None else found.seen_as(kind)

    def _rooms(self, kind: Kind[Any]) -> dict[str, dict[str, Entry]]:
        """A kind's objects by namespace and name."""
        try:
            return self._objects[kind.stored]
        except KeyError:  # its definition changed, or went, while somebody held on to it
            now = self.kinds.named(kind.resource)
            return {} if now is None else self._objects[now]

    def get(self, kind: Kind[R], namespace: str, name: str) -> R | None:
        """One object."""
        found = self.entry(kind, namespace, name)
        return None if found is None else found.object

    def entries(self, kind: Kind[Any], namespace: str | None = None) -> Iterator[Entry]:
        """All objects of a kind, or those of one namespace, ordered by namespace and name."""
        rooms = self._rooms(kind)
        for room in sorted(rooms) if namespace is None else (namespace,):
            names = rooms.get(room, {})
            for name in sorted(names):
                yield names[name].seen_as(kind)

    def objects(self, kind: Kind[R], namespace: str | None = None) -> list[R]:
        """The same, decoded."""
        return [entry.object for entry in self.entries(kind, namespace)]

    def count(self, kind: Kind[Any]) -> int:
        """How many objects of a kind there are."""
        return sum(len(room) for room in self._rooms(kind).values())

    def owned_by(self, uid: str, kind: Kind[R]) -> list[R]:
        """Objects of that kind that name this owner, ordered by name."""
        return self._owners.owned_by(uid, kind)

    def orphans(self, kind: Kind[R], namespace: str) -> list[R]:
        """Objects of a namespace that no controller manages, ordered by name."""
        return self._owners.orphans(kind, namespace)

    def dependents(self, uid: str) -> list[Entry]:
        """Everything that names this owner."""
        return self._owners.dependents(uid)

    def by_uid(self, uid: str) -> Entry | None:
        """The object of that uid."""
        return self._owners.by_uid(uid)

    def pods_on(self, node: str) -> list[Pod]:
        """Pods bound to a node, ordered by namespace and name; unbound ones under ``""``."""
        return self._pods.on(node)

    def nodes_using(self, kind: Kind[Any], namespace: str, name: str) -> frozenset[str]:
        """Nodes with pods that take values from a ConfigMap or a Secret."""
        return self._sources.using(kind.name, namespace, name)

    # -- following

    def listen(self, bell: Bell) -> None:
        """Call this with every commit's changes, before the commit is answered."""
        self._bells.append(bell)

    def follow(self, kind: Kind[Any], since: int) -> Feed:
        """Changes of a kind after a version, then those to come.

        Raises:
            Compacted: The history no longer reaches back that far (or was not yet made: the
                version is of the future, from a store that has since been restored).
        """
        if since < self._forgotten or since > self.version:
            raise Compacted(f"too old resource version: {since} ({self._forgotten})")
        behind = len(self._history)
        for change in reversed(self._history):
            if change.version <= since:
                break
            behind -= 1
        stored = kind.stored
        missed = [c for c in itertools.islice(self._history, behind, None) if c.kind is stored]
        feed = Feed(stored, missed, self._feeds.discard)
        self._feeds.add(feed)
        return feed

    def has_changed(self, kind: Kind[Any], since: int) -> bool:
        """Whether objects of a kind came, changed or went after a version; True if unknown."""
        if since < self._forgotten:
            return True
        changes = itertools.takewhile(lambda c: c.version > since, reversed(self._history))
        return any(change.kind is kind.stored for change in changes)

    # -- changing: for runtime.writer only

    def sync(self, listing: Listing) -> None:
        """Become what the store holds; the differences are announced as changes.

        What went in the meantime gets free versions between the last known and the listed one:
        every removal had one there. A listing older than what is known comes from a store that was
        restored: watchers are cut off, since versions mean something else now.
        """
        if listing.revision < self.revision:
            log.warning("world.restored", revision=listing.revision, before=self.revision)
            self._forget_history()
        is_first = self.is_empty
        came, gone = self._differences(listing)
        taken = {change.version for change in came}
        free = (version for version in itertools.count(self.version + 1) if version not in taken)
        went = [Change(next(free), entry.kind, entry, None) for entry in gone]
        changes = sorted((*came, *went), key=lambda change: change.version)
        self._commit(listing.revision, changes, keep_history=not is_first)
        if is_first:
            self._forgotten = self.version

    def _forget_history(self) -> None:
        for feed in tuple(self._feeds):
            feed.cut_off()
        self._history.clear()
        self.revision = 0

    def _differences(self, listing: Listing) -> tuple[list[Change], list[Entry]]:
        """What came or changed, and what went: first what was replaced by another of its name."""
        came: list[Change] = []
        replaced: list[tuple[int, Entry]] = []
        listed = {item.key: item for item in listing.items}
        self._declare_listed(listing.items)
        for key, item in listed.items():
            kind = self.kinds.stored_at(key)
            if kind is None:  # a newer orchestrator's kind: not ours to serve
                continue
            new = Entry.stored(kind, item)
            if new is None:
                log.error("world.undecodable", key=key)
                continue
            old = self.entry(kind, new.namespace, new.name)
            if old is not None and old.object.metadata.uid != new.object.metadata.uid:
                replaced.append((new.version, old))
                old = None
            if old is None or old.version != new.version:
                came.append(Change(new.version, kind, old, new))
        vanished = (
            entry
            for kind in self.kinds.all
            for entry in self.entries(kind)
            if keys.of(kind, entry.namespace, entry.name) not in listed
        )
        replaced.sort(key=lambda pair: pair[0])  # the removal comes before its replacement
        return came, [*(entry for _, entry in replaced), *vanished]

    def _declare_listed(self, items: Sequence[Item]) -> None:
        """Kinds before their objects."""
        prefix = keys.prefix(DEFINITIONS)
        for item in items:
            entry = Entry.stored(DEFINITIONS, item) if item.key.startswith(prefix) else None
            if entry is not None:
                self._declare(entry.name, entry.object)

    def apply(self, revision: int, changes: Iterable[Change]) -> None:
        """Take over one committed transaction."""
        self._commit(revision, list(changes), keep_history=True)

    def _commit(self, revision: int, changes: list[Change], *, keep_history: bool) -> None:
        for change in changes:
            if not self._is_known(change):
                continue
            self._place(change)
            if keep_history:
                if len(self._history) == self._history.maxlen:
                    self._forgotten = self._history[0].version
                self._history.append(change)
        self.revision = max(self.revision, revision)
        for feed in tuple(self._feeds):
            feed.push(changes)
        for bell in self._bells:
            bell(changes)

    def _is_known(self, change: Change) -> bool:
        """Whether its kind is served; a kind that was declared anew since is replaced by that."""
        if change.kind in self._objects:
            return True
        now = self.kinds.named(change.kind.resource)
        if now is not None:
            change.become(now)
        return now is not None

    def _declare(self, name: str, definition: CustomResourceDefinition | None) -> None:
        """Serve what a definition declares now; its objects stay, and watches of it begin anew."""
        facts = declared.facts(definition)
        if facts == self._declared.get(name):
            return
        self._declared[name] = facts
        before = self.kinds.declared(name)
        try:
            self.kinds.declare(name, () if definition is None else declared.kinds(definition))
        except ValueError as error:  # stored by an orchestrator that understood it
            log.exception("world.undeclarable", definition=name, error=str(error))
            self.kinds.declare(name, ())
        after = {kind.resource: kind for kind in self.kinds.declared(name)}
        for kind in after.values():
            self._objects.setdefault(kind, {})
        for old in before:
            self._replace(old, after.get(old.resource))

    def _replace(self, old: Kind[Any], new: Kind[Any] | None) -> None:
        rooms = self._objects.pop(old)
        for feed in tuple(self._feeds):
            if feed.kind is old:
                feed.end()
        for change in self._history:
            if new is not None and change.kind is old:
                change.become(new)
        for entry in [entry for room in rooms.values() for entry in room.values()]:
            self._owners.update(entry, None)
            if new is not None:
                entry.become(new)
                self._owners.update(None, entry)
                self._objects[new].setdefault(entry.namespace, {})[entry.name] = entry

    def _place(self, change: Change) -> None:
        rooms = self._objects[change.kind]
        old, new = change.old, change.new
        if new is not None:
            rooms.setdefault(new.namespace, {})[new.name] = new
        elif old is not None:
            room = rooms[old.namespace]
            del room[old.name]
            if not room:
                del rooms[old.namespace]
        self._owners.update(old, new)
        self._pods.update(old, new)
        self._sources.update(old, new)
        self.storage.update(change.kind, old, new)
        if change.kind is DEFINITIONS:
            self._declare(change.entry.name, None if new is None else new.object)
