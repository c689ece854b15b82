"""docs/kubectl.md: what the sessions show of every command of kubectl.

``python -m tests.e2e.kubectl.table`` writes it; ``--ask KUBECTL`` asks that binary anew which
commands and flags there are. Nothing in the page is written by hand but the words around the table.

A command's flags come in groups, as kubectl's own help would if it had any: those that many
commands share, and the rest. A flag counts as tried when a session uses it with that command.
"""

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from tests.e2e.kubectl import commands as known
from tests.e2e.kubectl.commands import Command, Flag, Invocation
from tests.e2e.kubectl.sessions import FOLDER, Scene, Step, scenes

PAGE = Path(__file__).parents[3] / "docs" / "kubectl.md"

GROUPS = {
    "which objects": (
        "--all", "--all-namespaces", "--field-selector", "--filename", "--kustomize",
        "--recursive", "--selector",
    ),
    "output": (
        "--allow-missing-template-keys", "--no-headers", "--output", "--show-labels",
        "--show-managed-fields", "--template",
    ),
    "trial and ownership": (
        "--dry-run", "--field-manager", "--force-conflicts", "--save-config", "--server-side",
        "--validate",
    ),
    "waiting": (
        "--cascade", "--force", "--grace-period", "--pod-running-timeout", "--timeout", "--wait",
    ),
}  # fmt: skip
"""Flags that mean the same wherever they occur."""

OWN = "its own"

HEAD = """\
# kubectl, command by command

Every command and flag of kubectl {version}, and what the [sessions]({sessions})
show of it: {scenes} scenes with {invocations} invocations of a real kubectl against a real cluster,
each with the output and the exit code it must have. `make table` writes this page from them, and a
test fails when it says something else.

* **works**: sessions show it, and it does what it does with Kubernetes.
* **works, with a warning**: so it does, and the server adds what does not follow from it yet.
* **works in part**: sessions show some of it at work, and some of it refused.
* **refused**: sessions show that it is refused. All refusals are below, with their reasons.
* **not tried**: no session shows it. That is no statement on whether it works.
"""

FOOT = """
A command's flags that no session uses are in the last column. What is `alpha` is left out.
"""


class Shown(NamedTuple):
    """One invocation in its session."""

    step: Step
    invocation: Invocation

    @property
    def is_warned(self) -> bool:
        return "Warning: " in self.step.expected and not self.step.refused


def shown(all_scenes: Iterable[Scene], commands: Mapping[str, Command]) -> list[Shown]:
    """Every invocation of kubectl in these scenes."""
    return [
        Shown(step, invocation)
        for scene in all_scenes
        for step in scene.steps
        for invocation in known.invocations(step.command, commands)
    ]


def state(found: Sequence[Shown]) -> str:
    """Of whatever these show."""
    if not found:
        return "not tried"
    served = [one for one in found if not one.step.refused]
    if not served:
        return "refused"
    if len(served) < len(found):
        return "works in part"
    return "works, with a warning" if all(one.is_warned for one in served) else "works"


def groups(command: Command) -> Iterator[tuple[str, list[Flag]]]:
    """A command's flags by what they are about."""
    shared = {name: group for group, names in GROUPS.items() for name in names}
    for group in (OWN, *GROUPS):
        flags = [flag for flag in command.flags if shared.get(flag.name, OWN) == group]
        if flags:
            yield group, flags


def page(all_scenes: Sequence[Scene], commands: Mapping[str, Command], version: str) -> str:
    """The whole of docs/kubectl.md."""
    found = shown(all_scenes, commands)
    head = HEAD.format(
        version=version,
        sessions="../tests/e2e/kubectl/sessions",
        scenes=len(all_scenes),
        invocations=len(found),
    )
    sections = [
        f"\n## {section}\n\n{_table(list(inside), found)}"
        for section, inside in groupby(commands.values(), key=lambda command: command.section)
    ]
    return "".join([head, _summary(commands, found), *sections, _refusals(found), FOOT])


def _summary(commands: Mapping[str, Command], found: Sequence[Shown]) -> str:
    states = Counter(state(_of(found, name)) for name in commands if name != known.GLOBAL)
    counted = "; ".join(f"{name}: {count}" for name, count in states.most_common())
    flags = [(name, flag.name) for name, command in commands.items() for flag in command.flags]
    tried = sum(bool(_using(found, name, flag)) for name, flag in flags)
    return f"\nCommands: {counted}. Flags tried, by command: {tried} of {len(flags)}.\n"


def _of(found: Iterable[Shown], command: str) -> list[Shown]:
    if command == known.GLOBAL:
        return [one for one in found if one.invocation.shared]
    return [one for one in found if one.invocation.command == command]


def _flags(one: Shown, command: str) -> frozenset[str]:
    return one.invocation.shared if command == known.GLOBAL else one.invocation.flags


def _using(found: Iterable[Shown], command: str, flag: str) -> list[Shown]:
    return [one for one in _of(found, command) if flag in _flags(one, command)]


def _table(commands: Iterable[Command], found: Sequence[Shown]) -> str:
    rows = [
        ("command", "flags tried", "state", "shown", "not tried"),
        ("---", "---", "---", "---:", "---"),
    ]
    for command in commands:
        of_it = _of(found, command.name)
        name = "flags of every command" if command.name == known.GLOBAL else f"`{command.name}`"
        rows.append((f"**{name}**", "", state(of_it), str(len(of_it)), ""))
        for group, flags in groups(command):
            tried = {flag: _using(found, command.name, flag.name) for flag in flags}
            uses = [one for one in of_it if _flags(one, command.name) & {f.name for f in flags}]
            rows.append(
                (
                    f"· {group}",
                    _listed(flag for flag, seen in tried.items() if seen),
                    state(uses),
                    str(len(uses)),
                    _listed(flag for flag, seen in tried.items() if not seen),
                )
            )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _listed(flags: Iterable[Flag]) -> str:
    return " ".join(f"`{flag.short or flag.name}`" for flag in flags)


def _refusals(found: Sequence[Shown]) -> str:
    lines = dict.fromkeys(
        f"* `{one.step.command.partition('  # ')[0]}`: {one.step.refused}"
        for one in found
        if one.step.refused
    )
    return "\n## What is refused, and why\n\n" + "".join(f"{line}\n" for line in lines)


def written() -> str:
    """What docs/kubectl.md must say now."""
    return page(scenes(FOLDER), known.kept(), known.version())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ask", type=Path, metavar="KUBECTL", help="the binary to ask anew")
    if binary := parser.parse_args().ask:
        known.KEPT.write_text(known.written(binary))
    PAGE.write_text(written())


if __name__ == "__main__":
    main()
