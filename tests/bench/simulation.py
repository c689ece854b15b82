"""How many simulated clusters a second: it decides how many faults a test run can afford to try."""

import os

from tests.bench.figures import Figure
from tests.e2e.waiting import stopwatch
from tests.simulation.__main__ import outcomes

SEEDS = 200
SECONDS_MAX = 60.0


def measure() -> list[Figure]:
    elapsed = stopwatch()
    found = list(outcomes(range(SEEDS), os.cpu_count() or 1))
    took_s = elapsed()
    return [
        Figure(
            section="simulation",
            name=f"{SEEDS} seeds",
            measured=took_s,
            unit="s",
            goal=SECONDS_MAX,
            note=f"{SEEDS / took_s:.1f} seeds/s, {sum(one.seconds for one in found):,.0f} virtual s",
        ),
        Figure(
            section="simulation",
            name="seeds that found a violation",
            measured=sum(bool(one.violation) for one in found),
            unit="",
            goal=0,
        ),
    ]
