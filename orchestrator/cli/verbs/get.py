"""`longshore get`: objects as tables or as text, once or for as long as they change."""

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence

from msgspec import Struct

from orchestrator.cli import formats
from orchestrator.cli.client import JSON, TABLE, Gone, Json
from orchestrator.cli.refused import Refused, ServerRefused
from orchestrator.cli.resources import ResourceType, Selection, Types, joined, select
from orchestrator.cli.screen import Columns
from orchestrator.cli.session import Session
from orchestrator.cli.templates import find
from orchestrator.cli.verbs import manifests
from orchestrator.cli.verbs.apply import placed
from orchestrator.cli.verbs.tables import TableOptions, TableView
from orchestrator.cli.watching import followed

PAGE = 500
"""Objects in one answer. Source: kubectl's --chunk-size."""


class GetOptions(Struct, frozen=True, kw_only=True):
    """What is shown, and how."""

    output: str = ""
    labels: str = ""
    fields: str = ""
    is_everywhere: bool = False
    is_watching: bool = False
    is_watching_only: bool = False
    has_labels: bool = False
    label_columns: tuple[str, ...] = ()
    sort_by: str = ""
    has_header: bool = True
    ignores_absent: bool = False
    has_managed_fields: bool = False
    files: tuple[str, ...] = ()


async def get(session: Session, words: Sequence[str], options: GetOptions) -> int | None:
    """Show them. Returns 1 when one that is named is not there."""
    formats.check(options.output)
    selections = await selected(session, words, options.files)
    if options.is_watching or options.is_watching_only:
        await _watch(session, selections, options)
    absent = _Absent(options)
    if options.output in formats.TABLES:
        await _show_tables(session, selections, options, absent)
    else:
        await _show_text(session, selections, options, absent)
    for error in absent.errors:
        session.screen.tell(str(error))
    return 1 if absent.errors else None


async def selected(
    session: Session, words: Sequence[str], files: Sequence[str] = ()
) -> list[Selection]:
    """What the arguments, or the manifests of ``-f``, name.

    Raises:
        Refused: They name nothing.
    """
    types = await session.client.types()
    if files:
        return joined(_named_by(session, types, found) for found in manifests.read(files))
    if not words:
        raise Refused(
            "name what: TYPE, TYPE NAME or TYPE/NAME",
            hint="for example pods, pod web, deploy/web; `longshore api-resources` lists the types",
        )
    return select(words, types)


def _named_by(session: Session, types: Types, manifest: Json) -> Selection:
    type = types.of_kind(manifest["apiVersion"], manifest["kind"])
    metadata = placed(session, type, manifest)["metadata"]
    return Selection(type, (metadata["name"],), metadata.get("namespace", ""))


async def objects(
    session: Session,
    selection: Selection,
    *,
    labels: str = "",
    fields: str = "",
    is_everywhere: bool = False,
) -> list[Json]:
    """The objects of a selection, whole and with their kind.

    Raises:
        ServerRefused: A named one is not there.
    """
    type, client = selection.type, session.client
    namespace = "" if is_everywhere else selection.namespace or session.namespace
    if selection.names:
        return [await client.get(type.path(namespace, name)) for name in selection.names]
    found = [page async for page in _pages(session, type, JSON, labels, fields, namespace)]
    kind = {"apiVersion": type.api_version, "kind": type.kind}
    return [kind | item for page in found for item in page["items"]]


async def _pages(
    session: Session, type: ResourceType, accept: str, labels: str, fields: str, namespace: str
) -> AsyncIterator[Json]:
    params = {"labelSelector": labels, "fieldSelector": fields, "limit": str(PAGE)}
    while True:
        page = await session.client.get(type.path(namespace), params, accept=accept)
        yield page
        params["continue"] = page["metadata"].get("continue") or ""
        if not params["continue"]:
            return


async def _show_text(
    session: Session, selections: Sequence[Selection], options: GetOptions, absent: "_Absent"
) -> None:
    found: list[Json] = []
    for selection in selections:
        for single in selection.singles:
            with absent.noted():
                found += await objects(
                    session,
                    single,
                    labels=options.labels,
                    fields=options.fields,
                    is_everywhere=options.is_everywhere,
                )
    if options.sort_by:
        found.sort(key=lambda item: _sort_key(options.sort_by, item))
    is_single = len(selections) == 1 and len(selections[0].names) == 1
    if is_single and not found:
        return
    value: Json = (
        found[0]
        if is_single
        else {
            "apiVersion": "v1",
            "kind": "List",
            "metadata": {"resourceVersion": ""},
            "items": found,
        }
    )
    if not options.has_managed_fields:
        value = formats.without_managed_fields(value)
    session.screen.write(formats.printer(options.output)(value).encode())


async def _show_tables(
    session: Session, selections: Sequence[Selection], options: GetOptions, absent: "_Absent"
) -> None:
    is_first = True
    for selection in selections:
        tables = await _tables(session, selection, options, absent)
        rows = [row for table in tables for row in table["rows"] or ()]
        if not rows:
            continue
        if options.sort_by:
            rows.sort(key=lambda row: _sort_key(options.sort_by, row["object"]))
        view = _view(tables[0], selection, options, is_one_of_many=len(selections) > 1)
        if not is_first:
            session.screen.say("")
        shown = [view.row(row) for row in rows]
        session.screen.table(view.header, shown, has_header=options.has_header)
        is_first = False
    if is_first and not options.ignores_absent and not absent.errors:
        _say_none(session, selections, options)


