"""What a write makes of an object, the same for every kind and every way in.

The API, the deploy intake and the controllers all prepare their writes here, so that what is stored
is always complete and valid. Source of the rules: Kubernetes, apiserver's registry (rest/create.go,
rest/update.go, rest/delete.go) and the strategies of the kinds.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

from msgspec.structs import FieldInfo, fields, replace

from orchestrator.core import managed_fields, schedule, schema
from orchestrator.core.custom import declared
from orchestrator.core.managed_fields import Manager
from proto import codec
from proto.errors import BadRequest, Conflict, FieldError, Forbidden, Invalid
from proto.kinds import validation
from proto.kinds.cronjob import CronJob
from proto.kinds.definition import CustomResourceDefinition
from proto.kinds.kind import Kind
from proto.kinds.namespace import Namespace
from proto.kinds.node import NODES
from proto.kinds.pod import Pod, is_terminated
from proto.kinds.statefulset import is_one_of_a_kind
from proto.meta import (
    CustomResource,
    ManagedFieldsEntry,
    ObjectMeta,
    Resource,
    condition,
    format_time,
    parse_time_ms,
)

R = TypeVar("R", bound=Resource)

GENERATE_NAME_MAX = 58
"""Characters kept of a generateName; with the suffix's five it is a label. Source: names.go."""

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
CONTENT_REMAINING = "NamespaceContentRemaining"
"""Condition of a namespace being deleted; False once nothing is left in it."""

_FINALIZER_OF = {"Foreground": FOREGROUND, "Orphan": ORPHAN}
_DEFAULT_GRACE_S = 30
_GRACE_MAX_S = 2**31 - 1
"""Longer waits mean for ever just as well, and lead beyond the calendar."""
_DEFAULTED_NAMESPACE = "default"


def _unchanged(found: Any) -> Any:
    return found


def prepare_create(
    kind: Kind[R],
    new: R,
    *,
    uid: str,
    suffix: str,
    now_ms: int,
    manager: Manager | None = None,
    admit: Callable[[R], R] = _unchanged,
) -> R:
    """The object as it is to be stored: named, identified, defaulted and valid.

    Args:
        kind: Of the object.
        new: As asked for.
        uid: Its identity from now on.
        suffix: Random letters that make a generateName unique.
        now_ms: Epoch milliseconds.
        manager: Who makes it, and so owns its fields; None: nobody keeps track of them.
        admit: Completes it by what the rest of the cluster says; see `core.admission`.

    Raises:
        Invalid: With every wrong field.
    """
    asked = new.metadata
    meta = ObjectMeta(
        name=asked.name
        or (asked.generate_name and asked.generate_name[:GENERATE_NAME_MAX] + suffix),
        generate_name=asked.generate_name,
        namespace=(asked.namespace or _DEFAULTED_NAMESPACE) if kind.is_namespaced else "",
        uid=uid,
        generation=1 if _has(kind, "spec") else 0,
        creation_timestamp=format_time(now_ms),
        labels=asked.labels,
        annotations=asked.annotations,
        owner_references=asked.owner_references,
        finalizers=asked.finalizers,
    )
    found = replace(new, api_version=kind.api_version, kind=kind.name, metadata=meta)
    # A node joins with its description.
    if kind.has_status and _has(kind, "status") and kind is not NODES:
        found = replace(found, status=_empty_status(kind))
    found = kind.defaults(found)
    if (admitted := admit(found)) is not found:
        found = kind.defaults(admitted)
    _check(kind, found, None)
    if manager is None:
        return found
    owners = asked.managed_fields
    if manager.operation == managed_fields.UPDATE:
        bare = codec.to_plain(_owned(found, ()))
        owners = managed_fields.made(bare, schema.of(kind), manager, now_ms)
    return _owned(found, owners)


def prepare_update(
    kind: Kind[R],
    old: R,
    new: R,
    *,
    subresource: str,
    now_ms: int,
    manager: Manager | None = None,
    admit: Callable[[R], R] = _unchanged,
) -> R:
    """The object as it is to be stored; `old` itself when nothing changes.

    The result may be finished (see `is_finished`): then it is to be removed, not stored.

    Args:
        kind: Of the object.
        old: As it is.
        new: As asked for; what this subresource may not change is ignored.
        subresource: Empty for the object itself, ``status``, ``scale``, ``binding`` or
            ``finalize`` and so on.
        now_ms: Epoch milliseconds.
        manager: Who writes; None: the fields stay whose they are. What an apply makes of their
            owners comes with `new`.
        admit: Completes it by what the rest of the cluster says; see `core.admission`.

    Raises:
        Conflict: `new` is meant for an earlier object of that name.
        Invalid: With every wrong field.
    """
    if new.metadata.uid not in ("", old.metadata.uid):
        raise Conflict(
            f'Operation cannot be fulfilled on {kind.resource} "{old.metadata.name}": Precondition '
            f"failed: UID in precondition: {new.metadata.uid}, UID in object meta: "
            f"{old.metadata.uid}"
        )
    found = kind.defaults(admit(_merged(kind, old, new, subresource)))
    if manager is not None and manager.operation == managed_fields.UPDATE:
        found = _tracked(kind, old, found, new, manager, now_ms)
    elif manager is not None:
        found = _owned(found, new.metadata.managed_fields)
    if found == old:
        return old
    if manager is not None and manager.operation == managed_fields.APPLY:
        owners = managed_fields.touched(found.metadata.managed_fields, manager, now_ms)
        found = _owned(found, owners)
    if _is_wanted_otherwise(kind, old, found):
        meta = replace(found.metadata, generation=old.metadata.generation + 1)
        found = replace(found, metadata=meta)
    _check(kind, found, old, subresource)
    return found


