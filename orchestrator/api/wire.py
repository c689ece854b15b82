"""Connections that stopped being HTTP: an upgraded one, or a WebSocket that carries its bytes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from aiohttp import WSMsgType, web

from orchestrator.api import spdy
from proto.errors import BadRequest

MESSAGE_BYTES_MAX = 1 << 20
"""Of one WebSocket message. kubectl's have 32 KiB."""

BUFFER_BYTES_MAX = 65_536
"""Read ahead; the client waits while twice as much is waiting here."""

HEARTBEAT_S = 5.0
"""While a slow program keeps us from reading, only writing tells whether the client is there, and
only an answer tells the client that we are: kubectl gives a WebSocket up after a minute.
"""

LINGER_S = 5.0
"""For the client to hang up, once it was told the end. A connection that is closed on bytes unread
is reset, and the client may lose what it was told last."""


class Wire(Protocol):
    """Bytes in both directions; who is slow holds the other up."""

    async def read(self) -> bytes:
        """The next bytes; empty at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Send all of it.

        Raises:
            ConnectionError: The client has gone.
        """
        ...

    async def close(self) -> None:
        """Say that there is no more, and hang up once the client has."""
        ...


class UpgradedWire:
    """The TCP connection of a request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        """See `Wire`."""
        try:
            return await self._reader.read(BUFFER_BYTES_MAX)
        except OSError:
            return b""  # reset: the client has gone

    async def write(self, data: bytes) -> None:
        """See `Wire`."""
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        """See `Wire`."""
        try:
            async with asyncio.timeout(LINGER_S):
                await self._writer.drain()
                while await self._reader.read(BUFFER_BYTES_MAX):
                    pass
        except (OSError, TimeoutError):
            pass  # it may have gone first
        self._writer.close()


class WebSocketWire:
    """The binary messages of a WebSocket, joined."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        """See `Wire`."""
        while True:
            message = await self._socket.receive()
            if message.type in (WSMsgType.BINARY, WSMsgType.TEXT):
                data = message.data
                content: bytes = data.encode() if isinstance(data, str) else data
                if content:
                    return content
            else:
                return b""

    async def write(self, data: bytes) -> None:
        """See `Wire`."""
        await self._socket.send_bytes(data)

    async def close(self) -> None:
        """See `Wire`."""
        await self._socket.close()


@asynccontextmanager
async def upgraded(
    request: web.Request, protocols: Sequence[str]
) -> AsyncIterator[tuple[web.StreamResponse, UpgradedWire]]:
    """Answer 101, and have the connection until the context ends.

    Args:
        request: Asks for ``Upgrade: SPDY/3.1``.
        protocols: What may be spoken inside, by ``X-Stream-Protocol-Version``.

    Raises:
        BadRequest: The client speaks nothing of that.
    """
    protocol = spoken(request, protocols)
    response = web.StreamResponse(status=101)
    response.headers["Upgrade"] = "SPDY/3.1"
    response.headers["Connection"] = "Upgrade"
    response.headers["X-Stream-Protocol-Version"] = protocol
    response.force_close()
    await response.prepare(request)
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client has gone")
    reader = asyncio.StreamReader(limit=BUFFER_BYTES_MAX)
    taking_over = asyncio.StreamReaderProtocol(reader)
    transport.set_protocol(taking_over)
    taking_over.connection_made(transport)
    loop = asyncio.get_running_loop()
    wire = UpgradedWire(reader, asyncio.StreamWriter(transport, taking_over, reader, loop))
    try:
        async with _beating(lambda: wire.write(spdy.PING)):
            yield response, wire
    finally:
        transport.close()


def spoken(request: web.Request, protocols: Sequence[str]) -> str:
    """The first protocol on the client's list that is on ours as well.

    Raises:
        BadRequest: There is none.
    """
    offered = [
        name.strip()
        for header in request.headers.getall("X-Stream-Protocol-Version", [])
        for name in header.split(",")
    ]
    chosen = next((name for name in offered if name in protocols), "")
    if "spdy/3.1" not in request.headers.get("Upgrade", "").lower() or not chosen:
        raise BadRequest(
            "unable to upgrade: this needs Upgrade: SPDY/3.1 or websocket, and a protocol out of "
            f"{', '.join(protocols)} (got {', '.join(offered) or 'none'})"
        )
    return chosen


def is_websocket(request: web.Request) -> bool:
    """Whether the client asks for a WebSocket."""
    return request.headers.get("Upgrade", "").lower() == "websocket"


@asynccontextmanager
async def websocket(
    request: web.Request, protocols: Sequence[str]
) -> AsyncIterator[web.WebSocketResponse]:
    """A WebSocket that speaks one of these protocols, until the context ends.

    A client that names no protocol at all gets a WebSocket that has none, as from Kubernetes.

    Raises:
        BadRequest: The client names some, and none of these.
    """
    socket = web.WebSocketResponse(protocols=protocols, max_msg_size=MESSAGE_BYTES_MAX)
    is_named = "Sec-WebSocket-Protocol" in request.headers
    if socket.can_prepare(request).protocol is None and is_named:
        raise BadRequest(f"unable to upgrade: one of {', '.join(protocols)} must be spoken")
    await socket.prepare(request)
    async with _beating(socket.pong if _counts_pongs(request) else socket.ping):
        yield socket


def _counts_pongs(request: web.Request) -> bool:
    """Whether the client takes a Pong that it did not ask for as a sign of life (RFC 6455, 5.5.3).

    Go's client (its User-Agent ends with ``kubernetes/…``) counts nothing else, and gives up after
    a minute without one. httpx-ws 0.9, and with it kr8s, ends the connection at a Pong unasked.
    """
    return "kubernetes/" in request.headers.get("User-Agent", "")


@asynccontextmanager
async def _beating(beat: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Write now and then, and end the context when the client has gone.

    Raises:
        ConnectionError: It has.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(_beat(beat))
            try:
                yield
            finally:
                task.cancel()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from group


async def _beat(beat: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_S)
        await beat()
