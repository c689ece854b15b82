"""The store in one process, with faults on request; passes tests/contract/test_store.py.

A `MemoryServer` is the etcd cluster, a `MemoryStore` one client's connection to it. Every request,
and every batch of a watch, asks the server's `faults` for its `Fate`. Time is the running loop's,
so that a run on virtual time with seeded faults can be repeated exactly.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec import Struct

from orchestrator.store import (
    TXN_OPS_MAX,
    Compare,
    Item,
    Listing,
    Put,
    TxnResult,
    WatchEvent,
    Write,
)
from proto.errors import Compacted, Unavailable, UnknownResult

T = TypeVar("T")

REQUEST_BYTES_MAX = 1_572_864
"""Source: etcd's default --max-request-bytes."""

LEASE_TTL_S_MIN = 2
"""Shorter leases live as long as this. Source: etcd's minTTL, 3/2 of its default election timeout
(1 s), rounded up."""


class Fate(Struct, frozen=True):
    """What happens to one request, or to one batch of a watch.

    A transaction whose response is lost raises `UnknownResult` after `response_delay_s`, and is
    applied after `request_delay_s`, whichever comes first: it may well be applied later.

    Attributes:
        request_delay_s: Before the server sees it; for a watch, how much it lags.
        response_delay_s: Before the client sees the answer.
        is_request_lost: Never applied; for a watch, the stream breaks.
        is_response_lost: Applied, and the client does not learn it; if the request is lost too, it
            is not applied, and the client does not learn that.
    """

    request_delay_s: float = 0.0
    response_delay_s: float = 0.0
    is_request_lost: bool = False
    is_response_lost: bool = False


FINE = Fate()

Faults = Callable[[str, str], Fate]
"""Client and verb (a method of `Store`, or ``batch`` for what a watch delivers) to a fate."""


def no_faults(client: str, verb: str) -> Fate:  # noqa: ARG001
    """Everything works at once."""
    return FINE


class _Lease:
    def __init__(self, ttl_s: int) -> None:
        self.ttl_s = ttl_s
        self.keys: dict[str, None] = {}
        self.expiry: asyncio.TimerHandle | None = None


