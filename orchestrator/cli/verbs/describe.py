"""`longshore describe`: an object in words, of whatever kind, and what happened to it.

One layout for every kind: names and values side by side, lists as blocks, conditions as a table,
events at the end. `described` says what is special about a few kinds.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from orchestrator.cli.client import Json
from orchestrator.cli.durations import age
from orchestrator.cli.formats import aligned
from orchestrator.cli.resources import ResourceType, Selection
from orchestrator.cli.session import Session
from orchestrator.cli.verbs import described
from orchestrator.cli.verbs.events import last_seen, time_of
from orchestrator.cli.verbs.get import objects, selected
from orchestrator.cli.verbs.outline import Outline
from orchestrator.cli.verbs.results import each

EVENTS_SHOWN = 25
"""The latest ones."""


class DescribeOptions(Struct, frozen=True, kw_only=True):
    """Which objects, and whether with their events."""

    labels: str = ""
    files: tuple[str, ...] = ()
    is_everywhere: bool = False
    has_events: bool = True


async def describe(session: Session, words: Sequence[str], options: DescribeOptions) -> int | None:
    """Each of them, with two empty lines between."""
    found: list[tuple[ResourceType, Json]] = []
    code = None
    for selection in await selected(session, words, options.files):

        async def collect(selection: Selection) -> None:
            listed = await _matching(session, selection, options)
            found.extend((selection.type, item) for item in listed)

        code = await each(session, selection.singles, collect) or code
    if not found and code is None:
        where = "" if options.is_everywhere else f" in {session.namespace} namespace."
        session.screen.tell(f"No resources found{where}")
    for index, (type, object) in enumerate(found):
        if index:
            session.screen.say("\n")
        outline = await _outline(session, type, object, has_events=options.has_events)
        outline.show(session.screen)
    return code


async def _matching(session: Session, selection: Selection, options: DescribeOptions) -> list[Json]:
    return await objects(
        session, selection, labels=options.labels, is_everywhere=options.is_everywhere
    )


async def _outline(
    session: Session, type: ResourceType, object: Json, *, has_events: bool
) -> Outline:
    outline = Outline()
    _head(outline, type, object)
    special = described.KINDS.get((type.group, type.kind))
    if special is not None:
        await special(session, object, outline)
    else:
        for field, value in object.items():
            if field not in ("apiVersion", "kind", "metadata", "status"):
                outline.field(field, value)
        _status(outline, object)
    if has_events:
        outline.text("Events", await _events(session, object))
    return outline


def _head(outline: Outline, type: ResourceType, object: Json) -> None:
    metadata = object["metadata"]
    outline.add("Name", metadata["name"])
    if metadata.get("namespace"):
        outline.add("Namespace", metadata["namespace"])
    if (type.group, type.kind) not in described.KINDS:
        outline.add("API Version", type.api_version)
        outline.add("Kind", type.kind)
    outline.pairs("Labels", metadata.get("labels") or {}, "=")
    outline.pairs("Annotations", metadata.get("annotations") or {}, ": ")
    created = metadata.get("creationTimestamp", "")
    outline.add("Created", f"{created} ({age(created)} ago)")
    if metadata.get("deletionTimestamp"):
        outline.add("Being Deleted", f"since {metadata['deletionTimestamp']}")
    if metadata.get("finalizers"):
        outline.add("Finalizers", ", ".join(metadata["finalizers"]))
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("controller"):
            outline.add("Controlled By", f"{owner['kind']}/{owner['name']}")


def _status(outline: Outline, object: Json) -> None:
    status = object.get("status") or {}
    rest = {name: value for name, value in status.items() if name != "conditions"}
    if rest:
        outline.add("Status", rest)
    outline.conditions(status.get("conditions") or ())


async def _events(session: Session, object: Json) -> str:
    """The latest of them as a table."""
    types = await session.client.types()
    metadata = object["metadata"]
    about = {
        "involvedObject.name": metadata["name"],
        "involvedObject.kind": object["kind"],
        "involvedObject.uid": metadata["uid"],
    }
    if object["kind"] == "Node":
        del about["involvedObject.uid"]  # nodes' events may carry their name there
    params = {"fieldSelector": ",".join(f"{name}={value}" for name, value in about.items())}
    events = types.of_kind("v1", "Event")
    found = await session.client.get(events.path(metadata.get("namespace", "")), params)
    latest = sorted(found["items"], key=time_of)[-EVENTS_SHOWN:]
    if not latest:
        return "<none>"
    rows: list[list[Any]] = [["Type", "Reason", "Age", "From", "Message"]]
    rows.append(["----", "------", "---", "----", "-------"])
    for event in latest:
        source = (event.get("source") or {}).get("component") or event.get("reportingComponent")
        message = event.get("message", "").strip()
        rows.append(
            [
                event.get("type", ""),
                event.get("reason", ""),
                last_seen(event),
                source or "",
                message,
            ]
        )
    return aligned(rows, gap=2)
