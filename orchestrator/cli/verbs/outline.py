"""Names and values side by side, nested by indentation: what `describe` prints."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from orchestrator.cli.formats import aligned
from orchestrator.cli.screen import Screen, printable, style_of

NONE = "<none>"

KEYED = frozenset(
    {"allocatable", "annotations", "binaryData", "capacity", "data", "hard", "labels", "limits"}
    | {"matchLabels", "nodeSelector", "requests", "selector", "stringData", "used"}
)
"""Fields whose keys are the user's own words."""


class Named(dict[str, Any]):
    """A value whose keys are the user's own words, too."""


STEP = "  "


class Outline:
    """Collects lines; `show` prints them with the values of one level aligned."""

    def __init__(self) -> None:
        self._entries: list[tuple[str, list[str]]] = []

    def field(self, name: str, value: Any) -> None:
        """A field of the object."""
        self.add(words_of(name), _keyed(name, value))

    def add(self, title: str, value: Any) -> None:
        """A value: text beside its title, what is nested below it."""
        if isinstance(value, Mapping) and value:
            self._entries.append((title, ["", *_lines(value)]))
        elif _is_list_of_objects(value):
            self._entries.append((title, ["", *_blocks(value)]))
        else:
            self._entries.append((title, _plain(value).splitlines() or [""]))

    def pairs(self, title: str, values: Mapping[str, str], between: str) -> None:
        """Labels or annotations, one to a line beside each other."""
        lines = [f"{key}{between}{_short(values[key])}" for key in sorted(values)]
        self._entries.append((title, lines or [NONE]))

    def text(self, title: str, text: str) -> None:
        """A table below its title; a single line beside it."""
        lines = text.rstrip("\n").split("\n")
        nested = ["", *(STEP + line for line in lines)]
        self._entries.append((title, lines if len(lines) == 1 else nested))

    def conditions(self, conditions: Sequence[Mapping[str, Any]]) -> None:
        """As a table."""
        if not conditions:
            return
        rows = [["Type", "Status", "Reason", "Message"], ["----", "------", "------", "-------"]]
        for found in conditions:
            reason, message = found.get("reason", ""), found.get("message", "")
            rows.append([found["type"], found["status"], reason, message])
        self.text("Conditions", aligned(rows, gap=2))

    def show(self, screen: Screen) -> None:
        """Print it."""
        beside = [title for title, lines in self._entries if lines[0]]
        width = max((len(title) for title in beside), default=0) + 3
        for title, lines in self._entries:
            head = f"{title}:"
            first = f"{head.ljust(width)}{lines[0]}" if lines[0] else head
            is_nested = not lines[0]
            rest = [line if is_nested else " " * width + line for line in lines[1:]]
            for line in (first, *rest):
                _put(screen, printable(line))


def words_of(field: str) -> str:
    """``clusterIP`` as ``Cluster IP``.

    >>> words_of("containerPort"), words_of("podIPs"), words_of("app.kubernetes.io/name")
    ('Container Port', 'Pod IPs', 'app.kubernetes.io/name')
    """
    if not re.fullmatch(r"[a-z][A-Za-z0-9]*", field):
        return field
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z](?!$|s$))", " ", field)
    return parted[:1].upper() + parted[1:]


def _lines(value: Mapping[str, Any], depth: int = 1) -> list[str]:
    """The fields of an object, those with a plain value aligned."""
    title = str if isinstance(value, Named) else words_of
    beside = [title(name) for name, inner in value.items() if not _is_nested(inner)]
    width = max(map(len, beside), default=0) + 3
    lines = []
    for name, found in value.items():
        head, inner = f"{STEP * depth}{title(name)}:", _keyed(name, found)
        if isinstance(inner, Mapping) and inner:
            lines += [head, *_lines(inner, depth + 1)]
        elif _is_list_of_objects(inner):
            lines += [head, *_blocks(inner, depth + 1)]
        else:
            first, *rest = _plain(inner).splitlines() or [""]
            column = len(STEP * depth) + width
            lines.append(f"{head.ljust(column)}{first}")
            lines += [" " * column + line for line in rest]
    return lines


def _keyed(field: str, value: Any) -> Any:
    return Named(value) if field in KEYED and isinstance(value, dict) else value


def _blocks(values: Sequence[Mapping[str, Any]], depth: int = 1) -> list[str]:
    """A list of objects: each begins with a dash."""
    lines = []
    for value in values:
        inner = _lines(value, depth + 1)
        if inner:
            position = len(STEP) * (depth + 1) - 2
            inner[0] = inner[0][:position] + "- " + inner[0][position + 2 :]
        lines += inner
    return lines


def _is_nested(value: Any) -> bool:
    return (isinstance(value, Mapping) and bool(value)) or _is_list_of_objects(value)


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, Mapping) for item in value)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or value in ("", [], {}):
        return NONE
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return _short(str(value))


def _short(text: str) -> str:
    """An annotation may hold a whole object: that is not for people to read here."""
    return text if len(text) <= 500 else f"{text[:500]}… ({len(text)} characters)"


def _put(screen: Screen, line: str) -> None:
    """Colour what a status line says of the state."""
    found = re.fullmatch(r"(\s*(?:Status|State|Reason|Ready):\s+)(\S+)(.*)", line)
    style = style_of("STATUS", found[2]) if found else ""
    if found and style and screen.is_terminal:
        screen.out.print(Text.assemble(found[1], (found[2], style), found[3]))
    else:
        screen.say(line)
