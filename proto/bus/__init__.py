"""The bus: subjects, at most once. `nats` is the real one, `memory` the one with faults on request.

Delivery may lose, double, delay and reorder; no code may rely on more. The one exception is
`Intake`, which keeps deploy events until they are acknowledged.
"""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from proto.bus.lag import Lag

PAYLOAD_BYTES_MAX = 8 * 1024 * 1024
"""What `longshore up` lets its nats-server carry (its own default is 1 MiB): a whole assignment of
110 pods (Kubernetes' limit a node) with 64 KiB each fits.
"""


MESSAGE_ID_HEADER = "Nats-Msg-Id"
"""Says that two messages are one event, published twice. NATS' own name for it."""

INTAKE_CONSUMER = "longshore"
"""The one durable consumer of an intake's stream."""


class Envelope(Struct, frozen=True):
    """One message as received.

    Attributes:
        reply: Where an answer is expected; empty when none is.
    """

    subject: str
    payload: bytes
    reply: str = ""
    headers: Mapping[str, str] = {}


class Subscription(Protocol):
    """Messages of one subject pattern, in order of arrival."""

    @property
    def dropped(self) -> int:
        """Messages thrown away because the reader was too slow."""
        ...

    async def get(self) -> Envelope:
        """The next message; waits for it."""
        ...

    async def close(self) -> None:
        """Stop receiving."""
        ...


class Delivery(Protocol):
    """A durable message, not yet settled."""

    envelope: Envelope
    id: str
    """Differs for every stored message, also after the stream was lost and made again."""

    async def answer(self, payload: bytes) -> None:
        """Tell whoever published it and waits; at most once, like everything on the bus.

        Raises:
            Unavailable: See `Bus.publish`.
        """
        ...

    async def ack(self) -> None:
        """It is done with; never deliver it again."""
        ...


class Intake(Protocol):
    """A durable queue of messages with one consumer: in order, redelivered until acknowledged."""

    async def get(self) -> Delivery:
        """The next message; waits for it."""
        ...

    async def close(self) -> None:
        """Stop consuming; unacknowledged messages stay."""
        ...


class Bus(Protocol):
    """Publish, subscribe, ask."""

    @property
    def connected(self) -> bool:
        """Whether messages go out and come in."""
        ...

    async def publish(
        self, subject: str, payload: bytes, *, headers: Mapping[str, str] | None = None
    ) -> None:
        """Hand the message over; it may be lost.

        Raises:
            Unavailable: The connection's buffer is full, or the payload too large.
        """
        ...

    async def subscribe(self, subject: str, *, limit: int = 65_536) -> Subscription:
        """Receive a subject; ``*`` stands for one token, a final ``>`` for the rest.

        Args:
            subject: Pattern.
            limit: Messages kept for a slow reader before new ones are dropped.
        """
        ...

    async def request(
        self,
        subject: str,
        payload: bytes,
        *,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """Ask one answer.

        Raises:
            Unavailable: Nobody listens, or nobody answered in time.
        """
        ...

    async def intake(self, stream: str, subject: str) -> Intake:
        """The durable queue of a subject, made when it is not there.

        Publishers get no acknowledgement from it: their reply subject stays free for ours.

        Raises:
            Unavailable: The server has no durable storage (JetStream is off).
        """
        ...

    async def lag(self, stream: str, consumer: str, *, timeout_s: float) -> Lag:
        """How far a durable consumer is behind; of anybody's stream, not only of an intake's.

        Raises:
            NotFound: There is no such stream, or it has no such consumer.
            Unavailable: Nobody answered in time, or the server has no durable storage.
        """
        ...

    async def close(self) -> None:
        """Flush and disconnect."""
        ...
