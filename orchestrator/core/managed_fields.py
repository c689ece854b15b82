"""Who owns which fields: what a write makes of metadata.managedFields, and server-side apply.

A write by ``Update`` gives what it changes to its manager and takes it from all others. An
``Apply`` says everything its manager wants: it owns that, and that alone; a field which another
owns with another value is a conflict, unless forced; one that it applied before, leaves out now
and nobody else owns is removed.

An object without managed fields is not tracked until it is applied to: then all it holds belongs to
the manager ``before-first-apply``. What the control plane makes is such (docs/decisions/0010).

Source: Kubernetes, "Server-Side Apply", and apimachinery, util/managedfields.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Raw, Struct
from msgspec.structs import replace

from orchestrator.core import field_sets
from orchestrator.core.field_sets import NO_FIELDS, Fields, Path
from orchestrator.core.schema import Shape
from proto.errors import ApplyConflict, BadRequest, FieldError, Invalid
from proto.meta import ManagedFieldsEntry, Resource, format_time

APPLY = "Apply"
UPDATE = "Update"
FIELDS_V1 = "FieldsV1"
BEFORE_FIRST_APPLY = "before-first-apply"
ANCIENT_CHANGES = "ancient-changes"

UPDATERS_MAX = 10
"""Managers by Update an object keeps apart. Source: apimachinery, DefaultMaxUpdateManagers."""

NAME_BYTES_MAX = 128
"""Of a manager. Source: apimachinery, FieldManagerMaxLength."""

_SYSTEM_METADATA = frozenset(
    {
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "managedFields",
    }
)
_SYSTEM: Fields = frozenset(("f:metadata", f"f:{name}") for name in _SYSTEM_METADATA) | {
    ("f:apiVersion",),
    ("f:kind",),
    ("f:metadata",),
}
"""What nobody owns. Source: apimachinery, stripmeta.go."""


class Manager(Struct, frozen=True):
    """Who writes, and how.

    Attributes:
        name: Of the program.
        operation: ``Apply`` or ``Update``.
        api_version: That it names fields in; an applier is the same whichever it uses.
        subresource: ``status`` or ``scale``; empty for the object itself.
    """

    name: str
    operation: str
    api_version: str
    subresource: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """What makes it the same manager."""
        version = "" if self.operation == APPLY else self.api_version
        return self.name, self.operation, version, self.subresource

    def __str__(self) -> str:
        text = f'"{self.name}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return text if self.operation == APPLY else f"{text} using {self.api_version}"


class _Owner(Struct, frozen=True):
    manager: Manager
    fields: Fields
    time: str


_Owners = dict[tuple[str, ...], _Owner]


def named(manager: str, user_agent: str) -> str:
    """The manager that a request names, or else the first word of its user agent.

    >>> named("", "kubectl/v1.32.0 (linux/amd64)"), named("me", "curl/8")
    ('kubectl', 'me')
    """
    if manager:
        return manager
    first = "".join(c for c in user_agent.partition("/")[0] if c.isprintable())
    return first.encode()[:NAME_BYTES_MAX].decode(errors="ignore")


def name_errors(manager: str) -> list[FieldError]:
    """What is wrong with a field manager's name. Source: apimachinery, ValidateFieldManager."""
    errors = []
    if len(manager.encode(errors="replace")) > NAME_BYTES_MAX:
        said = f"Too long: may not be more than {NAME_BYTES_MAX} bytes"
        errors.append(FieldError("FieldValueTooLong", "fieldManager", said))
    if not manager.isprintable():
        said = "Invalid value: should only contain printable characters"
        errors.append(FieldError("FieldValueInvalid", "fieldManager", said))
    return errors


def is_reset(entries: Sequence[ManagedFieldsEntry]) -> bool:
    """Whether a client asks to forget all owners: one empty entry, ``[{}]``."""
    return len(entries) == 1 and entries[0] == ManagedFieldsEntry()


def check(kind: str, name: str, entries: Sequence[ManagedFieldsEntry]) -> None:
    """Refuse entries that mean nothing.

    Raises:
        Invalid: With every wrong field.
    """
    errors = []
    for index, entry in enumerate(entries):
        at = f"metadata.managedFields[{index}]"
        if entry.operation not in (APPLY, UPDATE):
            errors.append(
                FieldError(
                    "FieldValueInvalid",
                    f"{at}.operation",
                    f'Invalid value: "{entry.operation}": must be `Apply` or `Update`',
                )
            )
        if entry.fields_type not in ("", FIELDS_V1):
            errors.append(
                FieldError(
                    "FieldValueInvalid",
                    f"{at}.fieldsType",
                    f'Invalid value: "{entry.fields_type}": must be `FieldsV1`',
                )
            )
        if len(entry.manager.encode()) > NAME_BYTES_MAX:
            errors.append(
                FieldError(
                    "FieldValueInvalid",
                    f"{at}.manager",
                    f"Too long: may not be more than {NAME_BYTES_MAX} bytes",
                )
            )
    if errors:
        raise Invalid(kind, name, errors)


