"""`longshore status`: what there is, what is wrong, and what to type about it."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any

from rich.console import Group, OverflowMethod
from rich.live import Live
from rich.text import Text

from orchestrator.cli import formats
from orchestrator.cli.client import Client
from orchestrator.cli.connection import translated
from orchestrator.cli.mirror import glanced, mirrored
from orchestrator.cli.overview import (
    Amount,
    ControlPlane,
    NodeState,
    Overview,
    Usage,
    overview,
    parse_checks,
    summed,
)
from orchestrator.cli.refused import Refused, ServerRefused
from orchestrator.cli.screen import Screen, printable
from orchestrator.cli.session import Session
from orchestrator.cli.typed import path_of
from orchestrator.cli.verbs.why import check, now_ms
from orchestrator.cli.why import words
from orchestrator.cli.why.placing import amount
from proto import codec, quantity
from proto.errors import LongshoreError
from proto.kinds.lease import LEASES

WRONG = 1
"""Exit code when something is wrong."""

PROBLEMS_SHOWN, WARNINGS_SHOWN, WORKLOADS_SHOWN = 12, 6, 12

REDRAW_EVERY_S, LOOK_EVERY_S = 0.25, 2.0
"""Changes are shown within the first; ages, usage and the control plane's answer every second."""

BAR = 6

METRICS = "/apis/metrics.k8s.io/v1beta1/nodes"

_PROBE = {
    "apiVersion": "coordination.k8s.io/v1",
    "kind": "Lease",
    "metadata": {"generateName": "longshore-status-"},
    "spec": {},
}
"""Made with dryRun: nothing is stored, but the leader and NATS must be there for it."""


async def status(session: Session, *, output: str, is_watching: bool) -> int:
    """Show it; returns 0 when all is well."""
    check(output)
    if is_watching:
        if output:
            raise Refused(
                "--watch shows a screen, -o a document", hint="longshore get pods -w -o json"
            )
        return await _watch(session)
    seen, plane, usage = await _looked(session.client)
    found = overview(seen, plane, usage)
    if output:
        session.screen.write(formats.printer(output)(codec.to_plain(found)).encode())
    else:
        screen = session.screen
        for line in lines_of(found, now_ms(), has_bars=screen.is_terminal):
            _print(screen, line)
    return 0 if found.is_well else WRONG


def _print(screen: Screen, line: Text) -> None:
    if screen.is_terminal:
        is_whole = line.overflow == "fold"
        overflow: OverflowMethod = "fold" if is_whole else "ellipsis"
        screen.out.print(line, no_wrap=not is_whole, overflow=overflow, soft_wrap=False)
    else:
        screen.say(line.plain)


async def _looked(client: Client) -> tuple[Any, ControlPlane, Usage]:
    async with asyncio.TaskGroup() as tasks:
        seen = tasks.create_task(glanced(client, now_ms))
        plane = tasks.create_task(control_plane(client))
        usage = tasks.create_task(usage_of_nodes(client))
    return seen.result(), plane.result(), usage.result()


async def _watch(session: Session) -> int:
    """Until Ctrl-C."""
    client, screen = session.client, session.screen
    if not screen.is_terminal:
        raise Refused("--watch needs a terminal", hint="longshore status, again and again")
    plane, usage = await control_plane(client), await usage_of_nodes(client)
    asked_s = time.monotonic()
    async with mirrored(client, now_ms) as mirror:
        with Live(console=screen.out, screen=True, auto_refresh=False) as live:
            looks = mirror.changes(at_most_every_s=REDRAW_EVERY_S, at_least_every_s=LOOK_EVERY_S)
            async for seen in looks:
                if time.monotonic() - asked_s >= LOOK_EVERY_S:
                    # Where it is away, the mirror says so.
                    with contextlib.suppress(LongshoreError), translated(client.server):
                        plane, usage = await control_plane(client), await usage_of_nodes(client)
                    asked_s = time.monotonic()
                lines = list(lines_of(overview(seen, plane, usage), now_ms(), has_bars=True))
                if mirror.problem:
                    lines.insert(0, Text(printable(mirror.problem), style="bold red"))
                for line in lines:
                    line.no_wrap, line.overflow = True, "ellipsis"
                live.update(Group(*lines), refresh=True)
    return 0


