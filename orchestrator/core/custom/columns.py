"""The columns of a custom kind: a JSONPath each, shown as ``kubectl get`` shows it.

Source: apiextensions-apiserver, pkg/registry/customresource/tableconvertor.
"""

import re
from collections.abc import Callable
from typing import Any

import jsonpath

from proto import codec
from proto.kinds.definition import PrinterColumn
from proto.kinds.kind import Cell, Column, format_age
from proto.meta import parse_time_ms

AGE = PrinterColumn(name="Age", type="date", json_path=".metadata.creationTimestamp")
"""The only column of a kind that declares none."""

Find = Callable[[Any], Any]
"""From an object to the first value at a path; None when there is none."""


def finder(path: str) -> Find:
    r"""The reader of a kubectl JSONPath: ``.spec.replicas``, ``.metadata.labels.a\.b/c``.

    Raises:
        ValueError: It is none.
    """
    escaped = re.sub(
        r"\.((?:[^.\[\\]|\\.)*\\\.(?:[^.\[\\]|\\.)*)",
        lambda found: "['" + found[1].replace("\\.", ".") + "']",
        path,
    )
    try:
        compiled = jsonpath.compile("$" + escaped)
    except jsonpath.JSONPathError as error:
        raise ValueError(f"is no JSONPath: {error}") from error

    def find(resource: Any) -> Any:
        match = compiled.match(codec.to_plain(resource))
        return None if match is None else match.value

    return find


def column(declared: PrinterColumn) -> Column:
    """A column as the server prints it.

    Raises:
        ValueError: Its path is none.
    """
    find = finder(declared.json_path)
    of = _CELLS[declared.type]
    return Column(
        declared.name,
        lambda resource, now_ms: of(find(resource), now_ms),
        type=declared.type,
        format=declared.format,
        priority=declared.priority,
        description=declared.description
        or f"Custom resource definition column (in JSONPath format): {declared.json_path}",
    )


def _text(value: Any, _now_ms: int) -> Cell:
    if value is None:
        return None
    return value if isinstance(value, str) else codec.encode(value).decode()


def _integer(value: Any, _now_ms: int) -> Cell:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if is_number else None


def _number(value: Any, _now_ms: int) -> Cell:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else None


def _boolean(value: Any, _now_ms: int) -> Cell:
    return value if isinstance(value, bool) else None


def _date(value: Any, now_ms: int) -> Cell:
    """The time since."""
    if not isinstance(value, str):
        return None
    return format_age(parse_time_ms(value), now_ms) if value else "<unknown>"


_CELLS: dict[str, Callable[[Any, int], Cell]] = {
    "string": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "date": _date,
}
