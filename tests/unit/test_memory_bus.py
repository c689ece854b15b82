"""The faults that the bus in memory plays on request."""

import asyncio
from collections.abc import Sequence

import pytest

from proto.bus import Envelope, Subscription
from proto.bus.memory import ACK_WAIT_S, MemoryBus, Network
from proto.errors import Unavailable
from tests import virtual_time


async def heard(reader: Subscription, for_s: float = 60) -> list[bytes]:
    """All payloads that come in that time."""
    found: list[Envelope] = []
    try:
        async with asyncio.timeout(for_s):
            while True:
                found.append(await reader.get())
    except TimeoutError:
        return [envelope.payload for envelope in found]


def test_a_message_can_be_lost_doubled_and_overtaken():
    delays = {"lost": [], "twice": [1.0, 2.0], "late": [5.0], "fine": [0.0]}

    async def main() -> None:
        network = Network(lambda _sender, _receiver, subject: delays[subject])
        reader = await MemoryBus(network, "reader").subscribe("*")
        sender = MemoryBus(network, "sender")
        for subject in delays:
            await sender.publish(subject, subject.encode())
        assert await heard(reader) == [b"fine", b"twice", b"twice", b"late"]

    virtual_time.run(main())


def test_faults_tell_the_clients_apart_so_that_a_cut_can_be_one_sided():
    def deaf(sender: str, receiver: str, _subject: str) -> Sequence[float]:
        return [] if (sender, receiver) == ("master", "node") else [0.0]

    async def main() -> None:
        network = Network(deaf)
        master, node = MemoryBus(network, "master"), MemoryBus(network, "node")
        orders, beats = await node.subscribe("order"), await master.subscribe("beat")
        await master.publish("order", b"")
        await node.publish("beat", b"tock")
        assert await heard(orders) == []
        assert await heard(beats) == [b"tock"]

    virtual_time.run(main())


def test_a_cut_client_knows_it_and_its_bell_rings_when_it_is_back():
    rung: list[float] = []

    async def main() -> None:
        network = Network()
        other = MemoryBus(network, "other")
        bus = MemoryBus(network, "one", on_reconnect=lambda: rung.append(1))
        reader = await bus.subscribe("news")
        network.cut("one")
        assert not bus.connected
        with pytest.raises(Unavailable):
            await bus.publish("news", b"")
        with pytest.raises(Unavailable):
            await bus.request("news", b"", timeout_s=1)
        await other.publish("news", b"missed")
        network.heal("one")
        assert bus.connected
        assert len(rung) == 1
        await other.publish("news", b"heard")
        assert await heard(reader) == [b"heard"]

    virtual_time.run(main())


def test_a_crashed_client_hears_nothing_more_and_its_successor_does():
    async def main() -> None:
        network = Network()
        before = await MemoryBus(network, "node").subscribe("order")
        network.forget("node")
        after = await MemoryBus(network, "node").subscribe("order")
        await MemoryBus(network, "master").publish("order", b"new")
        assert await heard(before) == []
        assert await heard(after) == [b"new"]

    virtual_time.run(main())


def test_an_unacknowledged_delivery_comes_again_with_the_same_id_and_blocks_the_next():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        bus = MemoryBus(Network(), "one")
        intake = await bus.intake("DEPLOY", "deploy.*")
        await bus.publish("deploy.a", b"1")
        await bus.publish("deploy.a", b"2")
        first = await intake.get()
        again = await intake.get()
        assert again.id == first.id
        assert again.envelope == first.envelope
        assert loop.time() >= ACK_WAIT_S
        await again.ack()
        assert (await intake.get()).envelope.payload == b"2"

    virtual_time.run(main())


def test_an_intake_waits_while_its_client_is_cut_and_cannot_acknowledge():
    async def main() -> None:
        network = Network()
        bus = MemoryBus(network, "one")
        intake = await bus.intake("DEPLOY", "deploy.*")
        other = MemoryBus(network, "other")
        await other.publish("deploy.a", b"1")
        delivery = await intake.get()
        network.cut("one")
        with pytest.raises(Unavailable):
            await delivery.ack()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3 * ACK_WAIT_S):
                await intake.get()
        network.heal("one")
        assert (await intake.get()).id == delivery.id

    virtual_time.run(main())


def test_a_wiped_server_has_new_streams_whose_ids_never_repeat():
    async def main() -> None:
        network = Network()
        bus = MemoryBus(network, "one")
        intake = await bus.intake("DEPLOY", "deploy.*")
        await bus.publish("deploy.a", b"lost")
        before = await intake.get()
        network.wipe()
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(intake.get())
            await asyncio.sleep(1)
            await bus.publish("deploy.a", b"kept")
        assert waiting.result().envelope.payload == b"kept"
        assert waiting.result().id != before.id

    virtual_time.run(main())


def test_without_jetstream_there_is_no_intake():
    async def main() -> None:
        with pytest.raises(Unavailable):
            await MemoryBus(Network(has_jetstream=False), "one").intake("DEPLOY", "deploy.*")

    virtual_time.run(main())
