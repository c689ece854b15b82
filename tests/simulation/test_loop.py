"""The virtual loop keeps what the simulation relies on."""

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from tests.simulation.loop import Killed, Process, SimLoop, Traps, Violation


def play(script: Callable[[SimLoop], Coroutine[Any, Any, None]], **options: Any) -> SimLoop:
    loop = SimLoop(**options)
    try:
        loop.run_until_complete(loop.create_task(script(loop)))
    finally:
        loop.close()
    return loop


def test_an_hour_passes_at_once():
    async def script(loop: SimLoop) -> None:
        await asyncio.sleep(3600)
        assert loop.time() == 3600

    began = time.monotonic()
    play(script)
    assert time.monotonic() - began < 5


def test_a_killed_process_runs_no_finally_and_its_timers_never_ring():
    said: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(1)
            said.append("woke")
        finally:
            said.append("cleaned up")

    async def script(loop: SimLoop) -> None:
        process = Process(loop, "p")
        process.spawn(work())
        await asyncio.sleep(0.5)
        process.kill()
        await asyncio.sleep(5)
        assert said == []

    play(script)


def test_whoever_asks_a_process_learns_that_it_was_killed():
    async def script(loop: SimLoop) -> None:
        process = Process(loop, "p")
        loop.call_later(1, process.kill)
        with pytest.raises(Killed):
            await process.call(asyncio.sleep(10))
        assert loop.time() == 1

    play(script)


def test_a_paused_process_finds_its_time_gone_when_it_is_resumed():
    woke: list[float] = []

    async def script(loop: SimLoop) -> None:
        async def work() -> None:
            await asyncio.sleep(1)
            woke.append(loop.time())

        process = Process(loop, "p")
        process.spawn(work())
        await asyncio.sleep(0.5)
        process.pause()
        await asyncio.sleep(9.5)
        assert woke == []
        process.resume()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert woke == [10.0]

    play(script)


def test_a_shuffled_order_is_another_one_and_the_same_for_the_same_seed():
    def order(seed: int, is_shuffled: bool) -> list[int]:
        done: list[int] = []

        async def script(loop: SimLoop) -> None:
            for number in range(20):
                loop.call_soon(done.append, number)
            await asyncio.sleep(1)

        play(script, seed=seed, is_shuffled=is_shuffled)
        return done

    assert order(1, is_shuffled=False) == list(range(20))
    assert order(1, is_shuffled=True) == order(1, is_shuffled=True)
    assert order(1, is_shuffled=True) != order(2, is_shuffled=True)


def test_waiting_for_what_can_never_happen_is_a_deadlock():
    async def script(loop: SimLoop) -> None:
        await loop.create_future()

    with pytest.raises(Violation, match="deadlock"):
        play(script)


def test_spinning_without_time_passing_is_a_livelock():
    async def script(_: SimLoop) -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Violation, match="livelock"):
        play(script)


async def _a_thread(_: SimLoop) -> None:
    await asyncio.to_thread(int)


async def _a_connection(_: SimLoop) -> None:
    await asyncio.open_connection("127.0.0.1", 1)


@pytest.mark.parametrize("work", [_a_thread, _a_connection])
def test_threads_and_sockets_are_refused(work: Callable[[SimLoop], Awaitable[None]]):
    async def script(loop: SimLoop) -> None:
        await work(loop)

    with pytest.raises(Violation, match="real input"):
        play(script)


@pytest.mark.parametrize("leak", [time.time, time.monotonic, uuid.uuid4, random.random])
def test_the_interpreters_own_clock_and_chance_are_refused(leak: Callable[[], object]):
    name = leak.__name__
    module = {"time": time, "monotonic": time, "uuid4": uuid, "random": random}[name]

    with Traps(), pytest.raises(Violation, match=name):
        getattr(module, name)()
