"""Tables that the server makes of objects, as rows of text."""

from collections.abc import Sequence

from msgspec import Struct

from orchestrator.cli.client import Json

NONE = "<none>"


class TableOptions(Struct, frozen=True, kw_only=True):
    """What is shown of each object.

    Attributes:
        is_wide: All columns, the less important ones included.
        has_namespaces: A column for the namespace.
        has_labels: A column of all labels.
        label_columns: Columns of single labels.
        is_prefixed: Names with their kind: ``pod/web``.
    """

    is_wide: bool = False
    has_namespaces: bool = False
    has_labels: bool = False
    label_columns: tuple[str, ...] = ()
    is_prefixed: bool = False


class TableView:
    """Turns Tables of one kind into rows."""

    def __init__(self, definitions: Sequence[Json], options: TableOptions, prefix: str) -> None:
        self._options = options
        self._prefix = f"{prefix}/" if options.is_prefixed else ""
        self._shown = [
            index
            for index, column in enumerate(definitions)
            if options.is_wide or not column.get("priority")
        ]
        self.header = [definitions[index]["name"].upper() for index in self._shown]
        if options.has_namespaces:
            self.header.insert(0, "NAMESPACE")
        labels = [key.rpartition("/")[2].upper() for key in options.label_columns]
        self.header += [*labels, *(["LABELS"] if options.has_labels else [])]

    def row(self, row: Json) -> list[str]:
        """Of one object."""
        options, metadata = self._options, row["object"]["metadata"]
        cells = [_text(row["cells"][index]) for index in self._shown]
        cells[0] = self._prefix + cells[0]
        if options.has_namespaces:
            cells.insert(0, metadata.get("namespace", ""))
        labels = metadata.get("labels") or {}
        cells += [labels.get(key, NONE) for key in options.label_columns]
        if options.has_labels:
            cells.append(",".join(f"{key}={labels[key]}" for key in sorted(labels)) or NONE)
        return cells


def _text(cell: object) -> str:
    return NONE if cell is None else str(cell)
