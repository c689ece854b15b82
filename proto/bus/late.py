"""A bus that need not be there yet: both daemons do what they can from their first moment.

An agent follows its last assignment, an orchestrator answers from its store.
Until the connection stands, publishing raises `Unavailable` and subscribing waits.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from proto.bus import Intake, Subscription
from proto.bus.lag import Lag
from proto.bus.nats import NatsBus
from proto.errors import Unavailable


class LateBus:
    """A `Bus` over NATS, connected by `run`."""

    def __init__(self, urls: Sequence[str], *, name: str) -> None:
        self._urls = urls
        self._name = name
        self._bus: NatsBus | None = None
        self._is_connected = asyncio.Event()
        self.on_connect: Callable[[], None] = lambda: None
        """Rung whenever the connection stands, again or for the first time."""

    async def run(self) -> None:
        """Connect, however long it takes."""
        self._bus = await NatsBus.connect(self._urls, name=self._name, on_reconnect=self._ring)
        self._is_connected.set()
        self._ring()

    def _ring(self) -> None:
        self.on_connect()

    @property
    def connected(self) -> bool:
        """See `Bus`."""
        return self._bus is not None and self._bus.connected

    def _connected(self) -> NatsBus:
        if self._bus is None:
            raise Unavailable("not connected to NATS yet")
        return self._bus

    async def publish(
        self, subject: str, payload: bytes, *, headers: Mapping[str, str] | None = None
    ) -> None:
        """See `Bus`."""
        await self._connected().publish(subject, payload, headers=headers)

    async def subscribe(self, subject: str, *, limit: int = 65_536) -> Subscription:
        """See `Bus`; waits for the connection."""
        await self._is_connected.wait()
        return await self._connected().subscribe(subject, limit=limit)

    async def request(
        self,
        subject: str,
        payload: bytes,
        *,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """See `Bus`."""
        bus = self._connected()
        return await bus.request(subject, payload, timeout_s=timeout_s, headers=headers)

    async def intake(self, stream: str, subject: str) -> Intake:
        """See `Bus`."""
        return await self._connected().intake(stream, subject)

    async def lag(self, stream: str, consumer: str, *, timeout_s: float) -> Lag:
        """See `Bus`."""
        return await self._connected().lag(stream, consumer, timeout_s=timeout_s)

    async def close(self) -> None:
        """See `Bus`."""
        if self._bus is not None:
            await self._bus.close()
