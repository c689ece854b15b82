"""What every bus does: one suite for the one in memory and for NATS."""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from proto.bus import (
    INTAKE_CONSUMER,
    MESSAGE_ID_HEADER,
    PAYLOAD_BYTES_MAX,
    Bus,
    Delivery,
    Envelope,
    Intake,
    Subscription,
)
from proto.bus.lag import Lag
from proto.bus.memory import ACK_WAIT_S, MemoryBus, Network
from proto.bus.nats import PULL_S, NatsBus
from proto.errors import NotFound, Unavailable
from tests import servers

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE_S = 20.0

Connect = Callable[[str], Awaitable[Bus]]


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=["memory", pytest.param("nats", marks=pytest.mark.integration)],
)
async def server(request: pytest.FixtureRequest) -> AsyncIterator[servers.Server | None]:
    """One nats-server for all tests; None for the bus in memory."""
    if request.param == "memory":
        yield None
        return
    async with servers.nats() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def connect(server: servers.Server | None) -> AsyncIterator[Connect]:
    """Connects a client by name; closes them all."""
    network = Network()
    made: list[Bus] = []

    async def connect(client: str) -> Bus:
        bus: Bus
        if server is None:
            bus = MemoryBus(network, client)
        else:
            bus = await NatsBus.connect(server.url, name=client, timeout_s=PATIENCE_S)
        made.append(bus)
        return bus

    yield connect
    for bus in made:
        await bus.close()


@pytest_asyncio.fixture(loop_scope="module")
async def bus(connect: Connect) -> Bus:
    return await connect("one")


async def take(reader: Subscription, count: int) -> list[Envelope]:
    async with asyncio.timeout(PATIENCE_S):
        return [await reader.get() for _ in range(count)]


async def deliver(intake: Intake) -> Delivery:
    async with asyncio.timeout(PATIENCE_S):
        return await intake.get()


@asynccontextmanager
async def answering(bus: Bus, subject: str, answer: bytes) -> AsyncIterator[None]:
    """Somebody who answers every request on a subject."""
    asked = await bus.subscribe(subject)

    async def answer_all() -> None:
        while True:
            request = await asked.get()
            await bus.publish(request.reply, answer + request.payload)

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(answer_all())
        yield
        task.cancel()
    await asked.close()


# Publish and subscribe


async def test_a_message_arrives_with_its_headers_at_every_subscriber(connect: Connect):
    one, two = await connect("one"), await connect("two")
    readers = [await one.subscribe("news"), await two.subscribe("news")]
    await one.publish("news", b"text", headers={"Nats-Msg-Id": "7"})
    for reader in readers:
        (found,) = await take(reader, 1)
        assert found == Envelope("news", b"text", "", {"Nats-Msg-Id": "7"})


async def test_whoever_has_subscribed_hears_what_another_client_says_next(connect: Connect):
    one, two = await connect("one"), await connect("two")
    for number in range(200):
        reader = await two.subscribe(f"round.{number}")
        await one.publish(f"round.{number}", b"")
        await take(reader, 1)


@pytest.mark.parametrize(
    ("pattern", "heard"),
    [
        ("n.a.report", ["n.a.report"]),
        ("n.*.report", ["n.a.report", "n.b.report"]),
        ("n.>", ["n.a.report", "n.a.beat", "n.b.report"]),
        ("n.a.*", ["n.a.report", "n.a.beat"]),
        ("n.*", []),
    ],
)
async def test_a_pattern_hears_its_own_subjects_in_order(bus: Bus, pattern: str, heard: list[str]):
    reader = await bus.subscribe(pattern)
    end = await bus.subscribe("end")
    for subject in ("n.a.report", "n.a.beat", "m.a.report", "n", "n.b.report"):
        await bus.publish(subject, b"")
    await bus.publish("end", b"")
    await take(end, 1)
    await reader.close()
    assert [envelope.subject for envelope in await until_closed(reader)] == heard


async def until_closed(reader: Subscription) -> list[Envelope]:
    found = []
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found.append(await reader.get())
    except Unavailable:
        return found


async def test_messages_of_one_sender_keep_their_order(bus: Bus):
    reader = await bus.subscribe("count")
    for number in range(1000):
        await bus.publish("count", b"%d" % number)
    assert [int(found.payload) for found in await take(reader, 1000)] == list(range(1000))


async def test_a_slow_reader_loses_the_newest_and_can_tell_how_many(bus: Bus):
    slow, end = await bus.subscribe("flood", limit=10), await bus.subscribe("end")
    for number in range(50):
        await bus.publish("flood", b"%d" % number)
    await bus.publish("end", b"")
    await take(end, 1)
    assert [int(found.payload) for found in await take(slow, 10)] == list(range(10))
    assert slow.dropped == 40
    await bus.publish("flood", b"again")
    assert (await take(slow, 1))[0].payload == b"again"


