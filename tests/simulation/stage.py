"""A cluster on its stage: played on virtual time, watched by the invariants, brought to rest."""

import asyncio
import contextlib
import random
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, MutableMapping
from typing import Any

import structlog

from orchestrator.store import keys
from tests.simulation.cluster import Cluster, Shape
from tests.simulation.environment import ENVIRONMENT_TYPES
from tests.simulation.invariants import Invariants
from tests.simulation.loop import ENVIRONMENT, SimLoop, Traps, Violation, process_name
from tests.simulation.workload import Workload

SETTLE_S = 120.0
"""After the last fault: back-offs of up to a minute, redeliveries, and then some."""

QUIET_S = 6.0
"""At rest for so long, nothing may be written any more. Longer than a message can be late."""


class Stage:
    """See the module.

    Args:
        seed: All chance derives from it.
        shape: Of the cluster.
        is_shuffled: Ready callbacks run in any order.
        is_silence_fatal: See `Invariants`.
        is_traced: Keep a checksum over every callback.
    """

    def __init__(
        self,
        seed: int,
        shape: Shape,
        *,
        is_shuffled: bool = False,
        is_silence_fatal: bool = False,
        is_traced: bool = False,
    ) -> None:
        self.loop = SimLoop(
            seed, is_shuffled=is_shuffled, environment=ENVIRONMENT_TYPES, is_traced=is_traced
        )
        self.cluster = Cluster(self.loop, seed, shape)
        self.invariants = Invariants(self.cluster, is_silence_fatal=is_silence_fatal)
        self.workload = Workload(self.cluster, self.invariants, random.Random(f"workload {seed}"))

    def play(self, script: Coroutine[Any, Any, None], *, is_told: bool = False) -> None:
        """Start the cluster and follow the script to its end.

        Args:
            script: What happens; runs outside of all processes.
            is_told: Print every log event of the daemons, with virtual time, as it happens.

        Raises:
            Violation: Of an invariant, or by the script.
        """
        with self._logs(is_told=is_told), Traps():
            try:
                main = self.loop.create_task(self._started(script), context=ENVIRONMENT.copy())
                self.loop.run_until_complete(main)
                if self.loop.errors:
                    raise Violation("; ".join(self.loop.errors[:3]))
            finally:
                self.cluster.bury()
                self.loop.close()

    async def _started(self, script: Coroutine[Any, Any, None]) -> None:
        self.cluster.start()
        await script

    def stored_keys(self) -> list[str]:
        """All that the store holds, by key."""
        return [item.key for item in self.cluster.server.list(keys.ROOT).items]

    async def within(self, limit_s: float, step: Coroutine[Any, Any, None], what: str) -> None:
        """Do it in time."""
        try:
            async with asyncio.timeout(limit_s):
                await step
        except TimeoutError:
            raise Violation(f"{what} in {limit_s} s") from None

    async def until(self, holds: Callable[[], bool], within_s: float, what: str) -> None:
        """Wait for it, and not for long."""
        deadline = self.loop.time() + within_s
        while not holds():
            if self.loop.time() >= deadline:
                raise Violation(f"not {what} within {within_s} s: {self.invariants.problems()[:4]}")
            await asyncio.sleep(0.01)

    async def settle(self) -> None:
        """Wait until everything is as it was asked for."""
        deadline = self.loop.time() + SETTLE_S
        while problems := self.invariants.problems():
            if self.loop.time() >= deadline:
                raise Violation(f"not settled {SETTLE_S} s after the last fault: {problems[:4]}")
            await asyncio.sleep(0.5)

    async def stay(self) -> None:
        """Settled is settled: once the latest message has come, nobody writes anything more."""
        await asyncio.sleep(QUIET_S)
        commits = self.invariants.commits
        await asyncio.sleep(QUIET_S)
        if self.invariants.commits != commits:
            raise Violation("still writing although everything is as it should be")
        if problems := self.invariants.problems():
            raise Violation(f"did not stay settled: {problems[:4]}")

    @contextlib.contextmanager
    def _logs(self, *, is_told: bool) -> Iterator[None]:
        """An error in the log is a violation: that is where loops report what they survived."""
        loop = self.loop

        def hear(
            _logger: object, method: str, event: MutableMapping[str, Any]
        ) -> Mapping[str, Any]:
            if is_told:
                said = " ".join(
                    f"{k}={v}" for k, v in event.items() if k not in ("event", "exc_info")
                )
                sys.stdout.write(
                    f"{loop.time():10.4f} {process_name():4} {event['event']} {said}\n"
                )
            if method in ("error", "exception", "critical"):
                error = sys.exc_info()[1]
                loop.fail(Violation(f"{process_name()} logged an error: {dict(event)} {error!r}"))
            raise structlog.DropEvent

        saved = structlog.get_config()
        structlog.configure(
            processors=[hear],
            wrapper_class=structlog.make_filtering_bound_logger(10 if is_told else 40),
            cache_logger_on_first_use=False,
        )
        try:
            yield
        finally:
            structlog.configure(**saved)
