"""One seed: a cluster, its faults, its work; then everything heals, and must come to rest."""

import asyncio
import random

from msgspec import Struct

from tests.simulation.cluster import Shape
from tests.simulation.loop import Violation
from tests.simulation.nemesis import FAULTS, QUIET, Nemesis
from tests.simulation.stage import SETTLE_S, Stage

STEPS = (4, 10)
"""Changes that a run makes."""

PAUSES_S = (0.3, 6.0)
"""Between two changes."""

KINDS = (1, 10)
"""How many kinds of faults a seed knows: few at a time meet where all together would hide it."""


class Outcome(Struct, frozen=True):
    """What became of a seed.

    Attributes:
        violation: Empty when all held.
        story: What was done to the cluster, in order.
        turns: Callbacks run.
        seconds: Virtual seconds passed.
        checksum: Of every callback, if that was asked for.
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
    """Simulate one seed; see `Stage` for what is traced and told."""
    rng = random.Random(f"seed {seed}")
    kinds = tuple(rng.sample(list(FAULTS), rng.randint(*KINDS)))
    shape = Shape(
        nodes=rng.randint(3, 5),
        orchestrators=rng.choice((1, 2, 2, 3)),
        is_silence_loss=rng.random() < 0.25,
    )
    stage = Stage(
        seed,
        shape,
        is_shuffled=rng.random() < 0.5,
        is_silence_fatal=shape.is_silence_loss and not QUIET.issuperset(kinds),
        is_traced=is_traced,
    )
    nemesis = Nemesis(stage.cluster, random.Random(f"nemesis {seed}"), kinds)
    violation = ""
    try:
        stage.play(_script(stage, nemesis, rng), is_told=is_told)
    except Exception as error:  # noqa: BLE001 - also the harness's own mistakes belong to a seed
        violation = _said(error)
    told = sorted([*nemesis.done, *stage.workload.done], key=lambda line: float(line.split()[0]))
    return Outcome(
        seed=seed,
        violation=violation,
        story=(f"{shape} faults: {', '.join(kinds)}", *told),
        turns=stage.loop.turns,
        seconds=stage.loop.time(),
        commits=stage.invariants.commits,
        starts=stage.invariants.starts,
        checksum=stage.loop.checksum,
    )


async def _script(stage: Stage, nemesis: Nemesis, rng: random.Random) -> None:
    """Changes under faults, the last one too; then peace."""
    async with asyncio.TaskGroup() as tasks:
        raging = tasks.create_task(nemesis.rage())
        for _ in range(rng.randint(*STEPS)):
            await stage.within(SETTLE_S, stage.workload.step(), "no change was acknowledged")
            await asyncio.sleep(rng.uniform(*PAUSES_S))
        nemesis.strike()
        await stage.within(SETTLE_S, stage.workload.last_change(), "no change was acknowledged")
        await asyncio.sleep(rng.uniform(0.0, 3.0))
        raging.cancel()
    nemesis.done.append(f"{stage.loop.time():.3f} heal")
    nemesis.heal()
    await stage.settle()
    await stage.stay()


def _said(error: Exception) -> str:
    """A violation's own words."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return str(error) if isinstance(error, Violation) else repr(error)
