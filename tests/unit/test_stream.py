"""A stream over a bus that loses, doubles and delays, on virtual time."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from proto.bus.memory import MemoryBus, Network
from proto.bus.stream import KEEP_ALIVE_S, SILENCE_S, Stream, open_end
from proto.errors import Unavailable
from proto.frames import WINDOW_BYTES, Channel
from tests import virtual_time


@asynccontextmanager
async def both_ends(network: Network) -> AsyncIterator[tuple[Stream, Stream]]:
    async with (
        open_end(MemoryBus(network, "reader"), hears="there", speaks="back") as reader,
        open_end(MemoryBus(network, "writer"), hears="back", speaks="there") as writer,
    ):
        yield reader, writer


async def read_all(stream: Stream) -> bytes:
    found = b""
    while (frame := await stream.receive()) is not None:
        found += frame.data
    return found


def test_bytes_arrive_whole_and_in_order_and_then_the_end():
    content = bytes(range(256)) * 5000

    async def main() -> None:
        async with open_end(bus := MemoryBus(Network(), "x"), hears="a", speaks="b") as reader:

            async def write() -> None:
                async with open_end(bus, hears="b", speaks="a") as writer:
                    await writer.send(Channel.STDOUT, content)

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(write())
                assert await read_all(reader) == content

    virtual_time.run(main())


def test_a_reader_that_takes_nothing_holds_the_sender_up_for_any_time():
    async def main() -> None:
        async with both_ends(Network()) as (reader, writer), asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(writer.send(Channel.STDOUT, bytes(WINDOW_BYTES * 2)))
            await asyncio.sleep(3600)
            assert not sending.done()
            assert sum(frame.cost for frame in reader._inbox) <= WINDOW_BYTES
            taken = 0
            while taken < WINDOW_BYTES * 2:
                taken += len((await reader.receive()).data)
            await sending

    virtual_time.run(main())


def test_a_lost_message_breaks_the_stream_instead_of_leaving_a_hole():
    sent = 0

    def lose_the_third(sender: str, _receiver: str, _subject: str) -> Sequence[float]:
        nonlocal sent
        sent += sender == "writer"
        return [] if sender == "writer" and sent == 4 else [0.0]

    async def main() -> None:
        async with both_ends(Network(lose_the_third)) as (reader, writer):
            await asyncio.sleep(0.1)  # both have been heard once
            for number in range(5):
                await writer.send(Channel.STDOUT, bytes((number,)))
            seen = b""
            with pytest.raises(Unavailable, match="lost"):
                while True:
                    seen += (await reader.receive()).data
            assert seen == b"\x00\x01"

    virtual_time.run(main())


def test_messages_that_come_twice_are_read_once():
    async def main() -> None:
        network = Network(lambda *_: (0.0, 0.5))
        async with both_ends(network) as (reader, writer):
            for number in range(3):
                await writer.send(Channel.STDOUT, bytes((number,)))
                await asyncio.sleep(1)
            found = [(await reader.receive()).data for _ in range(3)]
            assert found == [b"\x00", b"\x01", b"\x02"]

    virtual_time.run(main())


def test_an_end_that_vanishes_without_a_word_is_missed():
    async def main() -> None:
        network = Network()
        loop = asyncio.get_running_loop()
        async with both_ends(network) as (_, writer):
            await asyncio.sleep(60)
            network.cut("reader")
            before = loop.time()
            await writer.wait_closed()
            assert SILENCE_S - KEEP_ALIVE_S <= loop.time() - before <= SILENCE_S
            with pytest.raises(Unavailable):
                await writer.send(Channel.STDOUT, b"x")

    virtual_time.run(main())


def test_a_close_is_told_at_once_also_to_an_end_that_waits_to_send():
    async def main() -> None:
        network = Network()
        async with open_end(MemoryBus(network, "w"), hears="back", speaks="there") as writer:
            async with open_end(MemoryBus(network, "r"), hears="there", speaks="back"):
                pass
            with pytest.raises(Unavailable, match="closed"):
                await writer.send(Channel.STDOUT, bytes(WINDOW_BYTES * 2))

    virtual_time.run(main())


def test_what_fails_inside_is_raised_as_it_is():
    async def main() -> None:
        with pytest.raises(KeyError):
            async with open_end(MemoryBus(Network(), "x"), hears="a", speaks="b"):
                raise KeyError("x")

    virtual_time.run(main())
