"""The client's end of exec and attach: its channels, over WebSocket or SPDY."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from aiohttp import WSMsgType, web
from msgspec import Struct

from orchestrator.api import spdy
from orchestrator.api.wire import Wire
from proto import codec
from proto.errors import BadRequest
from proto.frames import Channel

WEBSOCKET_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
SPDY_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
"""All that clients of the last five years offer; older ones have no exit codes."""

STREAMS_TIMEOUT_S = 30.0
"""For a SPDY client to open all of its streams. Source: kubelet, DefaultStreamCreationTimeout."""

_CLOSE = 255
"""The channel, in v5, on which the client says which other one has ended."""

_NAMES = {
    "stdin": Channel.STDIN,
    "stdout": Channel.STDOUT,
    "stderr": Channel.STDERR,
    "error": Channel.OUTCOME,
    "resize": Channel.RESIZE,
}


class Said(Struct, frozen=True):
    """Something that the client sent."""

    channel: Channel
    data: bytes = b""
    is_last: bool = False


class Console(Protocol):
    """The client."""

    async def receive(self) -> Said | None:
        """Its input, or its terminal's size; None once it has gone."""
        ...

    async def send(self, channel: Channel, data: bytes) -> None:
        """Show it output.

        Raises:
            ConnectionError: It has gone.
        """
        ...

    async def finish(self, status: Mapping[str, Any]) -> None:
        """Tell it how it ended, and hang up.

        Raises:
            ConnectionError: It has gone.
        """
        ...


class WebSocketConsole:
    """Each message begins with its channel's number."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def receive(self) -> Said | None:
        """See `Console`."""
        while True:
            message = await self._socket.receive()
            if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                return None
            data = message.data.encode() if isinstance(message.data, str) else message.data
            match data[:1]:
                case b"\x00":
                    return Said(Channel.STDIN, data[1:])
                case b"\x04":
                    return Said(Channel.RESIZE, data[1:])
                case b"\xff" if data[1:] == b"\x00":
                    return Said(Channel.STDIN, is_last=True)

    async def send(self, channel: Channel, data: bytes) -> None:
        """See `Console`."""
        await self._socket.send_bytes(bytes((channel,)) + data)

    async def finish(self, status: Mapping[str, Any]) -> None:
        """See `Console`; without a protocol, a failure is told as text, as in Kubernetes."""
        if self._socket.ws_protocol is not None:
            await self.send(Channel.OUTCOME, codec.encode(status))
        elif status["status"] != "Success":
            await self.send(Channel.OUTCOME, status["message"].encode())
        await self._socket.close()


class SpdyConsole:
    """Each channel is a stream that the client opens."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._session = spdy.Session()
        self._events: Iterable[spdy.Event] = iter(())
        self._channels: dict[int, Channel] = {}
        self._ids: dict[Channel, int] = {}

    async def await_streams(self, channels: frozenset[Channel]) -> bool:
        """Whether the client opened all of these; False when it left instead.

        Raises:
            BadRequest: It did not in time, or speaks no SPDY.
        """
        try:
            async with asyncio.timeout(STREAMS_TIMEOUT_S):
                while not channels <= self._ids.keys():
                    event = await self._next()
                    if event is None:
                        return False
                    if not isinstance(event, spdy.Opened):
                        raise BadRequest("all streams must be opened before anything is sent")
        except TimeoutError as error:
            raise BadRequest("the client did not open its streams in time") from error
        return True

    async def receive(self) -> Said | None:
        """See `Console`."""
        while (event := await self._next()) is not None:
            if isinstance(event, spdy.Data):
                channel = self._channels.get(event.stream)
                if channel in (Channel.STDIN, Channel.RESIZE):
                    return Said(channel, event.data, event.is_last)
        return None

    async def _next(self) -> spdy.Event | None:
        while True:
            for event in self._events:
                if isinstance(event, spdy.Opened):
                    await self._open(event)
                elif isinstance(event, spdy.Ping):
                    await self._wire.write(self._session.pong(event))
                return event
            chunk = await self._wire.read()
            if not chunk:
                return None
            self._events = self._session.feed(chunk)

    async def _open(self, event: spdy.Opened) -> None:
        channel = _NAMES.get(event.headers.get("streamtype", ""))
        if channel is None or channel in self._ids:
            raise BadRequest(f"unexpected stream: {dict(event.headers)}")
        self._channels[event.stream] = channel
        self._ids[channel] = event.stream
        await self._wire.write(self._session.accept(event.stream))

    async def send(self, channel: Channel, data: bytes) -> None:
        """See `Console`."""
        if channel in self._ids:
            await self._wire.write(self._session.data(self._ids[channel], data))

    async def finish(self, status: Mapping[str, Any]) -> None:
        """See `Console`."""
        await self.send(Channel.OUTCOME, codec.encode(status))
        ends = [self._session.data(id, is_last=True) for id in self._channels]
        await self._wire.write(b"".join(ends))
        await self._wire.close()