def plain(found: Resource) -> dict[str, Any]:
    """The object as a client's JSON library would hold it, without its managed fields."""
    decoded: dict[str, Any] = codec.decode_any(codec.encode(_owned(found, ())))
    return decoded


def _owned(found: R, owners: tuple[ManagedFieldsEntry, ...]) -> R:
    if found.metadata.managed_fields == owners:
        return found
    return replace(found, metadata=replace(found.metadata, managed_fields=owners))


def _tracked(kind: Kind[R], old: R, found: R, asked: R, manager: Manager, now_ms: int) -> R:
    """`found` with the owners that an update leaves."""
    owners = old.metadata.managed_fields
    if not manager.subresource:  # a part of an object has no say in it
        owners = managed_fields.chosen(kind.name, old, asked.metadata.managed_fields)
    if owners and found != old:
        shape = schema.of(kind)
        before, after = plain(old), plain(found)
        owners = managed_fields.updated(before, after, shape, owners, manager, now_ms)
    return _owned(found, owners)


def prepare_delete(
    kind: Kind[R], old: R, *, grace_s: int | None, propagation: str, now_ms: int
) -> R | None:
    """The object marked for deletion (`old` itself when it is already); None: remove it now.

    Args:
        kind: Of the object.
        old: As it is.
        grace_s: Seconds a pod gets to stop; None: its own. Of no consequence to other kinds.
        propagation: What becomes of its dependents: ``Background``, ``Foreground``, ``Orphan``, or
            empty to leave it as an earlier delete said (Background at first).
        now_ms: Epoch milliseconds.

    Raises:
        BadRequest: There is no such propagation policy.
        Forbidden: A cluster cannot be without it.
    """
    meta = old.metadata
    if meta.name in kind.permanent:
        raise Forbidden(
            f'{kind.resource} "{meta.name}" is forbidden: this {kind.singular} may not be deleted'
        )
    finalizers = _propagated(meta.finalizers, propagation)
    grace = _grace_s(old, grace_s) if kind.is_deleted_gracefully else 0
    is_marked = bool(meta.deletion_timestamp)
    if is_marked:
        grace = min(grace, meta.deletion_grace_period_seconds or 0)
    if not grace and not finalizers and not _own_finalizers(old):
        return None
    marked = replace(
        meta,
        finalizers=finalizers,
        deletion_grace_period_seconds=grace,
        deletion_timestamp=_deadline(meta, grace, now_ms),
        generation=meta.generation if is_marked or not meta.generation else meta.generation + 1,
    )
    found = kind.defaults(replace(old, metadata=marked))
    return old if found == old else found


def is_finished(found: Resource) -> bool:
    """Whether it is marked for deletion and nobody need agree or stop anything any more."""
    meta = found.metadata
    waits = meta.finalizers or _own_finalizers(found) or meta.deletion_grace_period_seconds
    return bool(meta.deletion_timestamp) and not waits


def _is_wanted_otherwise(kind: Kind[R], old: R, new: R) -> bool:
    """Whether the change is one of the spec; of a custom kind: of anything but its status."""
    if isinstance(new, CustomResource) and isinstance(old, CustomResource):
        before = replace(old, status=new.status) if kind.has_status else old
        return new.content != before.content
    return _has(kind, "spec") and bool(cast("Any", new).spec != cast("Any", old).spec)


@cache  # msgspec reads the annotations anew each time, at the price of a whole write
def _fields(kind: Kind[Any]) -> dict[str, FieldInfo]:
    return {found.name: found for found in fields(kind.type)}


def _has(kind: Kind[Any], name: str) -> bool:
    return name in _fields(kind)


def _empty_status(kind: Kind[Any]) -> Any:
    return _fields(kind)["status"].default


