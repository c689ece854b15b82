"""Logs over the bus, at the reader's pace.

A reader opens a stream by a request and grants bytes: the agent sends no more than it was granted
since the start, so a slow reader costs neither memory here nor bytes there. An empty message ends
the stream. Grants are totals: a lost one is healed by the next.
"""

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from node_agent.core.observed import Container
from node_agent.engine import Engine, LogOptions, LogStream
from proto import codec, subjects
from proto.bus import Bus, Envelope, Subscription
from proto.errors import BadRequest, LongshoreError, NotFound
from proto.messages import LogRequest, StreamFailed, StreamGrant, StreamReply, StreamStarted

log = structlog.get_logger()

STREAMS_MAX = 256
"""At once: each holds a connection to the engine."""

PIECE_BYTES_MAX = 65_536
"""Of one message; NATS carries up to a megabyte by default, small ones share the line better."""

SILENCE_S_MAX = 600.0
"""A reader that waits repeats its grant every second; one silent for ten minutes has gone."""

Find = Callable[[LogRequest], Container | StreamFailed]


class LogServer:
    """Answers log requests for one node."""

    def __init__(self, bus: Bus, engine: Engine, node: str, find: Find) -> None:
        """Serves nothing before `run`.

        Args:
            bus: Where requests come from and streams go.
            engine: Whose logs.
            node: Whose requests.
            find: The container that a request means, or why there is none.
        """
        self._bus = bus
        self._engine = engine
        self._node = node
        self._find = find
        self._open = 0

    async def run(self) -> None:
        """Serve until cancelled."""
        subscription = await self._bus.subscribe(subjects.logs(self._node))
        async with asyncio.TaskGroup() as tasks:
            while True:
                envelope = await subscription.get()
                tasks.create_task(self._serve(envelope))

    async def _serve(self, envelope: Envelope) -> None:
        """One stream, from its request to its end; whatever fails, fails for it alone."""
        self._open += 1
        try:
            request = codec.decode(envelope.payload, LogRequest)
            await self._stream(request, envelope.reply)
        except BadRequest as error:
            log.warning("message.rejected", subject=envelope.subject, error=str(error))
            await self._answer(envelope.reply, StreamFailed(code=400, reason=str(error)))
        except LongshoreError as error:
            log.info("stream.broken", error=str(error))
        finally:
            self._open -= 1

    async def _answer(self, reply_to: str, answer: StreamReply) -> None:
        if reply_to:
            with contextlib.suppress(LongshoreError):
                await self._bus.publish(reply_to, codec.encode(answer))

    async def _stream(self, request: LogRequest, reply_to: str) -> None:
        if self._open > STREAMS_MAX:
            text = f"node {self._node} serves {STREAMS_MAX} streams already"
            await self._answer(reply_to, StreamFailed(code=429, reason=text))
            return
        found = self._find(request)
        if isinstance(found, StreamFailed):
            await self._answer(reply_to, found)
            return
        options = LogOptions(
            tail_lines=request.tail_lines,
            since_ms=request.since_ms,
            has_timestamps=request.timestamps,
            is_following=request.follow,
        )
        try:
            source = await self._engine.logs(found.id, options)
        except LongshoreError as error:
            code = 404 if isinstance(error, NotFound) else 500
            await self._answer(reply_to, StreamFailed(code=code, reason=str(error)))
            return
        grants = await self._bus.subscribe(subjects.stream_grant(request.stream), limit=64)
        try:
            await self._answer(reply_to, StreamStarted())
            await _Sender(self._bus, source, grants, request).run()
        finally:
            await source.close()
            await grants.close()


class _Sender:
    """Moves one log to its reader."""

    def __init__(
        self, bus: Bus, source: LogStream, grants: Subscription, request: LogRequest
    ) -> None:
        self._bus = bus
        self._source = source
        self._grants = grants
        self._subject = subjects.stream_data(request.stream)
        self._left = request.limit_bytes
        self._granted = request.window_bytes
        self._sent = 0
        self._closed = asyncio.Event()
        self._grant_bell = asyncio.Event()

    async def run(self) -> None:
        """Until the log ends, the limit is reached, or the reader closes or vanishes."""
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(self._listen())
            sending = tasks.create_task(self._send())
            closing = tasks.create_task(self._closed.wait())
            await asyncio.wait((sending, closing), return_when=asyncio.FIRST_COMPLETED)
            for task in (listening, sending, closing):
                task.cancel()
        if not self._closed.is_set():
            await self._bus.publish(self._subject, b"")

    async def _listen(self) -> None:
        while True:
            try:
                async with asyncio.timeout(SILENCE_S_MAX):
                    envelope = await self._grants.get()
            except TimeoutError:
                log.info("stream.abandoned", subject=self._subject)
                self._closed.set()
                return
            try:
                grant = codec.decode(envelope.payload, StreamGrant)
            except BadRequest as error:
                log.warning("message.rejected", subject=envelope.subject, error=str(error))
                continue
            self._granted = max(self._granted, grant.total_bytes)
            self._grant_bell.set()
            if grant.is_closed:
                self._closed.set()

    async def _send(self) -> None:
        try:
            while self._left != 0:
                piece = await self._source.read()
                if not piece:
                    return
                if self._left is not None:
                    piece = piece[: self._left]
                    self._left -= len(piece)
                await self._send_piece(piece)
        except LongshoreError as error:
            log.info("stream.broken", subject=self._subject, error=str(error))

    async def _send_piece(self, piece: bytes) -> None:
        """All of it, as the reader grants it."""
        while piece:
            while self._sent >= self._granted:
                self._grant_bell.clear()
                await self._grant_bell.wait()
            part = piece[: min(self._granted - self._sent, PIECE_BYTES_MAX)]
            await self._bus.publish(self._subject, part)
            self._sent += len(part)
            piece = piece[len(part) :]