async def test_a_closed_subscription_hears_nothing_and_wakes_its_reader(bus: Bus):
    reader, end = await bus.subscribe("news"), await bus.subscribe("end")

    async def read() -> None:
        with pytest.raises(Unavailable):
            await reader.get()

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(read())
        await asyncio.sleep(0)  # let it wait
        await reader.close()
    await bus.publish("news", b"")
    await bus.publish("end", b"")
    await take(end, 1)
    assert await until_closed(reader) == []


async def test_a_reader_that_gave_up_loses_no_message(bus: Bus):
    reader = await bus.subscribe("news")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await reader.get()
    await bus.publish("news", b"later")
    assert (await take(reader, 1))[0].payload == b"later"


async def test_a_large_payload_is_carried_and_one_too_large_refused(bus: Bus):
    reader = await bus.subscribe("large")
    await bus.publish("large", bytes(PAYLOAD_BYTES_MAX - 1000))
    assert len((await take(reader, 1))[0].payload) == PAYLOAD_BYTES_MAX - 1000
    with pytest.raises(Unavailable):
        await bus.publish("large", bytes(PAYLOAD_BYTES_MAX + 1))


# Requests


async def test_a_request_gets_its_own_answer(connect: Connect):
    asker, answerer = await connect("asker"), await connect("answerer")
    async with answering(answerer, "ask.*", b"answer to "):
        async with asyncio.TaskGroup() as tasks:
            answers = [
                tasks.create_task(asker.request("ask.me", b"%d" % number, timeout_s=PATIENCE_S))
                for number in range(20)
            ]
        assert [answer.result() for answer in answers] == [
            b"answer to %d" % number for number in range(20)
        ]


async def test_a_request_that_nobody_hears_fails_at_once(bus: Bus):
    started = asyncio.get_running_loop().time()
    with pytest.raises(Unavailable):
        await bus.request("nobody", b"", timeout_s=PATIENCE_S)
    assert asyncio.get_running_loop().time() - started < PATIENCE_S / 2


async def test_a_request_that_nobody_answers_fails_in_time(bus: Bus):
    silent = await bus.subscribe("silent")
    with pytest.raises(Unavailable):
        await bus.request("silent", b"", timeout_s=0.05)
    await silent.close()


# The intake


async def test_the_intake_delivers_in_order_and_each_acknowledged_message_once(bus: Bus):
    intake = await bus.intake("ORDER", "order.*")
    for number in range(20):
        await bus.publish(f"order.{number}", b"%d" % number)
    found = []
    for _ in range(20):
        delivery = await deliver(intake)
        found.append(delivery)
        await delivery.ack()
    assert [one.envelope.subject for one in found] == [f"order.{number}" for number in range(20)]
    assert len({one.id for one in found}) == 20
    await bus.publish("order.last", b"")
    assert (await deliver(intake)).envelope.subject == "order.last"
    await intake.close()


async def test_nothing_is_delivered_while_a_delivery_is_unacknowledged(bus: Bus):
    intake = await bus.intake("ONE", "one.*")
    for name in ("first", "second"):
        await bus.publish(f"one.{name}", b"")
    first = await deliver(intake)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await intake.get()
    await first.ack()
    assert (await deliver(intake)).envelope.subject == "one.second"
    await intake.close()


async def test_headers_and_payload_come_through_the_intake_as_published(bus: Bus):
    intake = await bus.intake("WHOLE", "whole.*")
    await bus.publish("whole.a", b"\x00\xff", headers={"Nats-Msg-Id": "m-1"})
    delivery = await deliver(intake)
    assert delivery.envelope.payload == b"\x00\xff"
    assert delivery.envelope.headers["Nats-Msg-Id"] == "m-1"
    await delivery.ack()
    await intake.close()


async def test_only_what_was_acknowledged_is_gone_after_the_consumer_restarts(connect: Connect):
    publisher, first = await connect("publisher"), await connect("first")
    intake = await first.intake("AGAIN", "again.*")
    for name in ("done", "taken", "waiting"):
        await publisher.publish(f"again.{name}", b"")
    done = await deliver(intake)
    await done.ack()
    taken = await deliver(intake)
    await first.close()  # without an acknowledgement, and without closing the intake

    loop = asyncio.get_running_loop()
    started = loop.time()
    second = await connect("second")
    intake = await second.intake("AGAIN", "again.*")
    again = await deliver(intake)
    assert loop.time() - started < ACK_WAIT_S / 2  # the new consumer need not wait for the old
    assert (again.envelope.subject, again.id) == ("again.taken", taken.id)
    await again.ack()
    assert (await deliver(intake)).envelope.subject == "again.waiting"
    await intake.close()


