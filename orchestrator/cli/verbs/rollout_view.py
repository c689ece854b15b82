"""How a rollout is shown: a live picture on a terminal, a line for each change elsewhere."""

import contextlib
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orchestrator.cli.rollout import PodLine, Rollout, Verdict, changes, counted
from orchestrator.cli.screen import Screen, printable, style_of
from orchestrator.cli.verbs.why import finding_lines
from orchestrator.cli.why import words

BAR = 30
PODS_SHOWN = 12
EVENTS_SHOWN = 4


class RolloutView:
    """Rollouts, as they were last shown."""

    def __init__(self, screen: Screen, live: Live | None) -> None:
        self._screen = screen
        self._live = live
        self._last: dict[tuple[str, str], Rollout] = {}
        self._problem = ""

    def show(self, rollouts: Sequence[Rollout], now_ms: int, problem: str = "") -> None:
        """The present state.

        Args:
            rollouts: Of every deployment that is waited for.
            now_ms: Epoch milliseconds, for ages.
            problem: Why it may be out of date.
        """
        if self._live is not None:
            parts = [part for one in rollouts for part in picture(one, now_ms)]
            if problem:
                parts.append(Text(printable(problem), style="bold red"))
            self._live.update(Group(*parts), refresh=True)
            return
        if problem and problem != self._problem:
            self._screen.say(printable(problem))
        self._problem = problem
        for one in rollouts:
            key = (one.namespace, one.name)
            prefix = f"{one.name}: " if len(rollouts) > 1 else ""
            for line in changes(self._last.get(key), one):
                self._screen.say(prefix + printable(line))
            self._last[key] = one


@contextlib.contextmanager
def rollout_view(screen: Screen) -> Iterator[RolloutView]:
    """A view for the length of the block; its last picture stays."""
    if not screen.is_terminal:
        yield RolloutView(screen, None)
        return
    with Live(console=screen.out, auto_refresh=False, vertical_overflow="ellipsis") as live:
        yield RolloutView(screen, live)


def picture(found: Rollout, now_ms: int) -> Iterator[RenderableType]:
    """One rollout, on a terminal."""
    images = printable(", ".join(found.images))
    yield Text.assemble(("deploy/", "dim"), (printable(found.name), "bold"), f"  {images}")
    yield Text.assemble("  ", *_bar(found), f"  {counted(found)}")
    yield _pods(found.pods, now_ms)
    hidden = len(found.pods) - PODS_SHOWN
    if hidden > 0:
        yield Text(f"  and {words.count(hidden, 'more pod')}", style="dim")
    if found.verdict is not Verdict.DONE:
        for finding in found.stuck:
            yield from finding_lines(finding)
        for event in found.events[-EVENTS_SHOWN:]:
            yield Text(f"  {printable(words.told(event, now_ms))}", style="dim", no_wrap=True)


def _bar(found: Rollout) -> Iterator[tuple[str, str]]:
    """Ready, then made but not ready, then missing."""
    of = max(found.wanted, 1)
    ready = round(BAR * min(found.ready, of) / of)
    made = max(round(BAR * min(found.updated, of) / of) - ready, 0)
    yield ("━" * ready, "green")
    yield ("━" * made, "yellow")
    yield ("━" * (BAR - ready - made), "bright_black")


def _pods(pods: Sequence[PodLine], now_ms: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for column in ("  POD", "NODE", "STATE", "AGE", "RESTARTS"):
        table.add_column(column, no_wrap=True)
    for pod in sorted(pods, key=lambda pod: pod.is_new, reverse=True)[:PODS_SHOWN]:
        mark = ("✓ ", "green") if pod.is_ready else ("• ", "yellow")
        table.add_row(
            Text.assemble(mark, printable(pod.name), ("" if pod.is_new else " (old)", "dim")),
            Text(printable(pod.node) or "-"),
            Text(printable(pod.state), style=style_of("STATUS", pod.state)),
            words.age(pod.created, now_ms),
            str(pod.restarts),
            style="" if pod.is_new else "dim",
        )
    return table
