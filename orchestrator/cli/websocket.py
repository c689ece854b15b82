"""WebSockets of channels: what exec, attach and port-forward talk over."""

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx
import httpx_ws
from httpx_ws._ping import AsyncPingManager

Refusal = httpx_ws.WebSocketUpgradeError
"""The server does not open one; its ``response`` says why."""


class Session(httpx_ws.AsyncWebSocketSession):
    """Takes a Pong that nobody asked for as the sign of life that it is (RFC 6455, 5.5.3).

    httpx-ws 0.9 looks for the Ping that it answers, and ends the connection with a KeyError.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._ping_manager = _Pings()


class _Pings(AsyncPingManager):
    def ack(self, ping_id: bytes | bytearray) -> None:
        if bytes(ping_id) in self._pings:
            super().ack(ping_id)


class Socket:
    """A WebSocket of channels: each message begins with the number of its channel."""

    def __init__(self, socket: httpx_ws.AsyncWebSocketSession) -> None:
        self._socket = socket

    async def send(self, channel: int, content: bytes) -> None:
        """One message.

        Raises:
            ConnectionError: The other side has gone.
        """
        with _hung_up():
            await self._socket.send_bytes(bytes((channel,)) + content)

    async def receive(self) -> tuple[int, bytes]:
        """The next message's channel and content.

        Raises:
            ConnectionError: There will be none.
        """
        with _hung_up():
            message = await self._socket.receive_bytes()
        return message[0], bytes(message[1:])


@contextlib.contextmanager
def _hung_up() -> Iterator[None]:
    try:
        yield
    except (httpx_ws.HTTPXWSException, httpx.TransportError) as error:
        raise ConnectionError(str(error) or "the server hung up") from error