async def control_plane(client: Client) -> ControlPlane:
    """Who answers, how fast, and what it says of itself."""
    began_s = time.monotonic()
    version = await client.get("/version")
    latency_ms = (time.monotonic() - began_s) * 1000
    checks = {
        "live": await _health(client, "/livez"),
        "ready": await _health(client, "/readyz"),
        "writes": await _takes_writes(client),
    }
    try:
        told = (await client.text("/readyz", {"verbose": "true"})).decode(errors="replace")
    except ServerRefused as error:
        told = error.message
    return ControlPlane(
        server=client.server,
        version=str(version.get("gitVersion", "")),
        latency_ms=round(latency_ms, 1),
        checks=checks | parse_checks(told),
    )


async def _health(client: Client, path: str) -> str:
    """What is wrong; empty when it says that nothing is."""
    try:
        await client.text(path)
    except ServerRefused as error:
        return error.message
    return ""


async def _takes_writes(client: Client) -> str:
    path = path_of(LEASES, client.namespace)
    try:
        await client.ask("POST", path, params={"dryRun": "All"}, body=_PROBE)
    except ServerRefused as error:
        # Not allowed, or no such namespace: it was looked at, which is what was asked.
        return error.message if error.code >= 500 else ""
    return ""


async def usage_of_nodes(client: Client) -> Usage:
    """What nodes use now; empty where metrics.k8s.io is not served."""
    try:
        found = await client.get(METRICS)
    except ServerRefused:
        return {}
    return {
        item["metadata"]["name"]: {
            "cpu": quantity.milli(item["usage"]["cpu"]),
            "memory": quantity.whole(item["usage"]["memory"]),
        }
        for item in found["items"]
    }


# ---------------------------------------------------------------------------------- as text


def lines_of(found: Overview, now: int, *, has_bars: bool) -> Iterator[Text]:
    """The overview, line by line.

    Args:
        found: What is told.
        now: Epoch milliseconds, for ages.
        has_bars: Whether shares are drawn, too.
    """
    yield from _head(found)
    yield Text("")
    yield from _nodes(found, has_bars=has_bars)
    yield Text("")
    yield from _workloads(found)
    if found.problems:
        yield Text("")
        yield from _problems(found)
    if found.warnings:
        yield Text("")
        yield from _warnings(found, now)


def _head(found: Overview) -> Iterator[Text]:
    plane = found.control_plane
    mark = ("✓ all is well", "bold green")
    if not found.is_well:
        mark = (f"✗ {words.count(len(found.problems), 'problem')}", "bold red")
    yield Text.assemble(mark, "   ", (printable(plane.server), "bold"), f"  {plane.version}")
    wrong = [name for name, said in plane.checks.items() if said]
    told = "not well: " + ", ".join(wrong) if wrong else ", ".join(plane.checks) + " ok"
    leader = f", led by {plane.leader}" if plane.leader else ""
    style = "red" if wrong else "dim"
    yield Text(f"  control plane answers in {plane.latency_ms:g} ms, {told}{leader}", style=style)


