"""What a benchmark found: numbers with their goals, as a table and as JSON."""

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, to_builtins
from rich.console import Console
from rich.table import Table


class Figure(Struct, frozen=True, kw_only=True):
    """One measured number.

    Attributes:
        goal: What it should be: at most this or, with `is_more_better`, at least. None: measured
            for comparison only.
        runs: The single measurements behind it, in their order.
        note: How it was measured, in a few words.
    """

    section: str
    name: str
    measured: float
    unit: str
    goal: float | None = None
    is_more_better: bool = False
    runs: tuple[float, ...] = ()
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.measured >= self.goal if self.is_more_better else self.measured <= self.goal


def show(figures: Sequence[Figure]) -> None:
    table = Table(title="Longshore on this machine", title_justify="left")
    for heading in ("section", "figure", "goal", "measured", "verdict", "how"):
        table.add_column(heading, justify="right" if heading in ("goal", "measured") else "left")
    for figure in figures:
        table.add_row(
            figure.section,
            figure.name,
            _goal(figure),
            f"{_number(figure.measured)} {figure.unit}",
            {True: "[green]met[/]", False: "[red]missed[/]", None: ""}[figure.is_met],
            figure.note,
        )
    Console(width=None if os.isatty(1) else 150).print(table)


def write(figures: Sequence[Figure], target: Path) -> None:
    content: dict[str, Any] = {
        "machine": {
            "cores": os.cpu_count(),
            "kernel": platform.release(),
            "python": platform.python_version(),
            "load_1_min": os.getloadavg()[0],
        },
        "figures": [to_builtins(figure) | {"is_met": figure.is_met} for figure in figures],
    }
    target.write_text(json.dumps(content, indent=2) + "\n")


def _goal(figure: Figure) -> str:
    if figure.goal is None:
        return ""
    return f"{'≥' if figure.is_more_better else '≤'} {_number(figure.goal)} {figure.unit}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