class MemoryServer:
    """The state that all connections share: keys, history, leases, watches.

    Attributes:
        faults: Asked for every request; may be replaced at any time.
        is_up: Requests raise Unavailable while it is False; break the watches yourself.
        revision: Counts transactions that wrote; from 1, as etcd's.
    """

    def __init__(self, faults: Faults = no_faults) -> None:
        self.faults = faults
        self.is_up = True
        self.revision = 1
        self._items: dict[str, Item] = {}
        self._history: deque[tuple[int, tuple[WatchEvent, ...]]] = deque()
        self._compacted = 0
        self._leases: dict[int, _Lease] = {}
        self._lease_of: dict[str, int] = {}
        self._leases_granted = 0
        self._watches: dict[MemoryWatch, None] = {}

    def list(self, prefix: str) -> Listing:
        """Everything under a prefix, by key."""
        keys = sorted(key for key in self._items if key.startswith(prefix))
        return Listing(self.revision, tuple(self._items[key] for key in keys))

    def item(self, key: str) -> Item | None:
        """What a key holds."""
        return self._items.get(key)

    def apply(self, compares: Sequence[Compare], writes: Sequence[Write]) -> TxnResult:
        """One transaction.

        Raises:
            ValueError: etcd would not take such a transaction.
        """
        _check(compares, writes)
        if not all(self._holds(compare) for compare in compares):
            return TxnResult(succeeded=False, revision=self.revision)
        for write in writes:
            if isinstance(write, Put) and write.lease and write.lease not in self._leases:
                raise Unavailable("the lease has ended")
        events = [event for write in writes if (event := self._write(write)) is not None]
        if events:
            self._commit(tuple(events))
        return TxnResult(succeeded=True, revision=self.revision)

    def _holds(self, compare: Compare) -> bool:
        item = self._items.get(compare.key)
        created, modified = (item.create_revision, item.mod_revision) if item else (0, 0)
        return compare.create_revision in (None, created) and compare.mod_revision in (
            None,
            modified,
        )

    def _write(self, write: Write) -> WatchEvent | None:
        """Change one key as part of the next revision; None when there was nothing to change."""
        revision = self.revision + 1
        if (held_by := self._lease_of.pop(write.key, None)) is not None:
            self._leases[held_by].keys.pop(write.key, None)
        if not isinstance(write, Put):
            if self._items.pop(write.key, None) is None:
                return None
            return WatchEvent(write.key, revision, None)
        old = self._items.get(write.key)
        created = old.create_revision if old else revision
        item = self._items[write.key] = Item(write.key, write.value, created, revision)
        if write.lease:
            self._lease_of[write.key] = write.lease
            self._leases[write.lease].keys[write.key] = None
        return WatchEvent(write.key, revision, item)

    def _commit(self, events: tuple[WatchEvent, ...]) -> None:
        self.revision += 1
        self._history.append((self.revision, events))
        for watch in list(self._watches):
            watch.offer(events)

    def grant(self, ttl_s: int) -> int:
        """A lease that ends by itself after so many seconds."""
        self._leases_granted += 1
        self._leases[self._leases_granted] = _Lease(ttl_s)
        self.keepalive(self._leases_granted)
        return self._leases_granted

    def keepalive(self, lease: int) -> bool:
        """Let it live for another time to live."""
        found = self._leases.get(lease)
        if found is None:
            return False
        if found.expiry is not None:
            found.expiry.cancel()
        loop = asyncio.get_running_loop()
        ttl_s = max(found.ttl_s, LEASE_TTL_S_MIN)
        found.expiry = loop.call_later(ttl_s, self.revoke, lease)
        return True

    def revoke(self, lease: int) -> None:
        """End it, and remove its keys in one transaction."""
        found = self._leases.get(lease)
        if found is None:
            return
        if found.expiry is not None:
            found.expiry.cancel()
        events = []
        for key in list(found.keys):
            self._items.pop(key)
            self._lease_of.pop(key)
            events.append(WatchEvent(key, self.revision + 1, None))
        del self._leases[lease]
        if events:
            self._commit(tuple(events))

    def compact(self, revision: int) -> None:
        """Forget the history before a revision; a watch that starts there is told so."""
        self._compacted = max(self._compacted, min(revision, self.revision))
        while self._history and self._history[0][0] < self._compacted:
            self._history.popleft()

    def open_watch(self, client: str, prefix: str, from_revision: int) -> "MemoryWatch":
        """A watch that has been given the history it asked for."""
        watch = MemoryWatch(self, client, prefix)
        self._watches[watch] = None
        if 0 < from_revision < self._compacted:
            watch.fail(Compacted(f"history before revision {self._compacted} is gone"))
        elif from_revision > 0:
            for revision, events in self._history:
                if revision >= from_revision:
                    watch.offer(events)
        return watch

    def close_watch(self, watch: "MemoryWatch") -> None:
        """Deliver to it no more."""
        self._watches.pop(watch, None)

    def break_watches(self, client: str | None = None) -> None:
        """Break every watch, or one client's."""
        for watch in list(self._watches):
            if client in (None, watch.client):
                watch.fail(Unavailable("the watch broke"))


def _check(compares: Sequence[Compare], writes: Sequence[Write]) -> None:
    """What etcd refuses whatever the state."""
    if max(len(compares), len(writes)) > TXN_OPS_MAX:
        raise ValueError("too many operations in the transaction")
    if len({write.key for write in writes}) < len(writes):
        raise ValueError("a key twice in the transaction")
    if sum(len(write.value) for write in writes if isinstance(write, Put)) > REQUEST_BYTES_MAX:
        raise ValueError("the transaction is too large")


