"""How many placements a second the scheduler decides, at 5,000 nodes."""

from tests.bench import decisions
from tests.bench.figures import Figure

GOALS = {"identical": 100_000, "unique": 10_000}


def measure() -> list[Figure]:
    found = decisions.measure()
    return [
        Figure(
            section="decisions",
            name=f"{kind} pods placed",
            measured=found[f"{kind}_per_s"],
            unit="per CPU s",
            goal=goal,
            is_more_better=True,
            note=f"{found['nodes']:,.0f} nodes, decision only",
        )
        for kind, goal in GOALS.items()
    ]
