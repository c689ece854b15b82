"""What every object has: metadata, labels, owners, conditions; and how they compare.

Objects are frozen structs. A field that is absent has its type's empty value and is not encoded;
defaults with a meaning (``replicas: 1``) are filled in by each kind's `defaults`, so that they are
stored and seen. Times are RFC 3339 text in UTC with whole seconds, as Kubernetes prints them.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Self

from msgspec import UNSET, Meta, Raw, Struct
from msgspec.structs import replace

Time = Annotated[
    str, Meta(extra={"is_time": True}, extra_json_schema={"type": "string", "format": "date-time"})
]
"""RFC 3339 text; empty where Kubernetes has null. Checked where manifests come in."""


class Model(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of everything in a manifest.

    Attributes:
        REFUSED: Fields that Kubernetes has, that would change what runs, and that Longshore does
            not act on, each with the reason: a manifest that sets one is answered 422.
        IGNORED: Fields that Kubernetes has and that are harmless to leave out, each with the
            reason: dropped with a ``Warning``.
        PARTLY: Of which fields not every value that Kubernetes takes is taken, and which is not.
        IS_ATOMIC: Whether it has one owner as a whole, instead of one for each field.
    """

    REFUSED: ClassVar[Mapping[str, str]] = {}
    IGNORED: ClassVar[Mapping[str, str]] = {}
    PARTLY: ClassVar[Mapping[str, str]] = {}
    IS_ATOMIC: ClassVar[bool] = False


class OwnerReference(Model, frozen=True, kw_only=True):
    """Whom an object belongs to; it is collected when no owner is left."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool = False
    block_owner_deletion: bool = False


class ManagedFieldsEntry(Model, frozen=True, kw_only=True):
    """Which fields one manager owns by one way of writing.

    Attributes:
        manager: Whoever wrote: a program's name.
        operation: ``Apply`` or ``Update``.
        api_version: That the fields are named in.
        time: When the set of fields last changed.
        fields_type: ``FieldsV1``.
        fields_v1: The fields as JSON, kept as bytes: it is the largest part of many objects, and
            few ever look at it. See `orchestrator.core.field_sets`.
        subresource: ``status`` or ``scale``; empty for the object itself.
    """

    manager: str = ""
    operation: str = ""
    api_version: str = ""
    time: Time = ""
    fields_type: str = ""
    fields_v1: Raw = Raw()
    subresource: str = ""


class ObjectMeta(Model, frozen=True, kw_only=True):
    """Metadata as every Kubernetes object has it.

    Attributes:
        resource_version: Decimal text; compared as a number only inside the control plane.
        generation: Counts changes of the spec, from 1.
    """

    IGNORED: ClassVar[Mapping[str, str]] = {
        "selfLink": "Kubernetes itself no longer sets it",
    }

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: Time = ""
    deletion_timestamp: Time = ""
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: Annotated[tuple[OwnerReference, ...], Meta(extra={"merge_key": "uid"})] = ()
    finalizers: Annotated[tuple[str, ...], Meta(extra={"is_set": True})] = ()
    managed_fields: tuple[ManagedFieldsEntry, ...] = ()

    @property
    def controller(self) -> OwnerReference | None:
        """The one owner that manages this object."""
        return next((owner for owner in self.owner_references if owner.controller), None)


class Resource(Model, frozen=True, kw_only=True):
    """Base of every kind: what the generic verbs rely on."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()


class CustomResource(Resource, frozen=True, kw_only=True):
    """An object of a kind that a CustomResourceDefinition declares: its content is plain JSON.

    Attributes:
        spec: UNSET when there is none.
        status: UNSET when there is none.
        others: Further fields at the top level; on the wire they stand beside `spec`.
    """

    spec: Any = UNSET
    status: Any = UNSET
    others: dict[str, Any] = {}

    @property
    def content(self) -> dict[str, Any]:
        """Everything but the kind and the metadata, as on the wire."""
        own = {"spec": self.spec, "status": self.status}
        return {name: value for name, value in own.items() if value is not UNSET} | self.others

    def with_content(self, content: Mapping[str, Any]) -> Self:
        """The same object with another content."""
        rest = dict(content)
        spec, status = rest.pop("spec", UNSET), rest.pop("status", UNSET)
        return replace(self, spec=spec, status=status, others=rest)


