"""The bus in one process, with faults on request; passes tests/contract/test_bus.py.

A `Network` is the server, a `MemoryBus` one client's connection to it. Every copy of a message, one
for each receiver, asks the network's `faults` when it should arrive: no time is a loss, two are a
double, a long one is late, different ones reorder. Deliveries are timers of the running loop, so
that a run on virtual time with seeded faults can be repeated exactly.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct

from proto.bus import INTAKE_CONSUMER, PAYLOAD_BYTES_MAX, Envelope
from proto.bus.lag import Lag, no_consumer
from proto.bus.mailbox import Mailbox
from proto.errors import Unavailable

Faults = Callable[[str, str, str], Sequence[float]]
"""Sender, receiver (a client, or a stream's name) and subject, to the delays in seconds after which
copies arrive. Copies with delay 0 arrive in the order of sending.
"""

ACK_WAIT_S = 10.0
"""A delivery that is not acknowledged for so long is delivered again; the same as in `nats`."""


def no_faults(sender: str, receiver: str, subject: str) -> Sequence[float]:  # noqa: ARG001
    """Everything arrives once, in order, at the loop's next turn."""
    return (0.0,)


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject is one of a pattern's: ``*`` is any token, a final ``>`` one or more.

    >>> matches("a.*.c", "a.b.c"), matches("a.>", "a.b.c"), matches("a.>", "a"), matches("a", "a.b")
    (True, True, False, False)
    """
    wanted, given = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        if len(given) < len(wanted):
            return False
        wanted, given = wanted[:-1], given[: len(wanted) - 1]
    return len(wanted) == len(given) and all(
        want in ("*", got) for want, got in zip(wanted, given, strict=True)
    )


class _Listener(Struct, frozen=True, eq=False):
    receiver: str
    pattern: str
    put: Callable[[Envelope], object]


class _Stored(Struct, frozen=True):
    sequence: int
    envelope: Envelope


class _Stream:
    """Durable messages, oldest first; the first is with the consumer until it is acknowledged."""

    def __init__(self, incarnation: int) -> None:
        self.incarnation = incarnation
        self.kept: deque[_Stored] = deque()
        self.last_sequence = 0
        self.redeliver_at: float | None = None
        self.bell = asyncio.Event()

    def put(self, envelope: Envelope) -> None:
        self.last_sequence += 1
        self.kept.append(_Stored(self.last_sequence, envelope))
        self.bell.set()

    @property
    def lag(self) -> Lag:
        delivered = 0 if self.redeliver_at is None else 1
        return Lag(len(self.kept) - delivered, delivered)

    def ack(self, sequence: int) -> None:
        if self.kept and self.kept[0].sequence == sequence:
            self.kept.popleft()
            self.redeliver_at = None
            self.bell.set()


class Network:
    """The server that its clients share.

    Attributes:
        faults: Asked for every copy of every message; may be replaced at any time.
        has_jetstream: Whether streams can be had.
    """

    def __init__(self, faults: Faults = no_faults, *, has_jetstream: bool = True) -> None:
        self.faults = faults
        self.has_jetstream = has_jetstream
        self._exact: dict[str, list[_Listener]] = {}
        self._patterns: list[_Listener] = []
        self._streams: dict[str, _Stream] = {}
        self._streams_made = 0
        self._cut: set[str] = set()
        self._bells: dict[str, Callable[[], None]] = {}

    def cut(self, client: str) -> None:
        """Take a client's connection away until it is healed; nothing gets in or out."""
        self._cut.add(client)

    def heal(self, client: str) -> None:
        """Give the connection back, and ring the client's reconnect bell."""
        if client not in self._cut:
            return
        self._cut.discard(client)
        self._ring_streams()
        if bell := self._bells.get(client):
            bell()

    def attach(self, client: str, on_reconnect: Callable[[], None] | None) -> None:
        """A client connects; its bell is rung whenever it is healed."""
        if on_reconnect is None:
            self._bells.pop(client, None)
        else:
            self._bells[client] = on_reconnect

    def is_cut(self, client: str) -> bool:
        """Whether the client has no connection."""
        return client in self._cut

    def forget(self, client: str) -> None:
        """Drop every subscription of a client that crashed."""
        self._bells.pop(client, None)
        self._patterns = [one for one in self._patterns if one.receiver != client]
        for pattern, listeners in list(self._exact.items()):
            self._exact[pattern] = [one for one in listeners if one.receiver != client]

    def wipe(self) -> None:
        """Lose all durable streams, as a server whose disk was lost."""
        self._ring_streams()
        for name in self._streams:
            self.forget(name)
        self._streams.clear()

    def _ring_streams(self) -> None:
        for stream in self._streams.values():
            stream.bell.set()

    def listen(self, listener: _Listener) -> None:
        """Route messages to it from now on."""
        if listener.pattern.endswith(">") or "*" in listener.pattern:
            self._patterns.append(listener)
        else:
            self._exact.setdefault(listener.pattern, []).append(listener)

    def unlisten(self, listener: _Listener) -> None:
        """Route nothing to it any more."""
        listeners = self._exact.get(listener.pattern, self._patterns)
        if listener in listeners:
            listeners.remove(listener)

    def stream(self, name: str, pattern: str) -> _Stream:
        """The durable stream of that name, made when it is not there."""
        found = self._streams.get(name)
        if found is None:
            self._streams_made += 1
            found = self._streams[name] = _Stream(self._streams_made)
            self.listen(_Listener(name, pattern, found.put))
        return found

    def lag(self, stream: str, consumer: str) -> Lag:
        """Of the one consumer that a stream has here; raises NotFound for any other."""
        found = self._streams.get(stream)
        if found is None or consumer != INTAKE_CONSUMER:
            raise no_consumer(stream, consumer)
        return found.lag

    def receivers(self, subject: str) -> Iterator[_Listener]:
        """Whoever listens to the subject, in the order they subscribed."""
        yield from self._exact.get(subject, ())
        yield from (one for one in self._patterns if matches(one.pattern, subject))

    def carry(self, sender: str, envelope: Envelope) -> bool:
        """Send each receiver its copies; False when nobody listens."""
        loop = asyncio.get_running_loop()
        receivers = list(self.receivers(envelope.subject))
        for listener in receivers:
            if listener.receiver in self._cut:
                continue
            for delay_s in self.faults(sender, listener.receiver, envelope.subject):
                if delay_s > 0:
                    loop.call_later(delay_s, listener.put, envelope)
                else:  # call_soon keeps the order of sending; equal timers need not
                    loop.call_soon(listener.put, envelope)
        return bool(receivers)


class MemorySubscription:
    """A `Subscription` of a `MemoryBus`."""

    def __init__(self, network: Network, client: str, pattern: str, limit: int) -> None:
        self._network = network
        self._mailbox = Mailbox(limit)
        self._listener = _Listener(client, pattern, self._mailbox.put)
        network.listen(self._listener)

    @property
    def dropped(self) -> int:
        """Messages thrown away because the reader was too slow."""
        return self._mailbox.dropped

    async def get(self) -> Envelope:
        """See `Subscription.get`."""
        return await self._mailbox.get()

    async def close(self) -> None:
        """See `Subscription.close`."""
        self.stop()

    def stop(self) -> None:
        """Stop receiving."""
        self._network.unlisten(self._listener)
        self._mailbox.close()


class MemoryDelivery:
    """A `Delivery` of a `MemoryIntake`."""

    def __init__(self, bus: "MemoryBus", stream: _Stream, stored: _Stored, reply: str) -> None:
        found = stored.envelope
        self.envelope = Envelope(found.subject, found.payload, "", found.headers)
        self._reply = reply
        self.id = f"{stored.sequence}-{stream.incarnation}"
        self._bus = bus
        self._stream = stream
        self._sequence = stored.sequence

    async def answer(self, payload: bytes) -> None:
        """See `Delivery.answer`."""
        if self._reply:
            await self._bus.publish(self._reply, payload)

    async def ack(self) -> None:
        """See `Delivery.ack`; a lost one is answered like a lost connection."""
        if not self._bus.connected:
            raise Unavailable("not connected: the acknowledgement was not sent")
        self._stream.ack(self._sequence)


class MemoryIntake:
    """An `Intake` of a `MemoryBus`."""

    def __init__(self, bus: "MemoryBus", network: Network, name: str, pattern: str) -> None:
        self._bus = bus
        self._network = network
        self._name = name
        self._pattern = pattern
        self._is_closed = False
        stream = network.stream(name, pattern)
        stream.redeliver_at = None  # opening replaces the consumer: what it held comes again
        self._replies_from = stream.last_sequence, stream.incarnation

    async def get(self) -> MemoryDelivery:
        """See `Intake.get`."""
        loop = asyncio.get_running_loop()
        while True:
            if self._is_closed:
                raise Unavailable("the intake is closed")
            stream = self._network.stream(self._name, self._pattern)
            is_free = stream.redeliver_at is None or stream.redeliver_at <= loop.time()
            if self._bus.connected and stream.kept and is_free:
                stream.redeliver_at = loop.time() + ACK_WAIT_S
                return self._delivery(stream, stream.kept[0])
            stream.bell.clear()
            try:
                async with asyncio.timeout_at(stream.redeliver_at if not is_free else None):
                    await stream.bell.wait()
            except TimeoutError:
                continue

    def _delivery(self, stream: _Stream, stored: _Stored) -> MemoryDelivery:
        sequence, incarnation = self._replies_from
        is_ours = stream.incarnation != incarnation or stored.sequence > sequence
        return MemoryDelivery(self._bus, stream, stored, stored.envelope.reply if is_ours else "")

    async def close(self) -> None:
        """See `Intake.close`."""
        self._is_closed = True
        self._network.stream(self._name, self._pattern).bell.set()


class MemoryBus:
    """One client's connection to a `Network`; see `Bus`.

    Args:
        network: The server.
        client: The client's name, as `faults` sees it. One living bus for each name.
        on_reconnect: Rung when the connection is back: whole states should be sent anew.
    """

    def __init__(
        self, network: Network, client: str, *, on_reconnect: Callable[[], None] | None = None
    ) -> None:
        self._network = network
        self._client = client
        self._inboxes = 0
        network.attach(client, on_reconnect)

    @property
    def connected(self) -> bool:
        """Whether messages go out and come in."""
        return not self._network.is_cut(self._client)

    async def publish(
        self, subject: str, payload: bytes, *, headers: Mapping[str, str] | None = None
    ) -> None:
        """See `Bus.publish`."""
        self._send(Envelope(subject, payload, "", headers or {}))

    def _send(self, envelope: Envelope) -> None:
        if len(envelope.payload) > PAYLOAD_BYTES_MAX:
            raise Unavailable(f"{len(envelope.payload)} bytes are more than the server carries")
        if not self.connected:
            raise Unavailable("not connected to the bus")
        if not self._network.carry(self._client, envelope) and envelope.reply:
            raise Unavailable(f"nobody listens to {envelope.subject}")

    async def subscribe(self, subject: str, *, limit: int = 65_536) -> MemorySubscription:
        """See `Bus.subscribe`."""
        return MemorySubscription(self._network, self._client, subject, limit)

    async def request(
        self,
        subject: str,
        payload: bytes,
        *,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """See `Bus.request`."""
        self._inboxes += 1
        inbox = f"_INBOX.{self._client}.{self._inboxes}"
        answers = MemorySubscription(self._network, self._client, inbox, limit=1)
        try:
            self._send(Envelope(subject, payload, inbox, headers or {}))
            async with asyncio.timeout(timeout_s):
                return (await answers.get()).payload
        except TimeoutError as error:
            raise Unavailable(f"no answer from {subject} in {timeout_s} s") from error
        finally:
            answers.stop()

    async def intake(self, stream: str, subject: str) -> MemoryIntake:
        """See `Bus.intake`."""
        if not self.connected or not self._network.has_jetstream:
            raise Unavailable("the server has no durable storage")
        return MemoryIntake(self, self._network, stream, subject)

    async def lag(self, stream: str, consumer: str, *, timeout_s: float) -> Lag:  # noqa: ARG002
        """See `Bus.lag`; answers at once."""
        if not self.connected or not self._network.has_jetstream:
            raise Unavailable("the server has no durable storage")
        return self._network.lag(stream, consumer)

    async def close(self) -> None:
        """See `Bus.close`."""
        self._network.forget(self._client)
