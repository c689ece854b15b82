"""One watcher's queue of changes."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from orchestrator.world.entry import Change
from proto.errors import Compacted
from proto.kinds.kind import Kind

FEED_LIMIT = 10_000
"""Changes waiting for one watcher: about a transaction's worth a millisecond for 80 ms. A slower
watcher is cut off and lists again, rather than growing the control plane's memory.
"""


class Over(Exception):
    """There is nothing more to follow: the kind is not what it was, or is no more."""


class Feed:
    """Changes of one kind, in order. Close it when done."""

    def __init__(
        self, kind: Kind[Any], missed: Sequence[Change], forget: Callable[["Feed"], None]
    ) -> None:
        self._kind = kind
        self._waiting = deque(missed)
        self._forget = forget
        self._filled = asyncio.Event()
        self._is_cut_off = False
        self._is_over = False
        if missed:
            self._filled.set()

    def push(self, changes: Sequence[Change]) -> None:
        """Take over what concerns this kind."""
        mine = [change for change in changes if change.kind is self._kind]
        if not mine:
            return
        if len(self._waiting) + len(mine) > FEED_LIMIT:
            self.cut_off()
        else:
            self._waiting.extend(mine)
            self._filled.set()

    def cut_off(self) -> None:
        """What comes next cannot be told: the watcher has to list again."""
        self._is_cut_off = True
        self._waiting.clear()
        self._forget(self)
        self._filled.set()

    @property
    def kind(self) -> Kind[Any]:
        """Whose changes these are."""
        return self._kind

    def end(self) -> None:
        """Let the watcher take what waits, and leave."""
        self._is_over = True
        self._forget(self)
        self._filled.set()

    async def batch(self) -> list[Change]:
        """Every change waiting; waits for the first.

        Raises:
            Compacted: The watcher was too slow and missed some: list again.
            Over: The last one was taken before.
        """
        await self._filled.wait()
        if self._is_cut_off:
            raise Compacted("this watch missed changes: list again")
        if self._is_over and not self._waiting:
            raise Over
        found = list(self._waiting)
        self._waiting.clear()
        if not self._is_over:
            self._filled.clear()
        return found

    @property
    def is_behind(self) -> bool:
        """Whether changes are waiting, or were lost."""
        return self._filled.is_set()

    def close(self) -> None:
        """No more changes."""
        self._forget(self)