class Condition(Model, frozen=True, kw_only=True):
    """One aspect of an object's state.

    Attributes:
        status: ``True``, ``False`` or ``Unknown``.
        last_update_time: Deployments only; when it was last looked at and changed.
        last_probe_time: Pods only, and never set here.
        last_heartbeat_time: Nodes only; when the node last reported.
    """

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: Time = ""
    last_update_time: Time = ""
    last_heartbeat_time: Time = ""
    last_probe_time: Time = ""
    observed_generation: int = 0


def condition(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """The condition of that type."""
    return next((found for found in conditions if found.type == type_), None)


def is_true(conditions: Iterable[Condition], type_: str) -> bool:
    """Whether the condition of that type is there and True."""
    found = condition(conditions, type_)
    return found is not None and found.status == "True"


def with_condition(conditions: Iterable[Condition], new: Condition) -> tuple[Condition, ...]:
    """The conditions with `new` in its place; its transition time is kept while its status is."""
    kept = tuple(conditions)
    old = condition(kept, new.type)
    if old is None:
        return (*kept, new)
    if old.status == new.status and old.last_transition_time:
        new = replace(new, last_transition_time=old.last_transition_time)
    return tuple(new if found.type == new.type else found for found in kept)


class LabelSelectorRequirement(Model, frozen=True, kw_only=True):
    """``key operator values``; operators In, NotIn, Exists, DoesNotExist (Gt, Lt for nodes)."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels satisfy it."""
        match self.operator:
            case "In":
                return self.key in labels and labels[self.key] in self.values
            case "NotIn":
                return self.key not in labels or labels[self.key] not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels
            case _:
                return False


class LabelSelector(Model, frozen=True, kw_only=True):
    """All of its terms must hold; an empty one selects everything."""

    IS_ATOMIC: ClassVar[bool] = True

    match_labels: dict[str, str] = {}
    match_expressions: tuple[LabelSelectorRequirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels satisfy every term."""
        for key, value in self.match_labels.items():  # all() takes twice as long, for every pod
            if labels.get(key) != value:
                return False
        return not self.match_expressions or all(
            term.matches(labels) for term in self.match_expressions
        )

    @property
    def is_empty(self) -> bool:
        """Whether it has no term, and so selects everything."""
        return not self.match_labels and not self.match_expressions


def format_selector(selector: LabelSelector | None) -> str:
    """The selector as kubectl writes it: ``app=web,tier in (a,b)``; ``<none>`` when empty."""
    if selector is None or selector.is_empty:
        return "<none>"
    terms = [f"{key}={value}" for key, value in sorted(selector.match_labels.items())]
    for term in selector.match_expressions:
        values = ",".join(sorted(term.values))
        terms.append(
            {
                "In": f"{term.key} in ({values})",
                "NotIn": f"{term.key} notin ({values})",
                "Exists": term.key,
                "DoesNotExist": f"!{term.key}",
            }.get(term.operator, term.key)
        )
    return ",".join(terms)


def format_time(ms: int) -> str:
    """Epoch milliseconds as RFC 3339 text with whole seconds.

    >>> format_time(0)
    '1970-01-01T00:00:00Z'
    """
    return _format_seconds(ms // 1000)


def format_time_ms(ms: int) -> str:
    """The same with milliseconds, for what happens often enough to be told apart by them.

    >>> format_time_ms(1002)
    '1970-01-01T00:00:01.002Z'
    """
    return f"{_format_seconds(ms // 1000)[:-1]}.{ms % 1000:03}Z"


@lru_cache(maxsize=64)  # what is written within one second has one time
def _format_seconds(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time_ms(text: str) -> int:
    """RFC 3339 text as epoch milliseconds.

    Raises:
        ValueError: It is not a time.

    >>> parse_time_ms("1970-01-01T00:00:02Z")
    2000
    """
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return int(moment.timestamp() * 1000)
