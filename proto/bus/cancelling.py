"""A cancellation is felt, whatever the client does with it."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def felt(work: Awaitable[T]) -> T:
    """What the work returns, unless it was cancelled meanwhile and did not notice.

    nats-py waits with ``asyncio.wait_for``, which on Python 3.11 loses a cancellation that comes
    with the answer (cpython issue 86296). A daemon told to stop would then wait for ever.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  a coroutine always runs in one
    before = task.cancelling()
    found = await work
    if task.cancelling() > before:
        raise asyncio.CancelledError
    return found