async def test_messages_published_while_nobody_consumes_are_kept(connect: Connect):
    bus = await connect("one")
    await (await bus.intake("KEPT", "kept.*")).close()
    await bus.publish("kept.a", b"")
    intake = await bus.intake("KEPT", "kept.*")
    assert (await deliver(intake)).envelope.subject == "kept.a"
    await intake.close()


async def test_the_answer_to_a_publisher_is_ours_and_not_the_servers(connect: Connect):
    publisher, consumer = await connect("publisher"), await connect("consumer")
    intake = await consumer.intake("REPLY", "reply.*")

    async def consume() -> None:
        for _ in range(2):
            delivery = await deliver(intake)
            await delivery.answer(b"did " + delivery.envelope.payload)
            await delivery.ack()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(consume())
        for payload in (b"this", b"that"):
            answer = await publisher.request("reply.x", payload, timeout_s=PATIENCE_S)
            assert answer == b"did " + payload
    await intake.close()


async def test_a_message_that_waited_for_a_new_consumer_has_nobody_to_answer(connect: Connect):
    publisher, consumer = await connect("publisher"), await connect("consumer")
    await (await consumer.intake("LATE", "late.*")).close()
    with pytest.raises(Unavailable):
        await publisher.request("late.x", b"", timeout_s=0.2)
    intake = await consumer.intake("LATE", "late.*")
    delivery = await deliver(intake)
    assert delivery.envelope.subject == "late.x"
    await delivery.answer(b"nobody hears this")
    await intake.close()


async def test_everybody_who_publishes_one_message_id_is_answered(connect: Connect):
    publisher, consumer = await connect("publisher"), await connect("consumer")
    intake = await consumer.intake("TWICE", "twice.*")
    headers = {MESSAGE_ID_HEADER: "one event"}

    async def consume() -> None:
        while True:
            delivery = await deliver(intake)
            await delivery.answer(b"done")
            await delivery.ack()

    async with asyncio.TaskGroup() as tasks:
        consuming = tasks.create_task(consume())
        for _ in range(5):  # faster than a real server's window of duplicates
            answer = await publisher.request("twice.x", b"", timeout_s=PATIENCE_S, headers=headers)
            assert answer == b"done"
        consuming.cancel()
    await intake.close()


# The lag of a consumer


async def lag_of(bus: Bus, stream: str) -> Lag:
    return await bus.lag(stream, INTAKE_CONSUMER, timeout_s=PATIENCE_S)


async def test_the_lag_is_what_waits_and_what_is_delivered_but_not_acknowledged(connect: Connect):
    consumer, asker = await connect("consumer"), await connect("asker")
    intake = await consumer.intake("LAG", "lag.*")
    assert await lag_of(asker, "LAG") == Lag(0, 0)
    for _ in range(3):
        await consumer.publish("lag.x", b"")
    first = await deliver(intake)
    while (await lag_of(asker, "LAG")).pending < 2:  # the others may be under way
        await asyncio.sleep(0.01)
    assert await lag_of(asker, "LAG") == Lag(2, 1)
    assert (await lag_of(asker, "LAG")).total == 3
    await first.ack()
    assert await lag_of(asker, "LAG") == Lag(2, 0)
    for _ in range(2):
        await (await deliver(intake)).ack()
    assert await lag_of(asker, "LAG") == Lag(0, 0)
    await intake.close()
    await consumer.publish("lag.x", b"")
    while (await lag_of(asker, "LAG")).pending < 1:  # nobody need consume to be behind
        await asyncio.sleep(0.01)


async def test_only_a_consumer_that_is_there_has_a_lag(bus: Bus):
    intake = await bus.intake("THERE", "there.*")
    for stream, consumer in (
        ("NOWHERE", INTAKE_CONSUMER),
        ("THERE", "nobody"),
        ("THERE.longshore", "x"),
        ("*", INTAKE_CONSUMER),
        ("THERE", ""),
    ):
        with pytest.raises(NotFound, match="has no consumer"):
            await bus.lag(stream, consumer, timeout_s=PATIENCE_S)
    await intake.close()


# Failures that only a real server has; the memory bus's are in tests/unit/test_memory_bus.py


