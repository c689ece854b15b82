"""The store in etcd, and the only module that knows gRPC; passes tests/contract/test_store.py.

aetcd lends its generated messages; the connections are our own: one channel for each endpoint, all
requests over one of them until it fails (sticky), then over the next. gRPC's own balancing was
measured to hang for as long as a frozen member does; an attempt with a deadline moves on.

A read is safe to repeat, so it is tried on other endpoints before it is Unavailable. A transaction
is sent once: when it failed before it was sent it is Unavailable, afterwards an UnknownResult.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar, assert_never

import grpc
from aetcd import rpc

from orchestrator.store import Compare, Delete, Item, Listing, Put, TxnResult, WatchEvent, Write
from proto.errors import Compacted, Unavailable, UnknownResult

T = TypeVar("T")

CONNECT_TIMEOUT_S = 1.0
"""For one endpoint; then the next is tried."""

READ_TIMEOUT_S = 2.0
"""For one attempt of a read, as a frozen member should cost little. A page takes some 50 ms."""

LEASE_TIMEOUT_S = 2.0
"""For a lease request: not longer than the shortest lease."""

TXN_TIMEOUT_S = 5.0
"""For a transaction. It outlasts an election (1 to 2 s by etcd's defaults), in which it waits."""

READ_ATTEMPTS_MIN = 3
"""Attempts of a read, if there are fewer endpoints than that."""

READ_PAUSE_S = 0.1
"""Between attempts: gRPC's first reconnection comes after that long."""

PAGE = 2000
"""Keys in a page of a range: the fastest of 500, 2000 and all at once with 10,000 keys of 1 KB."""

MESSAGE_BYTES_MAX = 64 * 1024 * 1024
"""Of a response. gRPC's default of 4 MiB is less than a page of 2000 large objects. A page of
objects that average more than 32 KB is halved until it fits."""

_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),  # a transaction must not be sent twice
    ("grpc.use_local_subchannel_pool", 1),  # one connection for each channel
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.keepalive_time_ms", 6_000),  # etcd cuts clients that ping faster than each 5 s
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.http2.max_pings_without_data", 0),  # no limit: a quiet watch is no dead one
)


class _Refused(Unavailable):
    """etcd answered, and did nothing: another endpoint would say the same."""


class _LeaseEnded(_Refused):
    """etcd knows no such lease."""