def _say_none(session: Session, selections: Sequence[Selection], options: GetOptions) -> None:
    is_spread = options.is_everywhere or not any(found.type.is_namespaced for found in selections)
    where = "" if is_spread else f" in {session.namespace} namespace."
    session.screen.tell(f"No resources found{where}")


async def _tables(
    session: Session, selection: Selection, options: GetOptions, absent: "_Absent"
) -> list[Json]:
    type, client = selection.type, session.client
    namespace = "" if options.is_everywhere else selection.namespace or session.namespace
    if not selection.names:
        wanted = (options.labels, options.fields, namespace)
        return [page async for page in _pages(session, type, _accept(options), *wanted)]
    if options.is_everywhere and type.is_namespaced:
        raise Refused("a resource cannot be retrieved by name across all namespaces")
    found = []
    for name in selection.names:
        params = {"includeObject": "Object"} if options.sort_by else {}
        with absent.noted():
            found.append(await client.get(type.path(namespace, name), params, accept=TABLE))
    return found


def _accept(options: GetOptions) -> str:
    return TABLE if options.output in formats.TABLES else JSON


def _view(
    table: Json, selection: Selection, options: GetOptions, *, is_one_of_many: bool
) -> TableView:
    shown = TableOptions(
        is_wide=options.output == "wide",
        has_namespaces=options.is_everywhere and selection.type.is_namespaced,
        has_labels=options.has_labels,
        label_columns=options.label_columns,
        is_prefixed=is_one_of_many,
    )
    return TableView(table["columnDefinitions"], shown, selection.type.full_singular)


async def _watch(session: Session, selections: Sequence[Selection], options: GetOptions) -> None:
    """What there is, then a row for each change, until the user has seen enough."""
    if len(selections) != 1 or len(selections[0].names) > 1:
        raise Refused("--watch takes one kind, or one object", hint="longshore get pods --watch")
    [selection] = selections
    type, accept = selection.type, _accept(options)
    namespace = "" if options.is_everywhere else selection.namespace or session.namespace
    name = f"metadata.name={selection.names[0]}" if selection.names else ""
    fields = ",".join(filter(None, (options.fields, name)))
    if name:  # a wrong name is an error, and nothing to wait for
        await session.client.get(type.path(namespace, selection.names[0]))
    params = {"labelSelector": options.labels, "fieldSelector": fields}
    now = await session.client.get(type.path(namespace), params, accept=accept)
    show = _Shown(session, selection, options)
    if not options.is_watching_only:
        show.list(now)
    version = now["metadata"]["resourceVersion"]
    path = type.path(namespace)
    while True:
        with contextlib.suppress(Gone):
            changes = followed(session.client, path, params, version, accept=accept)
            async with contextlib.aclosing(changes):
                async for _, object in changes:
                    show.change(object)
        now = await session.client.get(path, params, accept=accept)
        show.list(now)  # what changed meanwhile is not known
        version = now["metadata"]["resourceVersion"]


class _Shown:
    """What a watch has printed so far."""

    def __init__(self, session: Session, selection: Selection, options: GetOptions) -> None:
        self._session = session
        self._selection = selection
        self._options = options
        self._view: TableView | None = None
        self._columns: Columns | None = None

    def list(self, now: Json) -> None:
        if self._options.output in formats.TABLES:
            self._rows(now)
        else:
            kind = {
                "apiVersion": self._selection.type.api_version,
                "kind": self._selection.type.kind,
            }
            for item in now["items"]:
                self.change(kind | item)

    def change(self, object: Json) -> None:
        if self._options.output in formats.TABLES:
            self._rows(object)
            return
        if not self._options.has_managed_fields:
            object = formats.without_managed_fields(object)
        separator = "---\n" if self._options.output == "yaml" else ""
        text = formats.printer(self._options.output)(object)
        self._session.screen.write((separator + text).encode())

    def _rows(self, table: Json) -> None:
        if self._view is None:
            self._view = _view(table, self._selection, self._options, is_one_of_many=False)
        rows = [self._view.row(row) for row in table["rows"] or ()]
        if self._columns is None and rows:
            screen, has_header = self._session.screen, self._options.has_header
            self._columns = screen.table(self._view.header, rows, has_header=has_header)
        elif self._columns is not None:
            for row in rows:
                self._columns.print(row)


class _Absent:
    """Named objects that are not there: the others are shown first."""

    def __init__(self, options: GetOptions) -> None:
        self._is_ignored = options.ignores_absent
        self.errors: list[ServerRefused] = []

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Go on although it is not there."""
        try:
            yield
        except ServerRefused as error:
            if error.code != 404:
                raise
            if not self._is_ignored:
                self.errors.append(error)


def _sort_key(path: str, object: Json) -> tuple[int, float, str]:
    """Absent values first, numbers by size, texts by the alphabet."""
    found = find(path, object)
    if not found:
        return (0, 0, "")
    value = found[0]
    return (1, value, "") if isinstance(value, int | float) else (2, 0, str(value))
