"""The store: the only truth. `etcd` is the real one, `memory` the one for tests.

`encrypted` stands before either. All pass tests/contract/test_store.py. Values are opaque bytes;
keys are in `keys`.
"""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

TXN_OPS_MAX = 128
"""Compares, or writes, in one transaction. Source: etcd's default --max-txn-ops."""

TXN_BYTES_MAX = 1_400_000
"""Bytes of one transaction. Source: etcd's default --max-request-bytes is 1.5 MiB."""


class Item(Struct, frozen=True):
    """A key and what it holds."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int


class Listing(Struct, frozen=True):
    """All items under a prefix, as of one revision."""

    revision: int
    items: tuple[Item, ...]


class Compare(Struct, frozen=True):
    """A condition of a transaction: revisions are 0 for a key that is not there.

    Attributes:
        create_revision: Compared when given.
        mod_revision: Compared when given.
    """

    key: str
    create_revision: int | None = None
    mod_revision: int | None = None


class Put(Struct, frozen=True, tag=True):
    """Write a key, optionally for as long as a lease lives."""

    key: str
    value: bytes
    lease: int = 0


class Delete(Struct, frozen=True, tag=True):
    """Remove a key."""

    key: str


Write = Put | Delete


class TxnResult(Struct, frozen=True):
    """Whether the compares held, and so the writes were made, at this revision."""

    succeeded: bool
    revision: int


class WatchEvent(Struct, frozen=True):
    """One change: `item` is None for a removal."""

    key: str
    revision: int
    item: Item | None


class Watch(Protocol):
    """The changes under a prefix, in order, whole transactions at a time."""

    async def batch(self) -> Sequence[WatchEvent]:
        """The next changes; waits for them. Cancelling it ends the watch.

        Raises:
            Compacted: The history is gone: list again.
            Unavailable: The stream broke: watch again from the last revision seen plus one.
        """
        ...

    async def close(self) -> None:
        """Stop watching."""
        ...


class Store(Protocol):
    """A dozen verbs; every write compares.

    Every verb may raise `Unavailable` (not applied). `txn` may raise `UnknownResult`: it may or may
    not have been applied, now or a little later.
    """

    async def range(self, prefix: str) -> Listing:
        """Everything under a prefix, linearizable, at one revision."""
        ...

    async def get(self, key: str) -> Item | None:
        """One key, linearizable."""
        ...

    async def txn(self, compares: Sequence[Compare], writes: Sequence[Write]) -> TxnResult:
        """Make all the writes if all the compares hold."""
        ...

    async def grant(self, ttl_s: int) -> int:
        """A lease; keys put with it go when it ends. Returns its id."""
        ...

    async def keepalive(self, lease: int) -> bool:
        """Renew; False when the lease has ended."""
        ...

    async def revoke(self, lease: int) -> None:
        """End the lease and remove its keys."""
        ...

    async def watch(self, prefix: str, from_revision: int) -> Watch:
        """Changes from that revision on (inclusive)."""
        ...

    async def close(self) -> None:
        """Disconnect."""
        ...
