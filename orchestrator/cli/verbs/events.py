"""`longshore events`: what happened, in order of time."""

import contextlib
from collections.abc import Sequence

from msgspec import Struct

from orchestrator.cli import formats
from orchestrator.cli.client import Gone, Json
from orchestrator.cli.durations import age
from orchestrator.cli.refused import Refused
from orchestrator.cli.resources import Selection, select
from orchestrator.cli.session import Session
from orchestrator.cli.verbs.get import objects
from orchestrator.cli.watching import followed

HEADER = ("LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE")


class EventOptions(Struct, frozen=True, kw_only=True):
    """Which, and how they are shown.

    Attributes:
        object: ``TYPE/NAME``: only what happened to that.
        types: ``Normal``, ``Warning``.
    """

    object: str = ""
    types: tuple[str, ...] = ()
    is_everywhere: bool = False
    is_watching: bool = False
    output: str = ""
    has_header: bool = True


async def events(session: Session, options: EventOptions) -> None:
    """Show them."""
    formats.check(options.output)
    types = await session.client.types()
    type = types.of_kind("v1", "Event")
    fields = await _fields(session, options)
    namespace = "" if options.is_everywhere else session.namespace
    now = await session.client.get(type.path(namespace), {"limit": 1})
    found = await objects(
        session, Selection(type), fields=fields, is_everywhere=options.is_everywhere
    )
    shown = sorted((event for event in found if _is_wanted(event, options)), key=time_of)
    if options.output not in formats.TABLES:
        listed = {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": shown}
        session.screen.write(formats.printer(options.output)(listed).encode())
        return
    if not shown and not options.is_watching:
        where = "" if options.is_everywhere else f" in {session.namespace} namespace."
        session.screen.tell(f"No events found{where}")
        return
    header = (("NAMESPACE",) if options.is_everywhere else ()) + HEADER
    rows = [_row(event, options) for event in shown]
    columns = session.screen.table(header, rows, has_header=options.has_header)
    if not options.is_watching:
        return
    path, version = type.path(namespace), now["metadata"]["resourceVersion"]
    while True:
        with contextlib.suppress(Gone):
            changes = followed(session.client, path, {"fieldSelector": fields}, version)
            async with contextlib.aclosing(changes):
                async for kind, event in changes:
                    if kind != "DELETED" and _is_wanted(event, options):
                        columns.print(_row(event, options))
        now = await session.client.get(path, {"limit": 1})  # go on with what happens from now on
        version = now["metadata"]["resourceVersion"]


async def _fields(session: Session, options: EventOptions) -> str:
    if not options.object:
        return ""
    [selection, *others] = select([options.object], await session.client.types())
    if others or len(selection.names) != 1:
        raise Refused(f"--for {options.object!r} is not TYPE/NAME", hint="--for pod/web")
    kind = selection.type.kind
    return f"involvedObject.kind={kind},involvedObject.name={selection.names[0]}"


def _is_wanted(event: Json, options: EventOptions) -> bool:
    return not options.types or event.get("type", "").lower() in options.types


def time_of(event: Json) -> str:
    """When it happened last."""
    series = event.get("series") or {}
    metadata = event["metadata"]
    return str(
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or metadata.get("creationTimestamp")
        or ""
    )


def last_seen(event: Json) -> str:
    """``12s``, or ``12s (x3 over 5m)``."""
    count = (event.get("series") or {}).get("count") or event.get("count") or 1
    first = event.get("firstTimestamp") or event["metadata"].get("creationTimestamp")
    seen = age(time_of(event))
    return f"{seen} (x{count} over {age(first)})" if count > 1 else seen


def _row(event: Json, options: EventOptions) -> Sequence[str]:
    about = event["involvedObject"]
    row = (
        last_seen(event),
        event.get("type", ""),
        event.get("reason", ""),
        f"{about['kind']}/{about['name']}",
        event.get("message", "").strip(),
    )
    namespace = (event["metadata"].get("namespace", ""),)
    return (*namespace, *row) if options.is_everywhere else row
