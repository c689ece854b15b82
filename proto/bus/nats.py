"""The bus over NATS, and the only module that imports its client; see tests/contract/test_bus.py.

Everything but the intake is core NATS: at most once, some 0.3 ms. The client reconnects by itself,
forever; subscriptions survive that, and whoever passed `on_reconnect` sends its whole state anew.

The intake is a JetStream work queue: a message stays on the server's disk until it is acknowledged.
JetStream does not store a message's reply subject, so the intake listens to the subject itself too
and remembers who waits for which message. After a restart nobody is known to wait any more: a
publisher that got no answer publishes again, with the same Nats-Msg-Id, and is told the outcome.
"""

import asyncio
import random
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api
from nats.js.errors import BadRequestError, NotFoundError

from proto.bus import INTAKE_CONSUMER, Envelope, lag
from proto.bus.cancelling import felt
from proto.bus.mailbox import Mailbox
from proto.bus.waiting import WaitingPublishers
from proto.errors import Unavailable

CONNECT_TIMEOUT_S = 2
"""For one attempt."""

RECONNECT_WAIT_S = (0.2, 0.5)
"""Between attempts; each client draws its own, so that thousands do not return in one wave."""

PING_INTERVAL_S = 2
"""A hung server, or a cut link, is noticed after three of these at most."""

FLUSH_TIMEOUT_S = 5.0
"""For handing over to the socket, when the client's buffer of 2 MiB is full."""

ACK_WAIT_S = 10.0
"""A delivery not acknowledged for so long is delivered again. An etcd commit takes 5 s at most."""

PULL_S = 5.0
"""How long the server keeps a request for the next message: bounds how late a loss is noticed."""

INTAKE_RETRY_S = 0.5
"""Between attempts to get a lost stream back."""

INTAKE_BYTES_MAX = 64 * 1024 * 1024
"""Some 10,000 manifests; the server reserves so much of its disk. When it is full, new ones are
refused rather than old ones forgotten.
"""

INTAKE_AGE_S_MAX = 24 * 3600.0
"""A manifest that nobody took for a day surprises more than it helps."""

log = structlog.get_logger()


class NatsSubscription:
    """A `Subscription` of a `NatsBus`."""

    def __init__(self, bus: "NatsBus", client: Client, subject: str, limit: int) -> None:
        self._bus = bus
        self._client = client
        self._subject = subject
        self._mailbox = Mailbox(limit)
        self._is_slow = False
        self._remote: Any = None

    async def open(self) -> None:
        """Tell the server, and wait until it knows."""
        self._remote = await self._client.subscribe(self._subject, cb=self._receive)
        try:
            for _ in range(2):  # the first ping may overtake the subscription, the second cannot
                await felt(self._client.flush(timeout=CONNECT_TIMEOUT_S))
        except (nats.errors.Error, OSError):
            pass  # not connected: the client tells the next server

    async def _receive(self, message: Msg) -> None:
        self.put(_envelope(message))

    def put(self, envelope: Envelope) -> None:
        """Keep a message for the reader; say once when it falls behind."""
        is_slow = not self._mailbox.put(envelope)
        if is_slow and not self._is_slow:
            log.warning("bus.slow_consumer", subject=self._subject, dropped=self.dropped)
        self._is_slow = is_slow

    @property
    def dropped(self) -> int:
        """Messages thrown away because the reader was too slow."""
        return self._mailbox.dropped

    async def get(self) -> Envelope:
        """See `Subscription.get`."""
        return await self._mailbox.get()

    async def close(self) -> None:
        """See `Subscription.close`."""
        self.end()
        self._bus.forget(self)
        await _unsubscribe(self._remote)

    def reconnected(self) -> None:
        """The client has told the new server of it."""

    def end(self) -> None:
        """Take nothing more, and tell a waiting reader."""
        self._mailbox.close()


