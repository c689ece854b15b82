"""What becomes of a CustomResourceDefinition: its names accepted, its kind served, and its end.

Source of conditions and words: apiextensions-apiserver, pkg/controller/status,
pkg/controller/establish and pkg/controller/finalizer.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from orchestrator.core.decisions import Decision, Plan, Remove, Update, UpdateStatus
from proto.kinds.definition import (
    DEFINITIONS,
    ESTABLISHED,
    FINALIZER,
    NAMES_ACCEPTED,
    TERMINATING,
    CustomResourceDefinition,
    DefinitionStatus,
    Names,
    storage_version,
)
from proto.kinds.kind import Kind
from proto.meta import (
    Condition,
    CustomResource,
    condition,
    format_time,
    is_true,
    with_condition,
)

Content = tuple[Kind[Any], CustomResource]


def plan(
    definition: CustomResourceDefinition,
    taken: Sequence[Names],
    contents: Sequence[Content],
    now_ms: int,
) -> Plan:
    """Accept its names and serve it; when it is being deleted, its objects go first.

    Args:
        definition: Present.
        taken: Names that others have in its group.
        contents: Its objects, with their kind.
        now_ms: Epoch milliseconds.
    """
    if definition.metadata.deletion_timestamp:
        return Plan(tuple(_ended(definition, contents, now_ms)))
    status = _status(definition, taken, now_ms)
    if status == definition.status:
        return Plan()
    changed = replace(definition, status=status)
    established = condition(status.conditions, ESTABLISHED)
    return Plan((UpdateStatus(DEFINITIONS, changed, established.message if established else ""),))


def _ended(
    definition: CustomResourceDefinition, contents: Sequence[Content], now_ms: int
) -> Iterator[Decision]:
    for kind, found in sorted(
        contents, key=lambda c: (c[1].metadata.namespace, c[1].metadata.name)
    ):
        if not found.metadata.deletion_timestamp:
            yield Remove(kind, found, f"its definition {definition.metadata.name} is being deleted")
    conditions = definition.status.conditions
    if not is_true(conditions, TERMINATING):
        told = _condition(
            TERMINATING,
            "True",
            "InstanceDeletionInProgress",
            "CustomResource deletion is in progress",
            now_ms,
        )
        status = replace(definition.status, conditions=with_condition(conditions, told))
        yield UpdateStatus(DEFINITIONS, replace(definition, status=status), told.message)
    elif not contents and FINALIZER in definition.metadata.finalizers:
        kept = tuple(name for name in definition.metadata.finalizers if name != FINALIZER)
        meta = replace(definition.metadata, finalizers=kept)
        yield Update(DEFINITIONS, replace(definition, metadata=meta), "none of its objects is left")


def _status(
    definition: CustomResourceDefinition, taken: Sequence[Names], now_ms: int
) -> DefinitionStatus:
    old = definition.status
    names: Names | None = definition.spec.names
    clash = _clash(definition.spec.names, taken)
    if clash:
        accepted = _condition(NAMES_ACCEPTED, "False", *clash, now_ms)
        names = old.accepted_names
    else:
        accepted = _condition(NAMES_ACCEPTED, "True", "NoConflicts", "no conflicts found", now_ms)
    # What is served already goes on under its old names.
    if clash and not is_true(old.conditions, ESTABLISHED):
        why = "not all names are accepted"
        established = _condition(ESTABLISHED, "False", "NotAccepted", why, now_ms)
    else:
        why = "the initial names have been accepted"
        established = _condition(ESTABLISHED, "True", "InitialNamesAccepted", why, now_ms)
    conditions = with_condition(with_condition(old.conditions, accepted), established)
    stored = storage_version(definition)
    versions = old.stored_versions
    if stored not in versions:
        versions = (*versions, stored)
    return DefinitionStatus(conditions=conditions, accepted_names=names, stored_versions=versions)


def _clash(names: Names, taken: Iterable[Names]) -> tuple[str, str] | None:
    """Reason and message, when somebody has one of these names."""
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in taken:
        resources |= {other.plural, other.singular, *other.short_names}
        kinds |= {other.kind, other.list_kind}
    asked = (
        ("PluralConflict", (names.plural,), resources),
        ("SingularConflict", (names.singular,), resources),
        ("ShortNamesConflict", names.short_names, resources),
        ("KindConflict", (names.kind,), kinds),
        ("ListKindConflict", (names.list_kind,), kinds),
    )
    for reason, mine, theirs in asked:
        for name in mine:
            if name in theirs:
                return reason, f'"{name}" is already in use'
    return None


def _condition(type_: str, status: str, reason: str, message: str, now_ms: int) -> Condition:
    return Condition(
        type=type_,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=format_time(now_ms),
    )
