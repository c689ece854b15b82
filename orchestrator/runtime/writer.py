"""The one fenced writer: everything that changes the store goes through here.

Requests are taken from a queue and committed together, as many as fit one transaction; one
transaction is under way at a time. Since nobody else writes, a request's expectation ("this object
is still at version 7") is checked against the world just before its transaction is made, as is what
quotas leave for it, and a failed one costs only its own request. The transaction itself compares
the leadership key, so a deposed leader cannot write, and a mark that every transaction moves, so
that of all attempts at one whose outcome is unknown at most one is applied, however late the others
arrive.

A commit is announced (to the world, its listeners, the caller) once the store has confirmed it.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import structlog
from msgspec import Struct

from orchestrator.core.admission import quotas
from orchestrator.store import TXN_BYTES_MAX, TXN_OPS_MAX, Compare, Delete, Put, Store, Write, keys
from orchestrator.world import Change, World
from orchestrator.world.entry import Entry, to_store, version_of
from proto.errors import (
    AlreadyExists,
    Conflict,
    LongshoreError,
    NotFound,
    NotLeader,
    TooLarge,
    Unavailable,
    UnknownResult,
)
from proto.kinds.kind import Kind

log = structlog.get_logger()

QUEUE_LIMIT = 20_000
"""Requests waiting to be committed: half a second's worth at the store's pace (33-65 thousand keys
a second in transactions of 100, measured). Beyond it a request is answered Unavailable at once.
"""

SETTLE_RETRY_S = 0.1
"""Between two attempts to learn what became of a transaction."""

REQUEST_OPS_MAX = TXN_OPS_MAX - 1
"""What fits one transaction beside the mark."""

_NOBODY_LEADS = (
    "nobody leads here at present: the store is away or an election is under way; try again"
)
_ANOTHER_LEADS = "another orchestrator leads"


class Op(Struct, frozen=True):
    """One object to write or remove.

    Attributes:
        object: None removes it.
        expect: The resourceVersion it must have; ``""``: it must not exist; None: it must exist,
            at any version.
    """

    kind: Kind[Any]
    namespace: str
    name: str
    object: Any
    expect: str | None = None


class _Request:
    __slots__ = ("done", "ops", "records")

    def __init__(self, ops: Sequence[Op], records: Sequence[Put]) -> None:
        self.ops = ops
        self.records = records
        self.done: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()


class _Batch:
    """Requests that share a transaction.

    Attributes:
        ledger: What they leave of the quotas.
    """

    def __init__(self, world: World) -> None:
        self.ledger = quotas.Ledger(world)
        self.requests: list[_Request] = []
        self.ops: list[tuple[Op, Entry | None]] = []
        self.keys: set[str] = set()
        self.bytes = 0
        self.writes: list[Write] = []
        self.records: list[Put] = [Put(keys.MARK, b"")]

    @property
    def size(self) -> int:
        """Writes so far."""
        return len(self.writes) + len(self.records)


class Writer:
    """Commits requests while this orchestrator leads."""

    def __init__(self, store: Store, world: World) -> None:
        self._store = store
        self._world = world
        self._queue: deque[_Request] = deque()
        self._filled = asyncio.Event()
        self._epoch: int | None = None
        self._mark = 0  # the revision of the last transaction
        self.ready = asyncio.Event()
        """Set while requests are taken."""

    @property
    def epoch(self) -> int | None:
        """The term in which it may write; None while it may not."""
        return self._epoch

    def submit(self, ops: Sequence[Op], records: Sequence[Put] = ()) -> "asyncio.Future[list[Any]]":
        """Queue writes that must be made together, or not at all.

        Args:
            ops: Objects, each once; at most `REQUEST_OPS_MAX` with the records.
            records: Further keys to put in the same transaction.

        Returns:
            A future of the objects as written (None for a removed one), in the order of `ops`.

        Raises (through the future):
            Conflict, AlreadyExists, NotFound: An expectation does not hold.
            Unavailable: Not written; try again.
            UnknownResult: The store died in between: it may have been written.
            NotLeader: Not written; ask the orchestrator that leads.
            TooLarge: More than a transaction takes.
            Forbidden: More than a quota leaves.
        """
        request = _Request(ops, records)
        if self._epoch is None:
            _fail(request, NotLeader(_NOBODY_LEADS))
        elif len(self._queue) >= QUEUE_LIMIT:
            _fail(request, Unavailable("too many writes are waiting"))
        else:
            self._queue.append(request)
            self._filled.set()
        return request.done

    async def commit(self, ops: Sequence[Op], records: Sequence[Put] = ()) -> list[Any]:
        """The same, awaited."""
        return await self.submit(ops, records)

    async def write(self, op: Op) -> Any:
        """One object, awaited; as written."""
        return (await self.submit((op,)))[0]

    async def run(self, epoch: int) -> None:
        """Commit for one term, until cancelled or deposed.

        Raises:
            NotLeader: Somebody else leads now.
            Unavailable: The store cannot be listed.
        """
        mark = await self._store.get(keys.MARK)
        self._mark = mark.mod_revision if mark is not None else 0
        self._world.sync(await self._store.range(keys.REGISTRY))
        self._epoch = epoch
        self.ready.set()
        log.info("writer.leading", epoch=epoch, revision=self._world.revision)
        batch: _Batch | None = None
        try:
            while True:
                await self._filled.wait()
                batch = self._take()
                if batch.requests:
                    await self._commit(batch, epoch)
                batch = None
                if not self._queue:
                    self._filled.clear()
        finally:
            self._epoch = None
            self.ready.clear()
            self._fail_all(batch)

    def _fail_all(self, batch: _Batch | None) -> None:
        if batch is not None:
            unknown = UnknownResult("leadership ended during the write: it may have been made")
            _fail_each(batch.requests, unknown)
        while self._queue:
            _fail(self._queue.popleft(), NotLeader("leadership ended before the write"))
        self._filled.clear()

    def _take(self) -> _Batch:
        batch = _Batch(self._world)
        while self._queue:
            request = self._queue[0]
            if request.done.done():  # its caller went away before it was begun
                self._queue.popleft()
                continue
            named = {keys.of(op.kind, op.namespace, op.name) for op in request.ops}
            size = len(named) + len(request.records)
            if batch.requests and (batch.size + size > TXN_OPS_MAX or named & batch.keys):
                break
            try:
                added = self._checked(request, batch)
            except LongshoreError as error:
                self._queue.popleft()
                _fail(request, error)
                continue
            grown = sum(len(w.value) for _, _, w in added if isinstance(w, Put))
            if batch.requests and batch.bytes + grown > TXN_BYTES_MAX:
                break
            self._queue.popleft()
            batch.requests.append(request)
            batch.keys |= named
            batch.bytes += grown
            for op, entry, write in added:
                batch.ops.append((op, entry))
                batch.writes.append(write)
            batch.records.extend(request.records)
        return batch

    def _checked(self, request: _Request, batch: _Batch) -> list[tuple[Op, Entry | None, Write]]:
        """The request's writes, if its expectations hold and quotas leave room for them."""
        position = len(batch.writes)
        if len(request.ops) + len(request.records) > REQUEST_OPS_MAX:
            raise TooLarge(f"at most {REQUEST_OPS_MAX} objects can be written together")
        found: list[tuple[Op, Entry | None, Write]] = []
        for op in request.ops:
            entry = self._world.entry(op.kind, op.namespace, op.name)
            _check(op, entry)
            key = keys.of(op.kind, op.namespace, op.name)
            if op.object is None:
                found.append((op, entry, Delete(key)))
            else:
                value = to_store(op.object, position + len(found))
                found.append((op, entry, Put(key, value)))
        if sum(len(write.value) for _, _, write in found if isinstance(write, Put)) > TXN_BYTES_MAX:
            raise TooLarge(f"an object may have at most {TXN_BYTES_MAX} bytes; make it smaller")
        batch.ledger.charge(_charges(found))
        return found

    async def _commit(self, batch: _Batch, epoch: int) -> None:
        compares = [
            Compare(keys.LEADER, create_revision=epoch),
            Compare(keys.MARK, mod_revision=self._mark),
        ]
        writes = [*batch.writes, *batch.records]
        try:
            result = await self._store.txn(compares, writes)
        except UnknownResult as error:
            log.warning("writer.unknown", error=str(error), writes=len(writes))
            revision = await self._settle(compares, writes)
        except Unavailable as error:
            _fail_each(batch.requests, error)
            return
        else:
            if not result.succeeded:
                _fail_each(batch.requests, NotLeader(_ANOTHER_LEADS))
                raise NotLeader(_ANOTHER_LEADS)
            revision = result.revision
        self._mark = revision
        self._announce(batch, revision)

    async def _settle(self, compares: Sequence[Compare], writes: Sequence[Write]) -> int:
        """Make an interrupted transaction certain; returns the revision it was applied at.

        Leadership bounds the wait: the task is cancelled when the term is over.
        """
        leader, before = compares
        while True:
            try:
                result = await self._store.txn(compares, writes)
                if result.succeeded:
                    return result.revision
                mark = await self._store.get(keys.MARK)
                held = await self._store.get(keys.LEADER)
            except (Unavailable, UnknownResult):
                await asyncio.sleep(SETTLE_RETRY_S)
                continue
            if held is None or held.create_revision != leader.create_revision:
                raise NotLeader(_ANOTHER_LEADS)
            if mark is None or mark.mod_revision == before.mod_revision:
                raise NotLeader("somebody else wrote what only the leader may")
            return mark.mod_revision  # an earlier attempt was applied after all

    def _announce(self, batch: _Batch, revision: int) -> None:
        changes: list[Change] = []
        for position, (op, old) in enumerate(batch.ops):
            version = version_of(revision, position)
            new = None if op.object is None else Entry(op.kind, op.object, version)
            changes.append(Change(version, op.kind, old, new))
        self._world.apply(revision, changes)
        written = iter(changes)
        for request in batch.requests:
            mine = [change.new for _, change in zip(request.ops, written, strict=False)]
            if not request.done.done():
                request.done.set_result([entry and entry.object for entry in mine])


def _charges(added: Iterable[tuple[Op, Entry | None, Write]]) -> Iterator[quotas.Write]:
    for op, entry, _ in added:
        old = None if entry is None else entry.object
        yield quotas.Write(op.kind, op.namespace, old, op.object)


def _check(op: Op, entry: Entry | None) -> None:
    if op.expect == "":
        if entry is not None:
            raise AlreadyExists(f'{op.kind.resource} "{op.name}" already exists')
    elif entry is None:
        raise NotFound(f'{op.kind.resource} "{op.name}" not found')
    elif op.expect is not None and op.expect != str(entry.version):
        raise Conflict(
            f'Operation cannot be fulfilled on {op.kind.resource} "{op.name}": the object has been '
            "modified; please apply your changes to the latest version and try again"
        )


def _fail(request: _Request, error: LongshoreError) -> None:
    if not request.done.done():
        request.done.set_exception(error)
        request.done.exception()  # seen: nobody may be left to await it


def _fail_each(requests: Iterable[_Request], error: LongshoreError) -> None:
    for request in requests:
        _fail(request, error)