class _Endpoint:
    """A channel to one member."""

    def __init__(self, address: str, credentials: Any) -> None:
        self.address = address
        if credentials is None:
            self.channel = grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
        else:
            self.channel = grpc.aio.secure_channel(address, credentials, options=_CHANNEL_OPTIONS)
        self.kv = rpc.KVStub(self.channel)
        self.lease = rpc.LeaseStub(self.channel)
        self.watch = rpc.WatchStub(self.channel)

    async def is_ready(self) -> bool:
        """Whether it is connected, or can be in time."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                while True:
                    state = self.channel.get_state(try_to_connect=True)
                    if state is grpc.ChannelConnectivity.READY:
                        return True
                    if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                        return False
                    await self.channel.wait_for_state_change(state)
        except TimeoutError:
            return False


class EtcdStore:
    """A connection to an etcd cluster; see `Store`."""

    def __init__(self, endpoints: Sequence[_Endpoint]) -> None:
        self._endpoints = tuple(endpoints)
        self._at = 0

    @classmethod
    async def connect(
        cls,
        endpoints: Sequence[str],
        *,
        ca: bytes | None = None,
        cert: bytes | None = None,
        key: bytes | None = None,
    ) -> "EtcdStore":
        """Connect; does not wait for a server to answer.

        Args:
            endpoints: ``http://host:2379``, ``https://host:2379`` or ``host:2379``, one for each
                member.
            ca: PEM of who signs the servers' certificates; the system's when not given.
            cert: PEM of our certificate, for servers that ask for one.
            key: PEM of its key.
        """
        made = []
        for endpoint in endpoints:
            scheme, _, address = endpoint.rpartition("://")
            credentials = None
            if scheme == "https" or ca is not None:
                credentials = grpc.ssl_channel_credentials(ca, key, cert)
            made.append(_Endpoint(address.rstrip("/"), credentials))
        if not made:
            raise ValueError("no etcd endpoint was given")
        return cls(made)

    async def _ready(self) -> _Endpoint:
        """The endpoint in use, or the next that can be reached."""
        for _ in self._endpoints:
            endpoint = self._endpoints[self._at]
            if await endpoint.is_ready():
                return endpoint
            self._rotate(endpoint)
        tried = ", ".join(endpoint.address for endpoint in self._endpoints)
        raise Unavailable(f"etcd cannot be reached at {tried}")

    def _rotate(self, failed: _Endpoint) -> None:
        if failed is self._endpoints[self._at]:  # or somebody else has rotated already
            self._at = (self._at + 1) % len(self._endpoints)

    async def _call(self, request: Callable[[_Endpoint], Awaitable[T]]) -> T:
        """One request over the endpoint in use.

        Raises:
            Unavailable: It was not sent, or etcd refused it.
            UnknownResult: It was sent and not answered.
        """
        endpoint = await self._ready()
        try:
            return await request(endpoint)
        except (grpc.aio.AioRpcError, grpc.aio.UsageError, TimeoutError) as error:
            translated = _translate(error)
            if isinstance(translated, UnknownResult):
                self._rotate(endpoint)
            raise translated from error
        except asyncio.CancelledError:
            self._rotate(endpoint)  # whoever asked lost patience: it may be a frozen member
            raise

    async def _read(self, request: Callable[[_Endpoint], Awaitable[T]]) -> T:
        """One request that is safe to repeat, repeated on other endpoints."""
        attempts = max(READ_ATTEMPTS_MIN, len(self._endpoints))
        for attempt in range(1, attempts + 1):
            try:
                return await self._call(request)
            except _Refused:
                raise
            except (Unavailable, UnknownResult) as error:
                if attempt == attempts:
                    raise Unavailable(str(error)) from error
            await asyncio.sleep(READ_PAUSE_S)
        raise AssertionError("unreachable")

    async def range(self, prefix: str) -> Listing:
        """See `Store.range`."""
        start, end, revision = prefix.encode(), _end(prefix), 0
        items: list[Item] = []
        while True:
            page = await self._page(start, end, revision)
            items += [_item(kv) for kv in page.kvs]
            revision = revision or page.header.revision
            if not page.more:
                return Listing(revision, tuple(items))
            start = page.kvs[-1].key + b"\0"

    async def _page(self, start: bytes, end: bytes, revision: int) -> Any:
        """Some keys as of one revision: as many as fit a message."""
        limit = PAGE
        while True:
            try:
                return await self._range(
                    rpc.RangeRequest(key=start, range_end=end, limit=limit, revision=revision)
                )
            except Compacted as error:
                raise Unavailable("etcd compacted its history during the listing") from error
            except ValueError:
                if limit == 1:
                    raise
                limit //= 2

    async def _range(self, asked: Any) -> Any:
        return await self._read(lambda to: to.kv.Range(asked, timeout=READ_TIMEOUT_S))

    async def get(self, key: str) -> Item | None:
        """See `Store.get`."""
        found = await self._range(rpc.RangeRequest(key=key.encode()))
        return _item(found.kvs[0]) if found.kvs else None

    async def txn(self, compares: Sequence[Compare], writes: Sequence[Write]) -> TxnResult:
        """See `Store.txn`.

        Raises:
            ValueError: Too many or too large operations, or a key twice.
        """
        asked = rpc.TxnRequest(
            compare=[term for compare in compares for term in _terms(compare)],
            success=[_operation(write) for write in writes],
        )
        answer = await self._call(lambda to: to.kv.Txn(asked, timeout=TXN_TIMEOUT_S))
        return TxnResult(succeeded=answer.succeeded, revision=answer.header.revision)

    async def grant(self, ttl_s: int) -> int:
        """See `Store.grant`; a grant whose answer was lost ends by itself."""
        asked = rpc.LeaseGrantRequest(TTL=ttl_s)
        answer = await self._read(lambda to: to.lease.LeaseGrant(asked, timeout=LEASE_TIMEOUT_S))
        lease: int = answer.ID
        return lease

    async def keepalive(self, lease: int) -> bool:
        """See `Store.keepalive`."""
        asked = rpc.LeaseKeepAliveRequest(ID=lease)

        async def renew(to: _Endpoint) -> Any:
            stream = to.lease.LeaseKeepAlive(timeout=LEASE_TIMEOUT_S)
            try:
                await stream.write(asked)
                return await stream.read()
            finally:
                stream.cancel()

        answer = await self._read(renew)
        if answer is grpc.aio.EOF:
            raise Unavailable("etcd ended the stream")
        return bool(answer.TTL > 0)  # etcd answers 0 for a lease that has ended

    async def revoke(self, lease: int) -> None:
        """See `Store.revoke`; to revoke what has ended is no error."""
        asked = rpc.LeaseRevokeRequest(ID=lease)
        try:
            await self._read(lambda to: to.lease.LeaseRevoke(asked, timeout=LEASE_TIMEOUT_S))
        except _LeaseEnded:
            return

    async def watch(self, prefix: str, from_revision: int) -> "EtcdWatch":
        """See `Store.watch`."""
        asked = rpc.WatchRequest(
            create_request=rpc.WatchCreateRequest(
                key=prefix.encode(),
                range_end=_end(prefix),
                start_revision=from_revision,
                fragment=True,
            )
        )

        async def open_stream(to: _Endpoint) -> EtcdWatch:
            # Without hasleader, a member cut off from the others keeps a watch open and silent.
            stream = to.watch.Watch(metadata=(("hasleader", "true"),))
            async with asyncio.timeout(READ_TIMEOUT_S):
                await stream.write(asked)
                return EtcdWatch(stream, await stream.read())

        return await self._read(open_stream)

    async def close(self) -> None:
        """See `Store.close`."""
        for endpoint in self._endpoints:
            await endpoint.channel.close()


class EtcdWatch:
    """A `Watch` of an `EtcdStore`: a stream of its own over the store's channel."""

    def __init__(self, stream: Any, created: Any) -> None:
        self._stream = stream
        self._first = created

    async def batch(self) -> Sequence[WatchEvent]:
        """See `Watch.batch`."""
        events: list[WatchEvent] = []
        is_whole = False
        while not (events and is_whole):
            answer = await self._read()
            events += [_event(event) for event in answer.events]
            is_whole = not answer.fragment
        return events

    async def _read(self) -> Any:
        if self._first is not None:
            answer, self._first = self._first, None
        else:
            answer = await self._receive()
        if answer is grpc.aio.EOF:
            raise Unavailable("etcd ended the watch")
        if answer.canceled:
            self._stream.cancel()
            if answer.compact_revision:
                raise Compacted(f"history before revision {answer.compact_revision} is gone")
            raise Unavailable(f"etcd ended the watch: {answer.cancel_reason}")
        return answer

    async def _receive(self) -> Any:
        try:
            return await self._stream.read()
        except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError) as error:
            raise Unavailable(f"the watch broke: {_said(error)}") from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise Unavailable("the watch is closed") from None  # gRPC's own way to say so

    async def close(self) -> None:
        """See `Watch.close`."""
        self._stream.cancel()