def _nodes(found: Overview, *, has_bars: bool) -> Iterator[Text]:
    ready = sum(node.is_ready for node in found.nodes)
    yield _title("NODES", f"{ready} of {len(found.nodes)} ready")
    width = max((len(node.name) for node in found.nodes), default=0)
    wide = max((len(_state(node)[0]) for node in found.nodes), default=0)
    for node in found.nodes:
        state, style = _state(node)
        yield Text.assemble(
            f"  {node.name:<{width}}  ",
            (f"{state:<{wide}}", style),
            f" {node.pods:>3} pods  ",
            *_share("cpu", node.cpu, has_bars=has_bars),
            "  ",
            *_share("memory", node.memory, has_bars=has_bars),
        )
    if len(found.nodes) > 1:
        cpu, memory = summed(n.cpu for n in found.nodes), summed(n.memory for n in found.nodes)
        yield Text.assemble(
            f"  {'all':<{width}}  {'':<{wide}} {sum(n.pods for n in found.nodes):>3} pods  ",
            *_share("cpu", cpu, has_bars=has_bars),
            "  ",
            *_share("memory", memory, has_bars=has_bars),
            style="dim",
        )


def _state(node: NodeState) -> tuple[str, str]:
    """In words, and its colour."""
    word, style = ("Ready", "green") if node.is_ready else ("NotReady", "red")
    if node.is_cordoned:
        return f"{word},cordoned", "yellow" if node.is_ready else "red"
    return word, style


def _share(name: str, of: Amount, *, has_bars: bool) -> Iterator[str | tuple[str, str]]:
    asked, size = amount(name, of.requested), amount(name, of.allocatable)
    yield f"{name} {f'{asked}/{size}':<12}"
    if of.used is not None:
        yield f" {f'in use {amount(name, of.used)}':<13}"
    if has_bars and of.allocatable:
        share = min(1.0, of.requested / of.allocatable)
        filled = round(share * BAR)
        style = "red" if share > 0.95 else "yellow" if share > 0.8 else "green"
        yield ("━" * filled, style)
        yield ("━" * (BAR - filled), "bright_black")


def _workloads(found: Overview) -> Iterator[Text]:
    phases = ", ".join(f"{count} {phase}" for phase, count in found.pods.items()) or "none"
    yield _title("WORKLOADS", f"pods: {phases}")
    behind = [one for one in found.workloads if one.ready < one.wanted]
    well = [one for one in found.workloads if one.ready >= one.wanted]
    shown = [*behind, *well][:WORKLOADS_SHOWN]
    names = [f"{one.kind}/{one.name}" for one in shown]
    width = max(map(len, names), default=0)
    space = max((len(one.namespace) for one in shown), default=0)
    for one, name in zip(shown, names, strict=True):
        style = "green" if one.ready >= one.wanted else "yellow"
        yield Text.assemble(
            f"  {one.namespace:<{space}}  {name:<{width}}  ", (f"{one.ready}/{one.wanted}", style)
        )
    left = len(found.workloads) - len(shown)
    if left:
        yield Text(f"  and {left} more: longshore get deploy,jobs -A", style="dim")


def _problems(found: Overview) -> Iterator[Text]:
    yield _title("WRONG NOW", "")
    for one in found.problems[:PROBLEMS_SHOWN]:
        space = f"{one.namespace}/" if one.namespace else ""
        yield Text.assemble(
            ("  ✗ ", "red"),
            (f"{one.kind} {printable(space + one.name)}", "bold"),
            f": {printable(one.what)}",
            overflow="fold",
        )
        yield Text(f"      {printable(one.why)}", style="cyan")
    left = len(found.problems) - PROBLEMS_SHOWN
    if left > 0:
        yield Text(f"  and {left} more: longshore status -o yaml", style="dim")


def _warnings(found: Overview, now: int) -> Iterator[Text]:
    yield _title("RECENT WARNINGS", "")
    shown = found.warnings[:WARNINGS_SHOWN]
    width = max((len(one.about) for one in shown), default=0)
    for one in shown:
        yield Text.assemble(
            (f"  {words.age(one.last_seen, now):>6}  ", "dim"),
            f"{printable(one.about):<{width}}  ",
            (one.reason, "yellow"),
            f"  {printable(one.message)}",
        )
    left = len(found.warnings) - len(shown)
    if left:
        yield Text(f"  and {left} more: longshore events -A", style="dim")


def _title(name: str, told: str) -> Text:
    return Text.assemble((name, "bold"), f"  {told}" if told else "")
