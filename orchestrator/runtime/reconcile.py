"""The loop every controller runs in: a bell rings for a key, the present is planned, the plan done.

A bell carries a key and nothing else; however often it rings, one pass follows. Passes of one key
never overlap, passes of different keys do. Start-up is ringing every key once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

import structlog

from orchestrator.core.decisions import Decision, Plan

log = structlog.get_logger()

K = TypeVar("K", bound=tuple[str, ...])

Perform = Callable[[Iterable[Decision]], Awaitable[int]]
"""Carries out decisions; returns how many failed."""

WORKERS = 16
"""Passes under way at once: enough to fill the writer's transactions while they wait for theirs."""

RETRY_S = 0.05
"""Before a key whose pass failed is tried again; doubles up to `RETRY_MAX_S`."""

RETRY_MAX_S = 5.0


class Reconciler(Generic[K]):
    """Plans and performs, key by key.

    Args:
        name: For the log.
        plan: The present state of a key to what should be done; pure but for reading the world.
        perform: Does it; returns how many decisions failed.
        clock: Epoch milliseconds.
    """

    def __init__(
        self,
        name: str,
        plan: Callable[[K, int], Plan],
        perform: Perform,
        clock: Callable[[], int],
    ) -> None:
        self._name = name
        self._plan = plan
        self._perform = perform
        self._clock = clock
        self._due: asyncio.Queue[K] = asyncio.Queue()  # wakes one worker a key, not all of them
        self._queued: set[K] = set()
        self._busy: set[K] = set()
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}

    def ring(self, key: K) -> None:
        """Look at this key soon."""
        if key in self._busy:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._due.put_nowait(key)

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(WORKERS):
                    workers.create_task(self._work())
        finally:
            for timer in self._timers.values():
                timer.cancel()
            self._timers.clear()
            self._failures.clear()

    async def _work(self) -> None:
        while True:
            key = await self._due.get()
            self._queued.discard(key)
            self._busy.add(key)
            try:
                await self._pass_once(key)
            finally:
                self._busy.discard(key)
                if key in self._again:
                    self._again.discard(key)
                    self.ring(key)

    async def _pass_once(self, key: K) -> None:
        self._sleep(key, None)
        try:
            plan = self._plan(key, self._clock())
            failed = await self._perform(plan.decisions)
        except Exception:
            # One poisonous object must not stop the others: it is set aside, loudly, and retried.
            log.exception("pass.failed", controller=self._name, key=key)
            self._retry(key)
            return
        if failed:
            self._retry(key)
            return
        self._failures.pop(key, None)
        if plan.wake_at_ms is not None:
            self._sleep(key, max(0.001, (plan.wake_at_ms - self._clock()) / 1000))

    def _retry(self, key: K) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        self._sleep(key, min(RETRY_MAX_S, RETRY_S * 2 ** min(failures - 1, 10)))

    def _sleep(self, key: K, delay_s: float | None) -> None:
        """Ring this key after a delay; None forgets an earlier alarm."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        if delay_s is not None:
            loop = asyncio.get_running_loop()
            self._timers[key] = loop.call_later(delay_s, self._alarm, key)

    def _alarm(self, key: K) -> None:
        self._timers.pop(key, None)
        self.ring(key)