class MemoryWatch:
    """A `Watch` of a `MemoryStore`."""

    def __init__(self, server: MemoryServer, client: str, prefix: str) -> None:
        self.client = client
        self._server = server
        self._prefix = prefix
        self._on_the_way: deque[tuple[WatchEvent, ...]] = deque()
        self._arrived: list[WatchEvent] = []
        self._failure: Exception | None = None
        self._bell = asyncio.Event()
        self._due = 0.0

    def offer(self, events: Sequence[WatchEvent]) -> None:
        """Deliver one transaction when its fate says, and never before an earlier one."""
        wanted = tuple(event for event in events if event.key.startswith(self._prefix))
        if not wanted or self._failure is not None:
            return
        fate = self._server.faults(self.client, "batch")
        if fate.is_request_lost:
            self.fail(Unavailable("the watch broke"))
            return
        loop = asyncio.get_running_loop()
        self._on_the_way.append(wanted)
        if fate.request_delay_s <= 0 and len(self._on_the_way) == 1:
            self._arrive()
            return
        self._due = max(self._due, loop.time() + fate.request_delay_s)
        loop.call_at(self._due, self._arrive)

    def _arrive(self) -> None:
        """The oldest one under way: equal timers may ring in any order, batches may not."""
        self._arrived += self._on_the_way.popleft()
        self._bell.set()

    def fail(self, error: Exception) -> None:
        """Break: the reader gets the error once it has read what arrived."""
        self._failure = self._failure or error
        self._server.close_watch(self)
        self._bell.set()

    async def batch(self) -> Sequence[WatchEvent]:
        """See `Watch.batch`."""
        while not self._arrived:
            if self._failure is not None:
                raise self._failure
            self._bell.clear()
            try:
                await self._bell.wait()
            except asyncio.CancelledError:
                self.fail(Unavailable("the watch is closed"))
                raise
        batch, self._arrived = self._arrived, []
        return batch

    async def close(self) -> None:
        """See `Watch.close`."""
        self.fail(Unavailable("the watch is closed"))


class MemoryStore:
    """One client's connection to a `MemoryServer`; see `Store`.

    Args:
        server: Shared by all who should see the same keys; one of its own by default.
        client: The client's name, as `faults` sees it.
    """

    def __init__(self, server: MemoryServer | None = None, client: str = "") -> None:
        self.server = server or MemoryServer()
        self._client = client

    async def _call(self, verb: str, apply: Callable[[], T]) -> T:
        """One request and its fate. A request on its way cannot be called back by cancelling."""
        fate = self.server.faults(self._client, verb)
        if fate.is_request_lost:
            await asyncio.sleep(fate.request_delay_s)
            if fate.is_response_lost and verb == "txn":
                raise UnknownResult("no answer from the store: the transaction may be applied")
            raise Unavailable("the store cannot be reached")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        loop.call_later(fate.request_delay_s, self._arrive, apply, answer)
        if fate.is_response_lost:
            try:
                await asyncio.sleep(fate.response_delay_s)
            finally:
                answer.cancel()  # also when the caller gives up first: nobody will look at it
            if verb == "txn":
                raise UnknownResult("no answer from the store: the transaction may be applied")
            raise Unavailable("no answer from the store")
        result = await answer
        if fate.response_delay_s > 0:
            await asyncio.sleep(fate.response_delay_s)
        return result

    def _arrive(self, apply: Callable[[], T], answer: "asyncio.Future[T]") -> None:
        try:
            if not self.server.is_up:
                raise Unavailable("the store cannot be reached")  # noqa: TRY301
            result = apply()
        except (Unavailable, ValueError) as error:
            if not answer.done():
                answer.set_exception(error)
        else:
            if not answer.done():
                answer.set_result(result)

    async def range(self, prefix: str) -> Listing:
        """See `Store.range`."""
        return await self._call("range", lambda: self.server.list(prefix))

    async def get(self, key: str) -> Item | None:
        """See `Store.get`."""
        return await self._call("get", lambda: self.server.item(key))

    async def txn(self, compares: Sequence[Compare], writes: Sequence[Write]) -> TxnResult:
        """See `Store.txn`."""
        return await self._call("txn", lambda: self.server.apply(compares, writes))

    async def grant(self, ttl_s: int) -> int:
        """See `Store.grant`."""
        return await self._call("grant", lambda: self.server.grant(ttl_s))

    async def keepalive(self, lease: int) -> bool:
        """See `Store.keepalive`."""
        return await self._call("keepalive", lambda: self.server.keepalive(lease))

    async def revoke(self, lease: int) -> None:
        """See `Store.revoke`."""
        await self._call("revoke", lambda: self.server.revoke(lease))

    async def watch(self, prefix: str, from_revision: int) -> MemoryWatch:
        """See `Store.watch`."""
        return await self._call(
            "watch", lambda: self.server.open_watch(self._client, prefix, from_revision)
        )

    async def close(self) -> None:
        """See `Store.close`."""
        self.server.break_watches(self._client)
