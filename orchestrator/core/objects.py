"""What a write does to an object, the same for every kind and every way in.

Source of the rules: Kubernetes, apiserver's registry/rest (create.go, update.go, delete.go).
"""

from typing import Any, TypeVar

from msgspec.structs import replace

from proto.errors import BadRequest, Conflict, Invalid
from proto.kinds import validation
from proto.kinds.kind import Kind
from proto.kinds.namespace import NAMESPACES
from proto.kinds.pod import PODS, is_terminated
from proto.meta import Resource, format_time

R = TypeVar("R", bound=Resource)

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
"""Finalizers of an owner: its dependents go first, or stay without it."""

GENERATED_BASE_MAX = 58
"""Characters kept of a generateName: with the suffix of five, a label of 63."""


def prepare_create(
    kind: Kind[R], new: R, *, uid: str, suffix: str, now_ms: int, keep_status: bool = False
) -> R:
    """The object as it is stored first.

    Args:
        kind: Its kind.
        new: As the client sent it.
        uid: For it.
        suffix: Completes a generateName.
        now_ms: Epoch milliseconds.
        keep_status: The control plane's own creations may bring a status; a client's may not.

    Raises:
        Invalid: With every wrong field.
    """
    meta = new.metadata
    name = meta.name
    if not name and meta.generate_name:
        name = meta.generate_name[:GENERATED_BASE_MAX] + suffix
    new = replace(
        new,
        api_version=kind.api_version,
        kind=kind.name,
        metadata=replace(
            meta,
            name=name,
            namespace=meta.namespace if kind.is_namespaced else "",
            uid=uid,
            resource_version="",
            generation=1 if hasattr(new, "spec") else 0,
            creation_timestamp=format_time(now_ms),
            deletion_timestamp="",
            deletion_grace_period_seconds=None,
        ),
    )
    if kind.has_status and not keep_status:
        new = _with_status(new, type(_status(new))())
    new = kind.defaults(new)
    _check(kind, new, None)
    return new


def prepare_update(kind: Kind[R], old: R, new: R, *, subresource: str = "") -> R:
    """The object as it is stored next; `old` itself when nothing changes.

    Args:
        kind: Its kind.
        old: As it is.
        new: As the client wants it. Its resourceVersion is not looked at here.
        subresource: ``status`` changes the status only; empty, everything else.

    Raises:
        Conflict: It is about another object of the same name.
        Invalid: With every wrong field.
        BadRequest: It names another object.
    """
    meta = new.metadata
    if meta.uid and meta.uid != old.metadata.uid:
        raise Conflict(
            f'Operation cannot be fulfilled on {kind.resource} "{old.metadata.name}": Precondition '
            f"failed: UID in precondition: {meta.uid}, UID in object meta: {old.metadata.uid}"
        )
    if meta.name not in ("", old.metadata.name):
        raise BadRequest(
            f"the name of the object ({meta.name}) does not match the name on the URL "
            f"({old.metadata.name})"
        )
    if subresource == "status":
        found = kind.defaults(_with_status(old, _status(new)))
        return old if found == old else found
    found = replace(
        new,
        api_version=kind.api_version,
        kind=kind.name,
        metadata=replace(
            old.metadata,
            labels=meta.labels,
            annotations=meta.annotations,
            owner_references=meta.owner_references,
            finalizers=_finalizers(old, new),
            managed_fields=meta.managed_fields,
        ),
    )
    if kind.has_status:
        found = _with_status(found, _status(old))
    found = kind.defaults(found)
    if found == old:
        return old
    if _rest(found) != _rest(old):
        generation = old.metadata.generation + 1
        found = replace(found, metadata=replace(found.metadata, generation=generation))
    _check(kind, found, old)
    return found


def prepare_delete(
    kind: Kind[R],
    old: R,
    *,
    grace_s: int | None = None,
    propagation: str = "",
    now_ms: int,
) -> R | None:
    """The object on its way out, waiting for whoever must confirm; None when it may go at once.

    Args:
        kind: Its kind.
        old: As it is.
        grace_s: Seconds for a graceful end; None: the object's own; 0: waiting for nobody but
            finalizers.
        propagation: ``Background`` (or empty), ``Foreground`` or ``Orphan``.
        now_ms: Epoch milliseconds.
    """
    meta = old.metadata
    finalizers = meta.finalizers
    wanted = {"Foreground": FOREGROUND, "Orphan": ORPHAN}.get(propagation)
    if wanted is not None and wanted not in finalizers:
        finalizers = (*finalizers, wanted)
    grace = _grace(kind, old, grace_s)
    if meta.deletion_timestamp and meta.deletion_grace_period_seconds is not None:
        grace = min(grace, meta.deletion_grace_period_seconds)
    if grace == meta.deletion_grace_period_seconds and meta.deletion_timestamp:
        since = meta.deletion_timestamp
    else:
        since = format_time(now_ms + grace * 1000)
    marked = kind.defaults(
        replace(
            old,
            metadata=replace(
                meta,
                finalizers=finalizers,
                deletion_timestamp=since,
                deletion_grace_period_seconds=grace,
            ),
        )
    )
    if is_finished(kind, marked):
        return None
    return old if marked == old else marked


def is_finished(kind: Kind[Any], found: Resource) -> bool:
    """Whether an object that is being deleted waits for nobody any more."""
    meta = found.metadata
    if not meta.deletion_timestamp or meta.finalizers:
        return False
    if kind is NAMESPACES:
        return not getattr(found, "spec").finalizers  # noqa: B009  known by its kind only
    return not kind.is_deleted_gracefully or not meta.deletion_grace_period_seconds


def _grace(kind: Kind[Any], old: Any, grace_s: int | None) -> int:
    """Seconds; 0 where nobody has to stop anything."""
    if kind is not PODS or not old.spec.node_name or is_terminated(old):
        return 0
    if grace_s is not None:
        return max(0, grace_s)
    own: int | None = old.spec.termination_grace_period_seconds
    return 30 if own is None else own


def _finalizers(old: Resource, new: Resource) -> tuple[str, ...]:
    """On its way out, an object gets no new finalizers."""
    if not old.metadata.deletion_timestamp:
        return new.metadata.finalizers
    return tuple(name for name in new.metadata.finalizers if name in old.metadata.finalizers)


def _status(found: Any) -> Any:
    return found.status


def _with_status(found: R, status: Any) -> R:
    return replace(found, status=status)


def _rest(found: Resource) -> dict[str, Any]:
    """Everything that makes a new generation."""
    return {
        name: getattr(found, name)
        for name in found.__struct_fields__
        if name not in ("api_version", "kind", "metadata", "status")
    }


def _check(kind: Kind[R], new: R, old: R | None) -> None:
    errors = validation.metadata(
        new.metadata,
        is_namespaced=kind.is_namespaced,
        name_is_label=kind is NAMESPACES,
    )
    errors += kind.validate(new, old)
    if errors:
        unique = list(dict.fromkeys(errors))
        raise Invalid(kind.name, new.metadata.name or new.metadata.generate_name, unique)