class NatsDelivery:
    """A `Delivery` of a `NatsIntake`."""

    def __init__(
        self,
        bus: "NatsBus",
        envelope: Envelope,
        id: str,
        ack_subject: str,
        waiting: WaitingPublishers,
    ) -> None:
        self.envelope = envelope
        self.id = id
        self._bus = bus
        self._ack_subject = ack_subject
        self._waiting = waiting

    async def answer(self, payload: bytes) -> None:
        """See `Delivery.answer`."""
        now_s = asyncio.get_running_loop().time()
        for reply in self._waiting.answered(self.envelope, payload, now_s):
            await self._bus.publish(reply, payload)

    async def ack(self) -> None:
        """See `Delivery.ack`; waits until the server has it.

        Raises:
            Unavailable: It may not have arrived: the message may be delivered again.
        """
        await self._bus.request(self._ack_subject, b"+ACK", timeout_s=FLUSH_TIMEOUT_S)


class NatsIntake:
    """An `Intake` of a `NatsBus`."""

    def __init__(self, bus: "NatsBus", client: Client, stream: str, subject: str) -> None:
        self._bus = bus
        self._client = client
        self._jetstream: JetStreamContext = client.jetstream()
        self._stream = stream
        self._subject = subject
        self._inbox = client.new_inbox()
        self._pulled = NatsSubscription(bus, client, self._inbox, limit=1024)
        self._published: Any = None
        self._waiting = WaitingPublishers()

    async def open(self) -> None:
        """Make the stream, and the consumer anew: what another one held is delivered at once."""
        await self._pulled.open()
        self._published = await self._client.subscribe(self._subject, cb=self._remember)
        try:
            await self._declare_stream()
            try:
                await felt(self._jetstream.delete_consumer(self._stream, INTAKE_CONSUMER))
            except NotFoundError:
                pass  # the first ever
            await self._declare_consumer()
        except (nats.errors.Error, TimeoutError) as error:
            await self.close()
            raise Unavailable(f"no durable stream {self._stream}: {error}") from error

    async def _declare_stream(self) -> None:
        config = api.StreamConfig(
            name=self._stream,
            subjects=[self._subject],
            storage=api.StorageType.FILE,
            retention=api.RetentionPolicy.WORK_QUEUE,  # acknowledged is deleted
            no_ack=True,  # the reply subject is for the outcome
            discard=api.DiscardPolicy.NEW,
            max_bytes=INTAKE_BYTES_MAX,
            max_age=INTAKE_AGE_S_MAX,
            duplicate_window=0.1,  # the shortest there is: we answer duplicates, it swallows them
        )
        try:
            await felt(self._jetstream.add_stream(config))
        except BadRequestError as error:
            if error.err_code != 10058:  # it exists with another configuration
                raise
            await felt(self._jetstream.update_stream(config))

    async def _declare_consumer(self) -> None:
        config = api.ConsumerConfig(
            durable_name=INTAKE_CONSUMER,
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_S,
            max_ack_pending=1,  # the order of publishing is the order of applying
        )
        await felt(self._jetstream.add_consumer(self._stream, config))

    async def get(self) -> NatsDelivery:
        """See `Intake.get`."""
        while True:
            envelope = await self._pull()
            match envelope.headers.get(api.Header.STATUS):
                case None:
                    return self._delivery(envelope)
                case api.StatusCode.NO_MESSAGES | api.StatusCode.REQUEST_TIMEOUT:
                    continue
                case _:  # no stream, no consumer, no JetStream, or a new connection
                    await self._restore()

    async def _pull(self) -> Envelope:
        """The next thing that the server says of the stream."""
        while True:
            try:
                async with asyncio.timeout(PULL_S + 1):
                    await self._ask()
                    return await self._pulled.get()
            except TimeoutError:
                continue

    async def _ask(self) -> None:
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{INTAKE_CONSUMER}"
        wanted = b'{"batch":1,"expires":%d}' % int(PULL_S * 1e9)
        try:
            await self._client.publish(subject, wanted, reply=self._inbox)
        except nats.errors.Error:
            pass  # not connected: asked again when it is

    async def _restore(self) -> None:
        while True:
            try:
                await self._declare_stream()
                await self._declare_consumer()
            except (nats.errors.Error, TimeoutError) as error:
                log.warning("bus.intake_lost", stream=self._stream, error=str(error))
                await asyncio.sleep(INTAKE_RETRY_S)
            else:
                return

    async def _remember(self, message: Msg) -> None:
        """The same message as JetStream stores, but with who waits; it comes first."""
        if not message.reply:
            return
        now_s = asyncio.get_running_loop().time()
        answer = self._waiting.remember(_envelope(message), now_s)
        if answer is not None:
            try:
                await self._bus.publish(message.reply, answer)
            except Unavailable:
                pass  # the publisher asks once more

    def _delivery(self, pulled: Envelope) -> NatsDelivery:
        envelope = Envelope(pulled.subject, pulled.payload, "", pulled.headers)
        id = _id(pulled.reply)
        return NatsDelivery(self._bus, envelope, id, pulled.reply, self._waiting)

    def reconnected(self) -> None:
        """Look after the stream at once: the server may have lost it, and has lost our request."""
        status = {api.Header.STATUS.value: api.StatusCode.CONFLICT.value}
        self._pulled.put(Envelope(self._inbox, b"", headers=status))

    def end(self) -> None:
        """Tell a waiting reader that nothing will come."""
        self._pulled.end()

    async def close(self) -> None:
        """See `Intake.close`."""
        self._bus.forget(self)
        await self._pulled.close()
        await _unsubscribe(self._published)


