"""Event: something that happened to an object, for people to read; core group, as kubectl does."""

from collections.abc import Mapping
from typing import ClassVar

from proto.kinds.kind import Column, Kind, format_age
from proto.meta import Model, Resource, Time, parse_time_ms


class ObjectReference(Model, frozen=True, kw_only=True):
    """Which object."""

    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""
    resource_version: str = ""
    field_path: str = ""


class EventSource(Model, frozen=True, kw_only=True):
    """Who says so."""

    component: str = ""
    host: str = ""


class Event(Resource, frozen=True, kw_only=True):
    """See the module.

    Attributes:
        type: ``Normal`` or ``Warning``.
        count: How often it happened between the first and the last time.
    """

    IGNORED: ClassVar[Mapping[str, str]] = {
        "series": "repeats are counted in `count`",
        "related": "an event is about one object",
        "action": "the reason says it",
    }

    involved_object: ObjectReference = ObjectReference()
    reason: str = ""
    message: str = ""
    source: EventSource = EventSource()
    first_timestamp: Time = ""
    last_timestamp: Time = ""
    event_time: Time = ""
    count: int = 0
    type: str = ""
    reporting_component: str = ""
    reporting_instance: str = ""


def _since(text: str, now_ms: int) -> str:
    return format_age(parse_time_ms(text), now_ms) if text else "<unknown>"


def _last_seen_cell(event: Event, now_ms: int) -> str:
    return _since(event.last_timestamp or event.event_time or event.first_timestamp, now_ms)


def _object_cell(event: Event) -> str:
    return f"{event.involved_object.kind.lower()}/{event.involved_object.name}"


def _source_cell(event: Event) -> str:
    return ", ".join(part for part in (event.source.component, event.source.host) if part)


EVENTS: Kind[Event] = Kind(
    name="Event",
    group="",
    version="v1",
    plural="events",
    singular="event",
    type=Event,
    short_names=("ev",),
    columns=(
        Column("Last Seen", _last_seen_cell),
        Column("Type", lambda event, _: event.type),
        Column("Reason", lambda event, _: event.reason),
        Column("Object", lambda event, _: _object_cell(event)),
        Column("Subobject", lambda event, _: event.involved_object.field_path, priority=1),
        Column("Source", lambda event, _: _source_cell(event), priority=1),
        Column("Message", lambda event, _: event.message.strip()),
        Column(
            "First Seen", lambda event, now_ms: _since(event.first_timestamp, now_ms), priority=1
        ),
        Column("Count", lambda event, _: event.count or 1, type="integer", priority=1),
        Column("Name", lambda event, _: event.metadata.name, priority=1),
    ),
    fields={
        "involvedObject.kind": lambda event: event.involved_object.kind,
        "involvedObject.namespace": lambda event: event.involved_object.namespace,
        "involvedObject.name": lambda event: event.involved_object.name,
        "involvedObject.uid": lambda event: event.involved_object.uid,
        "involvedObject.apiVersion": lambda event: event.involved_object.api_version,
        "involvedObject.resourceVersion": lambda event: event.involved_object.resource_version,
        "involvedObject.fieldPath": lambda event: event.involved_object.field_path,
        "reason": lambda event: event.reason,
        "reportingComponent": lambda event: event.reporting_component,
        "source": lambda event: event.source.component,
        "type": lambda event: event.type,
    },
    has_status=False,
)
