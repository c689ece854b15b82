"""A cancellation that a library lost is felt all the same."""

import asyncio

import pytest

from proto.bus.cancelling import felt
from tests.virtual_time import run


async def deaf(answer: asyncio.Future[str]) -> str:
    """As ``asyncio.wait_for`` of Python 3.11, when the answer is there as the cancellation comes."""
    try:
        return await answer
    except asyncio.CancelledError:
        return "answered"


def test_a_cancellation_that_was_lost_is_felt():
    async def body() -> None:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        task = asyncio.get_running_loop().create_task(felt(deaf(answer)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(body())


def test_within_a_deadline_it_is_the_deadlines():
    async def body() -> None:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await felt(deaf(answer))

    run(body())


def test_an_answer_is_an_answer():
    async def body() -> None:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        answer.set_result("here")
        assert await felt(deaf(answer)) == "here"

    run(body())
