"""Answers requests for streams: from the request to the end of the stream."""

import asyncio
import contextlib
from typing import Protocol, TypeVar

import structlog

from node_agent.core.observed import Container
from node_agent.engine import AttachOptions, Engine, ExecOptions, LogOptions
from node_agent.streams import relay
from node_agent.streams.relay import Relay
from proto import codec, subjects
from proto.bus import Bus, Envelope
from proto.bus.stream import open_end
from proto.errors import BadRequest, LongshoreError, NotFound, Rejected
from proto.messages import (
    AttachRequest,
    ExecRequest,
    ForwardRequest,
    LogRequest,
    StreamFailed,
    StreamReply,
    StreamRequest,
    StreamStarted,
)

log = structlog.get_logger()

STREAMS_MAX = 256
"""At once: each holds a connection, and up to half a megabyte in either direction."""


class Targets(Protocol):
    """What requests mean on this node, or why they mean nothing."""

    def logged(self, request: LogRequest) -> Container | StreamFailed:
        """Whose log is meant."""
        ...

    def running(self, request: ExecRequest | AttachRequest) -> Container | StreamFailed:
        """Which running container is meant."""
        ...

    def address(self, request: ForwardRequest) -> str | StreamFailed:
        """Where the pod answers."""
        ...


T = TypeVar("T")


class _Refused(Exception):
    def __init__(self, answer: StreamFailed) -> None:
        super().__init__(answer.reason)
        self.answer = answer


class StreamServer:
    """Serves one node's streams."""

    def __init__(self, bus: Bus, engine: Engine, node: str, targets: Targets) -> None:
        """Serves nothing before `run`.

        Args:
            bus: Where requests come from and streams go.
            engine: What has the logs and runs the containers.
            node: Whose requests.
            targets: What they mean.
        """
        self._bus = bus
        self._engine = engine
        self._node = node
        self._targets = targets
        self._open = 0

    async def run(self) -> None:
        """Serve until cancelled."""
        subscription = await self._bus.subscribe(subjects.open_stream(self._node))
        async with asyncio.TaskGroup() as tasks:
            while True:
                envelope = await subscription.get()
                tasks.create_task(self._serve(envelope))

    async def _serve(self, envelope: Envelope) -> None:
        """One stream; whatever fails, fails for it alone."""
        self._open += 1
        try:
            request: StreamRequest = codec.decode(envelope.payload, StreamRequest)  # type: ignore[arg-type]
            await self._stream(request, envelope.reply)
        except _Refused as refused:
            await self._answer(envelope.reply, refused.answer)
        except BadRequest as error:
            log.warning("message.rejected", subject=envelope.subject, error=str(error))
            await self._answer(envelope.reply, StreamFailed(code=400, reason=str(error)))
        except LongshoreError as error:
            log.info("stream.broken", error=str(error))
        except Exception:  # a mistake of ours must not end the node's other streams
            log.exception("stream.failed", subject=envelope.subject)
        finally:
            self._open -= 1

    async def _answer(self, reply_to: str, answer: StreamReply) -> None:
        if reply_to:
            with contextlib.suppress(LongshoreError):
                await self._bus.publish(reply_to, codec.encode(answer))

    async def _stream(self, request: StreamRequest, reply_to: str) -> None:
        if self._open > STREAMS_MAX:
            text = f"node {self._node} serves {STREAMS_MAX} streams already"
            raise _Refused(StreamFailed(code=429, reason=text))
        try:
            source = await self._source(request)
        except LongshoreError as error:
            raise _Refused(StreamFailed(code=_code(error), reason=str(error))) from error
        try:
            async with open_end(
                self._bus,
                hears=subjects.stream_to_node(request.stream),
                speaks=subjects.stream_from_node(request.stream),
            ) as stream:
                await self._answer(reply_to, StreamStarted())
                await relay.run(source, stream)
        finally:
            await source.close()

    async def _source(self, request: StreamRequest) -> Relay:
        match request:
            case LogRequest():
                logged = _checked(self._targets.logged(request))
                return await self._log(logged.id, request)
            case ExecRequest():
                return await self._execute(_checked(self._targets.running(request)).id, request)
            case AttachRequest():
                return await self._attach(_checked(self._targets.running(request)).id, request)
            case ForwardRequest():
                return await relay.connect(_checked(self._targets.address(request)), request.port)

    async def _log(self, id: str, request: LogRequest) -> Relay:
        options = LogOptions(
            tail_lines=request.tail_lines,
            since_ms=request.since_ms,
            has_timestamps=request.timestamps,
            is_following=request.follow,
        )
        return relay.LogRelay(await self._engine.logs(id, options), request.limit_bytes)

    async def _execute(self, id: str, request: ExecRequest) -> Relay:
        options = ExecOptions(
            command=request.command,
            has_stdin=request.has_stdin,
            has_stdout=request.has_stdout,
            has_stderr=request.has_stderr,
            is_tty=request.is_tty,
        )
        return relay.ConsoleRelay(await self._engine.execute(id, options))

    async def _attach(self, id: str, request: AttachRequest) -> Relay:
        options = AttachOptions(
            has_stdin=request.has_stdin,
            has_stdout=request.has_stdout,
            has_stderr=request.has_stderr,
        )
        return relay.ConsoleRelay(await self._engine.attach(id, options))


def _checked(found: T | StreamFailed) -> T:
    if isinstance(found, StreamFailed):
        raise _Refused(found)
    return found


def _code(error: LongshoreError) -> int:
    if isinstance(error, NotFound):
        return 404
    return 400 if isinstance(error, Rejected) else 500
