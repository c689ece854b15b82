"""Byte streams from agents to readers, over the bus, with credit.

The reader grants the agent a number of bytes, counted from the stream's start; it grants more as
its own reader takes them. So a slow reader holds the sender up, neither losing bytes nor filling
memory: at most `WINDOW_BYTES` a stream are under way.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from msgspec.structs import replace

from proto import codec, subjects
from proto.bus import Bus, Subscription
from proto.errors import BadRequest, Forbidden, NotFound, Unavailable
from proto.messages import LogRequest, StreamFailed, StreamGrant, StreamReply

WINDOW_BYTES = 262_144
"""Four messages of 64 KiB: enough to keep a local stream busy, little enough to have thousands."""

OPEN_TIMEOUT_S = 5.0
GRANT_EVERY_S = 1.0
"""A grant is repeated while nothing comes, in case the last one was lost."""


class LogStream:
    """The bytes of one log, in order; use it as an async context manager."""

    def __init__(self, bus: Bus, stream: str, data: Subscription) -> None:
        self._bus = bus
        self._stream = stream
        self._data = data
        self._taken = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self._grant(is_closed=True)
        await self._data.close()

    async def read(self) -> bytes:
        """The next bytes; empty at the end of the log."""
        envelope = None
        while envelope is None:
            try:
                async with asyncio.timeout(GRANT_EVERY_S):
                    envelope = await self._data.get()
            except TimeoutError:
                await self._grant(is_closed=False)
        self._taken += len(envelope.payload)
        await self._grant(is_closed=False)
        return envelope.payload

    async def _grant(self, *, is_closed: bool) -> None:
        grant = StreamGrant(total_bytes=self._taken + WINDOW_BYTES, is_closed=is_closed)
        try:
            await self._bus.publish(subjects.stream_grant(self._stream), codec.encode(grant))
        except Unavailable:
            pass  # repeated with the next read; the agent gives a silent reader up by itself


class Streams:
    """Opens streams to agents."""

    def __init__(self, bus: Bus, new_id: Callable[[], str]) -> None:
        self._bus = bus
        self._new_id = new_id

    async def logs(self, node: str, request: LogRequest) -> LogStream:
        """A container's log.

        Args:
            node: Where it runs.
            request: What to send; its stream and window are filled in here.

        Raises:
            Unavailable: The node's agent does not answer.
            NotFound, BadRequest, Forbidden: In the agent's words.
        """
        stream = self._new_id()
        data = await self._bus.subscribe(subjects.stream_data(stream))
        asked = replace(request, stream=stream, window_bytes=WINDOW_BYTES)
        try:
            answer = await self._bus.request(
                subjects.logs(node), codec.encode(asked), timeout_s=OPEN_TIMEOUT_S
            )
            _check(codec.decode(answer, StreamReply))  # type: ignore[arg-type]
        except BaseException:
            await data.close()
            raise
        return LogStream(self._bus, stream, data)


def _check(reply: StreamReply) -> None:
    if isinstance(reply, StreamFailed):
        refused = {404: NotFound, 400: BadRequest, 403: Forbidden}
        raise refused.get(reply.code, Unavailable)(reply.reason)
