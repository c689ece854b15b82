"""Objects as text for ``-o``: json, yaml, name, jsonpath and custom-columns."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import yaml

from orchestrator.cli.client import Json
from orchestrator.cli.refused import Refused
from orchestrator.cli.templates import Template, find, text_of

FORMATS = "json, yaml, name, wide, jsonpath=TEMPLATE, custom-columns=NAME:PATH,..."
TABLES = ("", "wide")
"""Those that the server makes."""


class _Dumper(yaml.CSafeDumper):
    """Multi-line text as a block, as kubectl writes it."""


def _text(dumper: yaml.CSafeDumper, value: str) -> yaml.Node:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def to_yaml(value: Any) -> str:
    """As kubectl prints it: keys sorted, lists not indented, long lines whole."""
    return str(yaml.dump(value, Dumper=_Dumper, width=10**6, allow_unicode=True))


def to_json(value: Any) -> str:
    """Indented and sorted as kubectl prints it."""
    return json.dumps(value, indent=4, sort_keys=True, ensure_ascii=False) + "\n"


def check(output: str) -> None:
    """Whether there is such a format, before anything is asked or done.

    Raises:
        Refused: There is none.
    """
    if output not in TABLES:
        printer(output)


def printer(output: str) -> Callable[[Any], str]:
    """What turns an object, or a List of them, into text with its line ends.

    Raises:
        Refused: There is no such format.
    """
    name, equals, argument = output.partition("=")
    match name:
        case "json" | "yaml" | "name" if not equals:
            return {"json": to_json, "yaml": to_yaml, "name": _names}[name]
        case "jsonpath" if argument:
            return Template(argument).render
        case "custom-columns" if argument:
            return lambda value: _columns(argument, value)
        case _:
            raise Refused(
                f'unable to match a printer suitable for the output format "{output}"',
                hint=f"there are: {FORMATS}",
            )


def items_of(value: Json) -> list[Json]:
    """A List's, or the object itself."""
    return list(value["items"]) if "items" in value else [value]


def without_managed_fields(value: Json) -> Json:
    """The object, or each of a List, without what is of use to programs only."""
    if "items" in value:
        return {**value, "items": [without_managed_fields(item) for item in value["items"]]}
    metadata = {
        name: field for name, field in value.get("metadata", {}).items() if name != "managedFields"
    }
    return {**value, "metadata": metadata}


def name_of(object: Json) -> str:
    """``pod/web``, ``deployment.apps/web``."""
    group = object["apiVersion"].rpartition("/")[0]
    kind = object["kind"].lower() + (f".{group}" if group else "")
    return f"{kind}/{object['metadata']['name']}"


def _names(value: Json) -> str:
    return "".join(f"{name_of(item)}\n" for item in items_of(value))


def _columns(argument: str, value: Json) -> str:
    columns = [column.partition(":") for column in argument.split(",")]
    if any(not path for _, _, path in columns):
        raise Refused(
            f"custom-columns={argument}: every column needs a path",
            hint="-o custom-columns=NAME:.metadata.name,NODE:.spec.nodeName",
        )
    rows = [[name for name, _, _ in columns]]
    for item in items_of(value):
        found = [find(path, item) for _, _, path in columns]
        rows.append([",".join(map(text_of, cell)) if cell else "<none>" for cell in found])
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]], *, gap: int = 3) -> str:
    """Rows as lines, every column as wide as its widest cell."""
    if not rows:
        return ""
    widths = [max(map(len, column)) + gap for column in zip(*rows, strict=True)]
    return "".join(
        "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"
        for row in rows
    )