class Bell:
    """Rung by the connection."""

    def __init__(self) -> None:
        self.rung = asyncio.Event()

    def __call__(self) -> None:
        self.rung.set()

    async def wait(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.rung.wait()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.integration
@pytest.mark.parametrize("end", [servers.Server.kill, servers.Server.stop])
async def test_subscriptions_survive_a_restart_of_the_server_and_the_bell_is_rung(
    end: Callable[[servers.Server], Awaitable[None]],
):
    bell = Bell()
    async with servers.nats() as server:
        bus = await NatsBus.connect(server.url, name="a", timeout_s=5, on_reconnect=bell)
        reader = await bus.subscribe("news.*")
        await end(server)
        await until(lambda: not bus.connected)
        with pytest.raises(Unavailable):
            await bus.request("news.a", b"", timeout_s=0.1)
        await server.start()
        await bell.wait()
        assert bus.connected
        await bus.publish("news.a", b"again")
        assert [found.payload for found in await take(reader, 1)] == [b"again"]
        await bus.close()


@pytest.mark.integration
async def test_what_is_published_without_a_connection_is_kept_within_bounds():
    bell = Bell()
    async with servers.nats() as server:
        bus = await NatsBus.connect(server.url, name="a", timeout_s=5, on_reconnect=bell)
        reader = await bus.subscribe("kept")
        await server.kill()
        await until(lambda: not bus.connected)
        with pytest.raises(Unavailable):
            for _ in range(100):
                await bus.publish("kept", bytes(100_000))
        await server.start()
        await bell.wait()
        assert len((await take(reader, 1))[0].payload) == 100_000
        await bus.close()


@pytest.mark.integration
async def test_a_frozen_server_is_noticed_and_its_return_too():
    bell = Bell()
    async with servers.nats() as server:
        bus = await NatsBus.connect(server.url, name="a", timeout_s=5, on_reconnect=bell)
        server.signal(signal.SIGSTOP)
        await until(lambda: not bus.connected)
        server.signal(signal.SIGCONT)
        await bell.wait()
        await bus.close()


@pytest.mark.integration
async def test_connecting_waits_for_a_server_that_starts_later():
    async with servers.nats() as server:
        await server.kill()
        async with asyncio.TaskGroup() as tasks:
            connecting = tasks.create_task(
                NatsBus.connect(server.url, name="early", timeout_s=PATIENCE_S)
            )
            await asyncio.sleep(0.5)  # some attempts are refused
            assert not connecting.done()
            await server.start()
        assert connecting.result().connected
        await connecting.result().close()


@pytest.mark.integration
async def test_connecting_to_nobody_gives_up_in_time():
    with pytest.raises(Unavailable):
        await NatsBus.connect(
            f"nats://127.0.0.1:{servers.free_port()}", name="lonely", timeout_s=0.5
        )


@pytest.mark.integration
async def test_an_intake_outlives_the_loss_of_its_stream_and_ids_never_repeat():
    bell = Bell()
    async with servers.nats() as server:
        bus = await NatsBus.connect(server.url, name="a", timeout_s=5, on_reconnect=bell)
        intake = await bus.intake("LOST", "lost.*")
        await bus.publish("lost.a", b"")
        before = await deliver(intake)
        await before.ack()
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(deliver(intake))
            await server.kill()
            shutil.rmtree(server.directory / "jetstream")
            await server.start()
            await bell.wait()
            started = asyncio.get_running_loop().time()
            while not waiting.done():  # until the stream is back, what is published is lost
                await bus.publish("lost.b", b"")
                await asyncio.sleep(0.05)
            assert asyncio.get_running_loop().time() - started < PULL_S / 2
        after = waiting.result()
        assert after.envelope.subject == "lost.b"
        assert after.id != before.id
        await bus.close()


@pytest.mark.integration
async def test_an_acknowledgement_that_did_not_arrive_is_reported():
    async with servers.nats() as server:
        bus = await NatsBus.connect(server.url, name="a", timeout_s=5)
        intake = await bus.intake("ACK", "ack.*")
        await bus.publish("ack.a", b"")
        delivery = await deliver(intake)
        await server.kill()
        shutil.rmtree(server.directory / "jetstream")
        await server.start()
        with pytest.raises(Unavailable):
            await delivery.ack()
        await bus.close()


@pytest.mark.integration
async def test_without_jetstream_there_is_no_intake():
    async with servers.nats(has_jetstream=False) as server:
        bus = await NatsBus.connect(server.url, name="a", timeout_s=5)
        with pytest.raises(Unavailable):
            await bus.intake("NONE", "none.*")
        with pytest.raises(Unavailable):
            await bus.lag("NONE", INTAKE_CONSUMER, timeout_s=PATIENCE_S)
        await bus.close()