def made(
    new: Mapping[str, Any], shape: Shape, manager: Manager, now_ms: int
) -> tuple[ManagedFieldsEntry, ...]:
    """The owners of a new object: all it holds belongs to who makes it.

    Args:
        new: The object as plain JSON.
        shape: Of it.
        manager: Who makes it.
        now_ms: Epoch milliseconds.
    """
    document = {name: value for name, value in new.items() if name not in ("apiVersion", "kind")}
    metadata = document.pop("metadata", {})
    own = {name: value for name, value in metadata.items() if name not in _SYSTEM_METADATA}
    if own:
        document["metadata"] = own
    if not document:
        return ()
    return (_entry(manager, format_time(now_ms), field_sets.whole(document, shape)),)


def updated(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    shape: Shape,
    entries: Sequence[ManagedFieldsEntry],
    manager: Manager,
    now_ms: int,
) -> tuple[ManagedFieldsEntry, ...]:
    """The owners after an update.

    Args:
        old: The object before, as plain JSON.
        new: The object after.
        shape: Of both.
        entries: The owners before; none, for an object that was there, means that it is not
            tracked.
        manager: Who updates.
        now_ms: Epoch milliseconds.
    """
    if not entries:
        return ()
    before, after = _ownable(old, shape), _ownable(new, shape)
    changed, removed = _compared(before, after)
    if not changed and not removed:
        return tuple(entries)
    owners = _taken(_read(entries), changed | removed)
    if changed:
        mine = owners.get(manager.key)
        fields = changed | (mine.fields if mine else NO_FIELDS)
        owners[manager.key] = _Owner(manager, fields, format_time(now_ms))
    return _written(_capped(owners).values())


def applied(
    live: Mapping[str, Any],
    config: Mapping[str, Any],
    shape: Shape,
    entries: Sequence[ManagedFieldsEntry],
    manager: Manager,
    *,
    force: bool,
    now_ms: int,
) -> tuple[dict[str, Any], tuple[ManagedFieldsEntry, ...]]:
    """The object and its owners after server-side apply.

    Args:
        live: The object as plain JSON, without its managed fields; empty when it is to be made.
        config: What is applied: plain JSON, without nulls.
        shape: Of both.
        entries: The owners before.
        manager: Who applies.
        force: Take over what others own.
        now_ms: Epoch milliseconds.

    Raises:
        ApplyConflict: Others own fields with other values.
        BadRequest: A list's items cannot be told apart.
    """
    owners = _read(entries)
    if live and not owners:
        before = Manager(BEFORE_FIRST_APPLY, UPDATE, manager.api_version)
        owners = {before.key: _Owner(before, frozenset(_ownable(live, shape)), format_time(now_ms))}
    last = owners.get(manager.key)
    fields = frozenset(_ownable(config, shape, is_strict=True))
    time = last.time if last and last.fields == fields else format_time(now_ms)
    owners[manager.key] = _Owner(manager, fields, time)

    laid = field_sets.merged(live, config, shape)
    if last is not None:
        kept = field_sets.with_parents(NO_FIELDS.union(*(o.fields for o in owners.values())))
        doomed = (last.fields - kept).intersection(field_sets.leaves(laid, shape))
        laid = field_sets.without(laid, shape, doomed)
    changed, removed = _compared(_ownable(live, shape), _ownable(laid, shape))

    others = {key: owner for key, owner in owners.items() if key != manager.key}
    conflicts = [
        (owner.manager, path)
        for owner in others.values()
        for path in sorted(owner.fields & changed)
    ]
    if conflicts and not force:
        raise _conflict(conflicts)
    owners = _taken(others, changed | removed)
    if fields:
        owners[manager.key] = _Owner(manager, fields, time)
    return laid, _written(_capped(owners).values())


def touched(
    entries: Sequence[ManagedFieldsEntry], manager: Manager, now_ms: int
) -> tuple[ManagedFieldsEntry, ...]:
    """The entries with the manager's time brought up to now."""
    now = format_time(now_ms)
    return tuple(
        replace(entry, time=now) if _manager_of(entry).key == manager.key else entry
        for entry in entries
    )


