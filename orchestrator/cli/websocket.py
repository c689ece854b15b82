"""WebSockets of channels: what exec, attach and port-forward talk over."""

import contextlib
from collections.abc import Iterator

import httpx
import httpx_ws

Refusal = httpx_ws.WebSocketUpgradeError
"""The server does not open one; its ``response`` says why."""


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
