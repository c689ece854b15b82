"""One object as the world holds it, and one change of it."""

from typing import Any

import msgspec
from msgspec.structs import replace

from orchestrator.store import TXN_OPS_MAX, Item
from proto import codec
from proto.errors import BadRequest
from proto.kinds.kind import Kind


def version_of(revision: int, position: int) -> int:
    """The version of a transaction's i-th write."""
    return revision * TXN_OPS_MAX + position


class Entry:
    """An object, its version, and its JSON, encoded once and shared by every reader."""

    __slots__ = ("_raw", "kind", "object", "version")

    def __init__(self, kind: Kind[Any], object_: Any, version: int) -> None:
        self.kind = kind
        self.version = version
        self.object = replace(
            object_, metadata=replace(object_.metadata, resource_version=str(version))
        )
        self._raw: msgspec.Raw | None = None

    @classmethod
    def stored(cls, kind: Kind[Any], item: Item) -> "Entry | None":
        """From the store's bytes; None when they are no object of that kind."""
        try:
            found = codec.decode(item.value, kind.type)
        except BadRequest:
            return None
        position = int(found.metadata.resource_version or 0)
        return cls(kind, found, version_of(item.mod_revision, position))

    def seen_as(self, view: Kind[Any]) -> "Entry":
        """The same object in another version of its kind."""
        assert view.conversion is not None  # noqa: S101  views have one
        return Entry(view, view.conversion.from_stored(self.object), self.version)

    @property
    def revision(self) -> int:
        """The store's revision that wrote it."""
        return self.version // TXN_OPS_MAX

    @property
    def namespace(self) -> str:
        """Empty for a cluster-scoped object."""
        namespace: str = self.object.metadata.namespace
        return namespace

    @property
    def name(self) -> str:
        """Its name."""
        name: str = self.object.metadata.name
        return name

    @property
    def raw(self) -> msgspec.Raw:
        """Its JSON, ready to be put into a larger document."""
        if self._raw is None:
            self._raw = msgspec.Raw(codec.encode(self.object))
        return self._raw


def to_store(object_: Any, position: int) -> bytes:
    """What the store keeps of an object written at a position of a transaction."""
    metadata = replace(object_.metadata, resource_version=str(position))
    return codec.encode(replace(object_, metadata=metadata))


class Change:
    """From `old` to `new`; one of them is None when the object came or went.

    Attributes:
        frames: Encoded watch events by format, made by the first watcher that needs one.
    """

    __slots__ = ("frames", "kind", "new", "old", "version")

    def __init__(self, version: int, kind: Kind[Any], old: Entry | None, new: Entry | None) -> None:
        self.version = version
        self.kind = kind
        self.old = old
        self.new = new
        self.frames: dict[str, bytes] = {}

    def become(self, kind: Kind[Any]) -> None:
        """Be of the kind that was declared anew in place of the present one."""
        self.kind = kind
        for entry in (self.old, self.new):
            if entry is not None:
                entry.kind = kind

    @property
    def entry(self) -> Entry:
        """The object after the change, or before it went."""
        found = self.new or self.old
        assert found is not None  # noqa: S101  a change of nothing is never made
        return found