def chosen(
    kind: str,
    old: Resource,
    asked: Sequence[ManagedFieldsEntry],
) -> tuple[ManagedFieldsEntry, ...]:
    """The owners that an update starts from: those it sends along, if they mean anything.

    A client that knows nothing of them and sends none, or an empty list, does not remove them;
    that takes ``[{}]``.

    Raises:
        Invalid: With every wrong field of what it sends.
    """
    kept = old.metadata.managed_fields
    if not asked or tuple(asked) == kept:
        return kept
    if is_reset(asked):
        return ()
    check(kind, old.metadata.name, asked)
    return tuple(asked) if _read(asked) else kept


def _ownable(
    document: Mapping[str, Any], shape: Shape, *, is_strict: bool = False
) -> dict[Path, Any]:
    found = field_sets.leaves(document, shape, is_strict=is_strict)
    return {path: value for path, value in found.items() if path[:2] not in _SYSTEM}


def _compared(before: Mapping[Path, Any], after: Mapping[Path, Any]) -> tuple[Fields, Fields]:
    """(what is new or has another value, what is gone)."""
    changed = frozenset(
        path for path, value in after.items() if path not in before or before[path] != value
    )
    return changed, frozenset(before.keys() - after.keys())


def _taken(owners: _Owners, fields: Fields) -> _Owners:
    """The owners without these fields; whoever has none left is none."""
    left = {
        key: replace(owner, fields=owner.fields - fields) if owner.fields & fields else owner
        for key, owner in owners.items()
    }
    return {key: owner for key, owner in left.items() if owner.fields}


def _capped(owners: _Owners) -> _Owners:
    """The oldest updaters beyond the limit become one for each version of the API."""
    updaters = [owner for owner in owners.values() if owner.manager.operation == UPDATE]
    excess = len(updaters) - UPDATERS_MAX
    if excess <= 0:
        return owners
    found = dict(owners)
    for owner in sorted(updaters, key=lambda owner: (owner.time, owner.manager.key)):
        if excess <= 0:
            break
        bucket = Manager(ANCIENT_CHANGES, UPDATE, owner.manager.api_version)
        if owner.manager.key == bucket.key:
            continue
        del found[owner.manager.key]
        old = found.get(bucket.key)
        fields = owner.fields | (old.fields if old else NO_FIELDS)
        found[bucket.key] = _Owner(bucket, fields, owner.time)
        excess -= 1 if old else 0
    return found


def _read(entries: Iterable[ManagedFieldsEntry]) -> _Owners:
    """By manager; what cannot be read owns nothing."""
    found: _Owners = {}
    for entry in entries:
        manager = _manager_of(entry)
        try:
            fields = field_sets.decode(entry.fields_v1)
        except BadRequest:
            continue
        if fields:
            found[manager.key] = _Owner(manager, fields, entry.time)
    return found


def _manager_of(entry: ManagedFieldsEntry) -> Manager:
    return Manager(entry.manager, entry.operation, entry.api_version, entry.subresource)


def _written(owners: Iterable[_Owner]) -> tuple[ManagedFieldsEntry, ...]:
    """Appliers first, each group from the oldest on. Source: sortEncodedManagedFields."""

    def place(owner: _Owner) -> tuple[str, ...]:
        who = owner.manager
        return who.operation, owner.time, who.name, who.api_version, who.subresource

    return tuple(
        _entry(owner.manager, owner.time, field_sets.encode(owner.fields))
        for owner in sorted(owners, key=place)
    )


def _entry(manager: Manager, time: str, fields: Raw) -> ManagedFieldsEntry:
    return ManagedFieldsEntry(
        manager=manager.name,
        operation=manager.operation,
        api_version=manager.api_version,
        time=time,
        fields_type=FIELDS_V1,
        fields_v1=fields,
        subresource=manager.subresource,
    )


def _conflict(conflicts: Sequence[tuple[Manager, Path]]) -> ApplyConflict:
    """Source of the words: apimachinery, internal/conflict.go; kubectl prints them as they are."""
    causes = [
        FieldError("FieldManagerConflict", field_sets.say(path), f"conflict with {manager}")
        for manager, path in conflicts
    ]
    if len(causes) == 1:
        said = f"Apply failed with 1 conflict: {causes[0].message}: {causes[0].field}"
        return ApplyConflict(said, causes)
    lines: list[str] = []
    for manager in sorted({str(manager) for manager, _ in conflicts}):
        lines.append(f"conflicts with {manager}:")
        lines += [f"- {field_sets.say(p)}" for owner, p in conflicts if str(owner) == manager]
    text = "\n".join(lines)
    return ApplyConflict(f"Apply failed with {len(causes)} conflicts: {text}", causes)