def _end(prefix: str) -> bytes:
    """The first key after all that start with the prefix. ASCII, so its last byte has a next."""
    return prefix[:-1].encode() + bytes((ord(prefix[-1]) + 1,))


def _item(kv: Any) -> Item:
    return Item(kv.key.decode(), kv.value, kv.create_revision, kv.mod_revision)


def _event(event: Any) -> WatchEvent:
    is_put = event.type == event.PUT
    item = _item(event.kv) if is_put else None
    return WatchEvent(event.kv.key.decode(), event.kv.mod_revision, item)


def _terms(compare: Compare) -> Iterator[Any]:
    key, equal = compare.key.encode(), rpc.Compare.EQUAL
    if (created := compare.create_revision) is not None:
        yield rpc.Compare(result=equal, target=rpc.Compare.CREATE, key=key, create_revision=created)
    if (modified := compare.mod_revision) is not None:
        yield rpc.Compare(result=equal, target=rpc.Compare.MOD, key=key, mod_revision=modified)


def _operation(write: Write) -> Any:
    key = write.key.encode()
    match write:
        case Put():
            put = rpc.PutRequest(key=key, value=write.value, lease=write.lease)
            return rpc.RequestOp(request_put=put)
        case Delete():
            return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key))
        case _:
            assert_never(write)


def _said(error: Exception) -> str:
    """What went wrong, in etcd's words."""
    details: str = error.details() if isinstance(error, grpc.aio.AioRpcError) else ""
    return details or str(error) or type(error).__name__


def _translate(error: Exception) -> Exception:
    """Our exception for what ended a request that had been sent."""
    said = _said(error)
    if not isinstance(error, grpc.aio.AioRpcError):
        return UnknownResult(f"no answer from etcd: {said}")
    match error.code():
        case grpc.StatusCode.INVALID_ARGUMENT:
            return ValueError(said)
        case grpc.StatusCode.RESOURCE_EXHAUSTED if "larger than max" in said:
            return ValueError(said)
        case grpc.StatusCode.OUT_OF_RANGE:
            return Compacted(said)
        case grpc.StatusCode.NOT_FOUND:
            return _LeaseEnded("the lease has ended")
        case (
            grpc.StatusCode.RESOURCE_EXHAUSTED  # "database space exceeded", "too many requests"
            | grpc.StatusCode.FAILED_PRECONDITION
            | grpc.StatusCode.PERMISSION_DENIED
            | grpc.StatusCode.UNAUTHENTICATED
            | grpc.StatusCode.UNIMPLEMENTED
        ):
            return _Refused(f"etcd refused: {said}")
        case _:
            return UnknownResult(f"no answer from etcd: {said}")