class NatsBus:
    """A connection to NATS; see `Bus`. Made by `connect`."""

    def __init__(self, client: Client, name: str, on_reconnect: Callable[[], None] | None) -> None:
        self._client = client
        self._name = name
        self._on_reconnect = on_reconnect
        self._readers: dict[NatsSubscription | NatsIntake, None] = {}
        self._is_trouble_said = False
        self._is_closing = False

    @classmethod
    async def connect(
        cls,
        url: str | Sequence[str],
        *,
        name: str,
        timeout_s: float | None = None,
        tls: ssl.SSLContext | None = None,
        on_reconnect: Callable[[], None] | None = None,
    ) -> "NatsBus":
        """Connect, trying until a server answers: daemons start in any order.

        Args:
            url: ``nats://[user:password@]host:4222``, or several of a cluster.
            name: Who we are, as the server's monitoring shows it.
            timeout_s: How long to try; forever when not given.
            tls: For servers that want it.
            on_reconnect: Rung when the connection is back: whole states should be sent anew.

        Raises:
            Unavailable: No server answered in time.
        """
        client = Client()
        bus = cls(client, name, on_reconnect)
        try:
            async with asyncio.timeout(timeout_s):
                await client.connect(
                    [url] if isinstance(url, str) else list(url),
                    name=name,
                    tls=tls,
                    connect_timeout=CONNECT_TIMEOUT_S,
                    reconnect_time_wait=random.uniform(*RECONNECT_WAIT_S),  # type: ignore[arg-type]  # noqa: S311
                    max_reconnect_attempts=-1,
                    ping_interval=PING_INTERVAL_S,
                    max_outstanding_pings=2,
                    flush_timeout=FLUSH_TIMEOUT_S,
                    error_cb=bus._on_error,
                    disconnected_cb=bus._on_disconnected,
                    reconnected_cb=bus._on_reconnected,
                    closed_cb=bus._on_closed,
                )
        except TimeoutError as error:
            await bus.close()
            raise Unavailable(f"no NATS server answered at {url} in {timeout_s} s") from error
        log.info("bus.connected", name=name)
        bus._is_trouble_said = False
        return bus

    async def _on_error(self, error: Exception) -> None:
        """Says the first of a row of troubles; the client reports every attempt to reconnect."""
        if not self._is_trouble_said and not self._is_closing:
            self._is_trouble_said = True
            log.warning("bus.trouble", name=self._name, error=str(error) or type(error).__name__)

    async def _on_disconnected(self) -> None:
        if not self._is_closing:
            log.warning("bus.disconnected", name=self._name)

    async def _on_reconnected(self) -> None:
        self._is_trouble_said = False
        log.info("bus.reconnected", name=self._name)
        for reader in self._readers:
            reader.reconnected()
        if self._on_reconnect is not None:
            self._on_reconnect()

    async def _on_closed(self) -> None:
        """The end, asked for or because the server refuses us: nobody may wait for messages."""
        if not self._is_closing:
            log.error("bus.refused", name=self._name, error=str(self._client.last_error or ""))
        for reader in self._readers:
            reader.end()

    @property
    def connected(self) -> bool:
        """Whether messages go out and come in."""
        return self._client.is_connected

    async def publish(
        self, subject: str, payload: bytes, *, headers: Mapping[str, str] | None = None
    ) -> None:
        """See `Bus.publish`. Without a connection 2 MiB are kept until it is back."""
        try:
            await self._client.publish(subject, payload, headers=dict(headers) if headers else None)
        except (nats.errors.Error, OSError) as error:
            raise Unavailable(f"not published to {subject}: {error}") from error

    async def subscribe(self, subject: str, *, limit: int = 65_536) -> NatsSubscription:
        """See `Bus.subscribe`; survives reconnections."""
        subscription = NatsSubscription(self, self._client, subject, limit)
        await self._open(subscription)
        return subscription

    async def request(
        self,
        subject: str,
        payload: bytes,
        *,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """See `Bus.request`. Without a connection it fails: a late question asks for nobody."""
        if not self.connected:
            raise Unavailable(f"not connected: {subject} was not asked")
        try:
            async with asyncio.timeout(timeout_s):
                # Our timeout rather than the client's: its wait_for can swallow a cancellation.
                answer = await self._client.request(
                    subject,
                    payload,
                    timeout=None,  # type: ignore[arg-type]
                    headers=dict(headers) if headers else None,
                )
        except TimeoutError as error:
            raise Unavailable(f"no answer from {subject} in {timeout_s} s") from error
        except (nats.errors.Error, OSError) as error:
            raise Unavailable(f"nobody listens to {subject}: {error}") from error
        return answer.data

    async def intake(self, stream: str, subject: str) -> NatsIntake:
        """See `Bus.intake`."""
        intake = NatsIntake(self, self._client, stream, subject)
        await self._open(intake)
        return intake

    async def lag(self, stream: str, consumer: str, *, timeout_s: float) -> lag.Lag:
        """See `Bus.lag`."""
        answer = await self.request(lag.info_subject(stream, consumer), b"", timeout_s=timeout_s)
        return lag.read(answer, stream, consumer)

    async def _open(self, reader: NatsSubscription | NatsIntake) -> None:
        try:
            await reader.open()
        except (nats.errors.Error, OSError) as error:
            raise Unavailable(f"cannot subscribe: {error}") from error
        self._readers[reader] = None

    def forget(self, reader: NatsSubscription | NatsIntake) -> None:
        """It was closed: it needs no word of the connection any more."""
        self._readers.pop(reader, None)

    async def close(self) -> None:
        """See `Bus.close`."""
        self._is_closing = True
        try:
            async with asyncio.timeout(FLUSH_TIMEOUT_S):
                if self._client.is_connected:
                    await felt(self._client.flush(timeout=1))
                await self._client.close()
        except (nats.errors.Error, OSError, TimeoutError):
            pass  # the server has gone first


async def _unsubscribe(subscription: Any) -> None:
    try:
        await subscription.unsubscribe()
    except (nats.errors.Error, OSError):
        pass  # no connection, no subscription


def _envelope(message: Msg) -> Envelope:
    return Envelope(message.subject, message.data, message.reply, message.headers or {})


def _id(ack_subject: str) -> str:
    """Sequence and time of storing: a stream made again counts from 1, but later.

    The subject is ``$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<delivery>.<ns>.…``,
    with ``<domain>.<account>`` before the stream on newer servers.
    """
    tokens = ack_subject.split(".")
    at = 5 if len(tokens) == 9 else 7
    return f"{tokens[at]}-{tokens[at + 2]}"
