"""Watches: a collection's changes as they are committed, one JSON document a line.

A change that takes an object into what a client selects is an ADDED for it, one that takes it out a
DELETED. Frames of whole objects are encoded once and shared by all watchers (`Change.frames`);
tables hold ages and are made for each of the few people who look at one.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import structlog
from aiohttp import web

from orchestrator.api import resources, tables, versions
from orchestrator.api.call import Call
from orchestrator.api.errors import Failure
from orchestrator.api.negotiation import Shape
from orchestrator.world import Change, Entry, Feed, Over
from proto import codec
from proto.errors import Compacted

log = structlog.get_logger()

BOOKMARK_EVERY_S = 60.0
"""Source: apiserver's watch cache sends about one a minute."""

DURATION_S = 3600
"""Of a watch whose client names none. Source: apiserver, between half an hour and an hour."""

WRITE_TIMEOUT_S = 30.0
"""A client that takes nothing for so long is cut off, and lists again when it is back."""

INITIAL_EVENTS_END = "k8s.io/initial-events-end"


async def watch(call: Call) -> web.StreamResponse:
    """Changes until the client leaves, its time is over, or the server stops."""
    session = _Session(call)
    response = web.StreamResponse(
        headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
    )
    call.services.watches.add(session.end)
    try:
        await response.prepare(call.request)
        await session.run(response)
    except (ConnectionResetError, BrokenPipeError):
        pass  # the client left
    except TimeoutError:
        log.info("watch.cut_off", path=call.request.path)
        if call.request.transport is not None:
            call.request.transport.abort()
    finally:
        call.services.watches.discard(session.end)
        session.close()
    return response


class _Session:
    """One watch."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._selector = call.selector
        self._format = call.format
        self._loop = asyncio.get_running_loop()
        self._has_columns = False
        self._patience: asyncio.Timeout | None = None
        self._feed: Feed | None = None
        query, world = call.query, call.services.world
        self._first: list[bytes] = []
        since = versions.of_watch(call)
        if since is None:
            self._first += [self._encode("ADDED", e) for e in resources.selected(call)]
            since = world.version
            if query.wants_initial_events:
                self._first.append(self._bookmark(since, {INITIAL_EVENTS_END: "true"}))
        try:
            self._feed = world.follow(call.target.kind, since)
        except Compacted as error:
            self._first = [self._error(error)]
        now = self._loop.time()
        self._ends_at = now + (query.timeout_s or DURATION_S)
        self._bookmark_at = now + BOOKMARK_EVERY_S

    def close(self) -> None:
        """Follow no more."""
        if self._feed is not None:
            self._feed.close()

    def end(self) -> None:
        """Let it come to its end now."""
        self._ends_at = self._loop.time()
        if self._patience is not None:
            self._patience.reschedule(self._ends_at)

    async def run(self, response: web.StreamResponse) -> None:
        """Send frames until it ends.

        Raises:
            TimeoutError: The client does not take them.
        """
        await self._send(response, self._first)
        while self._feed is not None and self._loop.time() < self._ends_at:
            try:
                await self._send(response, self._frames(await self._changes(self._feed)))
            except Compacted as error:
                await self._send(response, [self._error(error)])
                break
            except Over:
                break
            if self._loop.time() >= self._bookmark_at:
                await self._send_bookmark(response, self._feed)
        else:
            if self._feed is not None:
                await self._send_bookmark(response, self._feed)
        async with asyncio.timeout(WRITE_TIMEOUT_S):
            await response.write_eof()

    async def _changes(self, feed: Feed) -> list[Change]:
        """What came; nothing when it is time for a bookmark, or over."""
        try:
            async with asyncio.timeout_at(min(self._ends_at, self._bookmark_at)) as self._patience:
                return await feed.batch()
        except TimeoutError:
            return []
        finally:
            self._patience = None

    async def _send(self, response: web.StreamResponse, frames: Sequence[bytes]) -> None:
        if frames:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await response.write(b"".join(frames))

    async def _send_bookmark(self, response: web.StreamResponse, feed: Feed) -> None:
        self._bookmark_at = self._loop.time() + BOOKMARK_EVERY_S
        # It promises that nothing before it is missing.
        if self._call.query.wants_bookmarks and not feed.is_behind:
            await self._send(response, [self._bookmark(self._call.services.world.version, {})])

    def _frames(self, changes: Sequence[Change]) -> list[bytes]:
        found = (self._frame(change) for change in changes)
        return [frame for frame in found if frame is not None]

    def _frame(self, change: Change) -> bytes | None:
        type_ = self._type_of(change)
        if type_ is None:
            return None
        if self._format.shape is not Shape.OBJECT or self._call.target.kind.conversion is not None:
            return self._encode(type_, _entry(change, type_).seen_as(self._call.target.kind))
        frame = change.frames.get(type_)
        if frame is None:
            frame = change.frames[type_] = self._encode(type_, _entry(change, type_))
        return frame

    def _type_of(self, change: Change) -> str | None:
        """What the change is to someone who sees only what is selected."""
        old, new = self._sees(change.old), self._sees(change.new)
        if new:
            return "MODIFIED" if old else "ADDED"
        return "DELETED" if old else None

    def _sees(self, entry: Entry | None) -> bool:
        if entry is None:
            return False
        namespace = self._call.target.namespace
        if namespace and entry.namespace != namespace:
            return False
        if self._selector.is_empty:
            return True
        return self._selector.matches(entry.seen_as(self._call.target.kind).object)

    def _encode(self, type_: str, entry: Entry) -> bytes:
        return _line(type_, self._shown(entry))

    def _shown(self, entry: Entry) -> Any:
        match self._format.shape:
            case Shape.OBJECT:
                return entry.raw
            case Shape.PARTIAL:
                return tables.partial(entry, self._format.version)
            case Shape.TABLE:
                return self._table((entry,), entry.version)

    def _table(self, entries: Sequence[Entry], version: int) -> dict[str, Any]:
        with_columns, self._has_columns = not self._has_columns, True
        return tables.table(
            self._call.target.kind,
            entries,
            metadata={"resourceVersion": str(version)},
            now_ms=self._call.services.clock(),
            include=self._call.query.include_object,
            version=self._format.version,
            with_columns=with_columns,
        )

    def _bookmark(self, version: int, annotations: dict[str, str]) -> bytes:
        kind = self._call.target.kind
        if self._format.shape is Shape.TABLE:
            return _line("BOOKMARK", self._table((), version))
        metadata: dict[str, Any] = {"resourceVersion": str(version)}
        if annotations:
            metadata["annotations"] = annotations
        found = {"kind": kind.name, "apiVersion": kind.api_version, "metadata": metadata}
        return _line("BOOKMARK", found)

    def _error(self, error: Exception) -> bytes:
        return _line("ERROR", Failure(error).status)


def _entry(change: Change, type_: str) -> Entry:
    """The object to show; one that left is shown as it last was, at the version it left."""
    if type_ != "DELETED" and change.new is not None:
        return change.new
    last = change.old or change.entry
    return Entry(change.kind, last.object, change.version)


def _line(type_: str, shown: msgspec.Raw | dict[str, Any]) -> bytes:
    return codec.encode({"type": type_, "object": shown}) + b"\n"