def _merged(kind: Kind[R], old: R, new: R, subresource: str) -> R:
    """`old` with what this subresource may change taken from `new`."""
    if subresource == "status":
        return replace(old, status=cast("Any", new).status)
    if subresource == "scale" and isinstance(new, CustomResource):
        return replace(old, spec=new.spec)
    if subresource == "scale":
        spec = replace(cast("Any", old).spec, replicas=cast("Any", new).spec.replicas)
        return replace(old, spec=spec)
    if subresource == "binding":
        spec = replace(cast("Any", old).spec, node_name=cast("Any", new).spec.node_name)
        return replace(old, spec=spec, status=cast("Any", new).status)
    if subresource == "ephemeralcontainers":
        added = cast("Any", new).spec.ephemeral_containers
        return replace(old, spec=replace(cast("Any", old).spec, ephemeral_containers=added))
    if subresource == "approval":
        conditions = cast("Any", new).status.conditions
        return replace(old, status=replace(cast("Any", old).status, conditions=conditions))
    if subresource == "finalize":
        return replace(old, spec=cast("Any", new).spec)
    meta = replace(
        old.metadata,
        labels=new.metadata.labels,
        annotations=new.metadata.annotations,
        owner_references=new.metadata.owner_references,
        finalizers=new.metadata.finalizers,
    )
    found = replace(new, api_version=old.api_version, kind=old.kind, metadata=meta)
    if kind.has_status:
        found = replace(found, status=cast("Any", old).status)
    if isinstance(found, Namespace) and isinstance(old, Namespace):
        return cast("R", _with_kept_finalizers(old, found))
    return found


def _with_kept_finalizers(old: Namespace, new: Namespace) -> Namespace:
    """A namespace lets go of its name only when it is known to be empty."""
    remaining = condition(old.status.conditions, CONTENT_REMAINING)
    if remaining is not None and remaining.status == "False":
        return new
    return replace(new, spec=replace(new.spec, finalizers=old.spec.finalizers))


def _check(kind: Kind[R], new: R, old: R | None, subresource: str = "") -> None:
    """Raises Invalid with every wrong field of those that the subresource may change."""
    errors = validation.metadata(
        new.metadata, is_namespaced=kind.is_namespaced, check_name=kind.check_name
    )
    check_part = kind.validate_part.get(subresource)
    found = check_part(new, old) if check_part and old is not None else kind.validate(new, old)
    errors += [error for error in found if error not in errors]
    if isinstance(new, CustomResourceDefinition) and not errors:
        errors += declared.mistakes(new)
    if isinstance(new, CronJob):
        errors += schedule.mistakes(new)
    if old is not None:
        errors += _late_finalizers(new, old)
    if subresource == "status":
        errors = [error for error in errors if error.field.startswith("status")]
    if errors:
        raise Invalid(kind.name, new.metadata.name or new.metadata.generate_name, errors)


def _late_finalizers(new: Resource, old: Resource) -> list[FieldError]:
    added = [name for name in new.metadata.finalizers if name not in old.metadata.finalizers]
    if not old.metadata.deletion_timestamp or not added:
        return []
    listed = ", ".join(f'"{name}"' for name in added)
    return [
        validation.forbidden(
            "metadata.finalizers",
            "no new finalizers can be added if the object is being deleted, found new finalizers "
            f"[]string{{{listed}}}",
        )
    ]


def _propagated(finalizers: tuple[str, ...], propagation: str) -> tuple[str, ...]:
    if propagation == "":
        return finalizers
    if propagation not in ("Background", *_FINALIZER_OF):
        raise BadRequest(
            f'invalid propagationPolicy "{propagation}": must be Background, Foreground or Orphan'
        )
    kept = tuple(name for name in finalizers if name not in _FINALIZER_OF.values())
    added = _FINALIZER_OF.get(propagation)
    return (*kept, added) if added else kept


def _grace_s(old: Resource, asked_s: int | None) -> int:
    """Seconds to stop; 0 for what runs nowhere, and so needs nobody's word.

    A pod whose name must not be there twice is gone only when its node says so: whoever deletes it
    without that word asks for 0 seconds, its own spec cannot.
    """
    if isinstance(old, Pod):
        if not old.spec.node_name or is_terminated(old):
            return 0
        own = old.spec.termination_grace_period_seconds
        default = _DEFAULT_GRACE_S if own is None else own
        if is_one_of_a_kind(old):
            default = max(1, default)
        asked_s = default if asked_s is None else asked_s
        return min(max(0, asked_s), _GRACE_MAX_S)
    return min(max(0, asked_s or 0), _GRACE_MAX_S)


def _deadline(meta: ObjectMeta, grace: int, now_ms: int) -> str:
    """When it should be gone: grace after the first delete, however often it is repeated."""
    if not meta.deletion_timestamp:
        return format_time(now_ms + grace * 1000)
    shortened_s = (meta.deletion_grace_period_seconds or 0) - grace
    return format_time(parse_time_ms(meta.deletion_timestamp) - shortened_s * 1000)


def _own_finalizers(found: Resource) -> tuple[str, ...]:
    """A namespace keeps its finalizers in its spec."""
    return found.spec.finalizers if isinstance(found, Namespace) else ()
