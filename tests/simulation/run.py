"""One seed: a cluster, its faults, its work; then everything heals, and must come to rest."""

import asyncio
import contextlib
import random
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import structlog
from msgspec import Struct

from tests.simulation.cluster import Cluster, Shape
from tests.simulation.environment import ENVIRONMENT_TYPES
from tests.simulation.invariants import Invariants
from tests.simulation.loop import ENVIRONMENT, SimLoop, Traps, Violation, process_name
from tests.simulation.nemesis import FAULTS, QUIET, Nemesis
from tests.simulation.workload import Workload

STEPS = (5, 12)
"""Changes that a run makes."""

PAUSES_S = (0.3, 6.0)
"""Between two changes."""

SETTLE_S = 120.0
"""After the last fault: back-offs of up to a minute, redeliveries, and then some."""

QUIET_S = 6.0
"""At rest for so long, nothing may be written any more."""


class Outcome(Struct, frozen=True):
    """What became of a seed.

    Attributes:
        violation: Empty when all held.
        story: What was done to the cluster, in order.
        turns: Callbacks run.
        seconds: Virtual seconds passed.
        checksum: Of every callback, if that was asked for; of commits and starts in any case.
    """

    seed: int
    violation: str
    story: tuple[str, ...]
    turns: int
    seconds: float
    commits: int
    starts: int
    checksum: int


def run(seed: int, *, is_traced: bool = False, is_told: bool = False) -> Outcome:
    """Simulate one seed.

    Args:
        seed: All chance derives from it.
        is_traced: Keep a checksum over every callback.
        is_told: Print every log event of the daemons, with virtual time, as it happens.
    """
    rng = random.Random(f"seed {seed}")
    loop = SimLoop(
        seed,
        is_shuffled=rng.random() < 0.5,
        environment=ENVIRONMENT_TYPES,
        is_traced=is_traced,
    )
    simulation = _Simulation(loop, seed, rng)
    violation = ""
    with _logs(loop, is_told=is_told), Traps():
        asyncio.set_event_loop(None)
        try:
            loop.run_until_complete(loop.create_task(simulation.main(), context=ENVIRONMENT.copy()))
        except Violation as error:
            violation = str(error)
        except BaseException as error:  # noqa: BLE001 - the harness's own mistakes, told with the seed
            if isinstance(error, KeyboardInterrupt):
                raise
            violation = f"harness: {error!r}"
        finally:
            outcome = simulation.outcome(violation or "; ".join(loop.errors[:3]))
            simulation.cluster.bury()
            loop.close()
    return outcome


class _Simulation:
    """One run's parts."""

    def __init__(self, loop: SimLoop, seed: int, rng: random.Random) -> None:
        self._loop = loop
        self._seed = seed
        self._rng = rng
        kinds = tuple(rng.sample(list(FAULTS), rng.randint(1, 10)))
        shape = Shape(
            nodes=rng.randint(3, 5),
            orchestrators=rng.choice((1, 2, 2, 3)),
            is_silence_loss=rng.random() < 0.25,
        )
        self.cluster = Cluster(loop, seed, shape)
        self.invariants = Invariants(
            self.cluster, is_silence_fatal=shape.is_silence_loss and not QUIET.issuperset(kinds)
        )
        self.nemesis = Nemesis(self.cluster, random.Random(f"nemesis {seed}"), kinds)
        self.workload = Workload(self.cluster, self.invariants, random.Random(f"workload {seed}"))
        self._header = f"{shape} faults: {', '.join(kinds)}"

    async def main(self) -> None:
        """The run."""
        self.cluster.start()
        rng = self._rng
        async with asyncio.TaskGroup() as tasks:
            raging = tasks.create_task(self.nemesis.rage())
            for _ in range(rng.randint(*STEPS)):
                await self._within(self.workload.step())
                await asyncio.sleep(rng.uniform(*PAUSES_S))
            await self._within(self.workload.last_change())
            await asyncio.sleep(rng.uniform(0.0, 3.0))
            raging.cancel()
        self.nemesis.done.append(f"{self._loop.time():.3f} heal")
        self.nemesis.heal()
        await self._settle()
        await self._stay()

    async def _within(self, step: Any) -> None:
        try:
            async with asyncio.timeout(SETTLE_S):
                await step
        except TimeoutError:
            raise Violation(f"no change was acknowledged in {SETTLE_S} s") from None

    async def _settle(self) -> None:
        deadline = self._loop.time() + SETTLE_S
        while problems := self.invariants.problems():
            if self._loop.time() >= deadline:
                raise Violation(f"not settled {SETTLE_S} s after the last fault: {problems[:4]}")
            await asyncio.sleep(0.5)

    async def _stay(self) -> None:
        """Settled is settled: once the last events are told, nobody writes anything more."""
        await asyncio.sleep(QUIET_S / 2)
        commits = self.invariants.commits
        await asyncio.sleep(QUIET_S)
        if self.invariants.commits != commits:
            raise Violation("still writing although everything is as it should be")
        if problems := self.invariants.problems():
            raise Violation(f"did not stay settled: {problems[:4]}")

    def outcome(self, violation: str) -> Outcome:
        """How it went."""
        lines = sorted(
            [*self.nemesis.done, *self.workload.done], key=lambda line: float(line.split()[0])
        )
        return Outcome(
            seed=self._seed,
            violation=violation,
            story=(self._header, *lines),
            turns=self._loop.turns,
            seconds=self._loop.time(),
            commits=self.invariants.commits,
            starts=self.invariants.starts,
            checksum=self._loop.checksum,
        )


@contextlib.contextmanager
def _logs(loop: SimLoop, *, is_told: bool) -> Iterator[None]:
    """An error in the log is a violation: that is where loops report what they survived."""

    def hear(_logger: object, method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        if is_told:
            said = " ".join(f"{k}={v}" for k, v in event.items() if k not in ("event", "exc_info"))
            sys.stdout.write(f"{loop.time():10.4f} {process_name():4} {event['event']} {said}\n")
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
