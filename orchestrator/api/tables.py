"""Objects as the rows that ``kubectl get`` prints."""

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from orchestrator.world import Entry
from proto.kinds.kind import Cell, Column, Kind

_NAME = {
    "name": "Name",
    "type": "string",
    "format": "name",
    "description": "Name must be unique within a namespace.",
    "priority": 0,
}


def column_definitions(kind: Kind[Any]) -> list[dict[str, Any]]:
    """The headers; Name comes first unless the kind's columns place it."""
    own = [
        {
            "name": column.name,
            "type": column.type,
            "format": column.format,
            "description": column.description,
            "priority": column.priority,
        }
        for column in kind.columns
    ]
    return own if _places_name(kind) else [_NAME, *own]


def _places_name(kind: Kind[Any]) -> bool:
    return any(column.name == "Name" for column in kind.columns)


def _cell(column: Column, resource: Any, now_ms: int) -> Cell:
    try:
        return column.cell(resource, now_ms)
    except ValueError:  # a time that a client wrote and that is none
        return "<invalid>"


def row(entry: Entry, *, now_ms: int, include: str, version: str) -> dict[str, Any]:
    """One object's row.

    Args:
        entry: The object.
        now_ms: Wall clock, epoch milliseconds; ages are counted to it.
        include: ``None``, ``Metadata`` or ``Object``: how much of the object comes along.
        version: Of meta.k8s.io.
    """
    kind, resource = entry.kind, entry.object
    cells = [_cell(column, resource, now_ms) for column in kind.columns]
    if not _places_name(kind):
        cells.insert(0, resource.metadata.name)
    found: dict[str, Any] = {"cells": cells}
    if include == "Object":
        found["object"] = entry.raw
    elif include == "Metadata":
        found["object"] = partial(entry, version, with_owners=False)
    return found


def partial(entry: Entry, version: str, *, with_owners: bool = True) -> dict[str, Any]:
    """The object's metadata alone; a table, which nobody writes back, does without its owners."""
    metadata = entry.object.metadata
    if metadata.managed_fields and not with_owners:
        metadata = replace(metadata, managed_fields=())
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": metadata,
    }


def table(
    kind: Kind[Any],
    entries: Iterable[Entry],
    *,
    metadata: dict[str, Any],
    now_ms: int,
    include: str,
    version: str,
    with_columns: bool = True,
) -> dict[str, Any]:
    """A `Table` of these objects, in their order; see `row`."""
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": metadata,
        "columnDefinitions": column_definitions(kind) if with_columns else None,
        "rows": [row(entry, now_ms=now_ms, include=include, version=version) for entry in entries],
    }
