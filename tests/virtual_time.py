"""Virtual time: a loop that jumps to its next timer instead of sleeping."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class DeadlockError(AssertionError):
    """Every task waits and no timer is set: nothing can ever happen again."""


class _JumpingSelector(selectors.SelectSelector):
    """Looks at real files at once; spends a timeout by moving the clock, in whole microseconds."""

    now_us = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise DeadlockError
        if timeout > 0:
            self.now_us += max(1, round(timeout * 1_000_000))
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its clock starts at zero, and moves only when every task waits."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_us / 1_000_000


def run(main: Coroutine[Any, Any, T]) -> T:
    """What the coroutine returns, on virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
