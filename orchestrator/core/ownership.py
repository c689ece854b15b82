"""Which objects belong to a controller: those it owns, plus matching ones nobody owns."""

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.core.decisions import Update
from proto.kinds.kind import Kind
from proto.meta import LabelSelector, OwnerReference, Resource

R = TypeVar("R", bound=Resource)


class Claim(Struct, Generic[R], frozen=True):
    """What a controller owns now, and the references to write so that it owns what it should.

    Attributes:
        owned: By creation, then name.
        writes: Adoptions and releases.
    """

    owned: tuple[R, ...]
    writes: tuple[Update, ...]


def selector_of(found: Any) -> LabelSelector:
    """What an object with a selector in its spec selects; an empty one when it has none."""
    by: LabelSelector | dict[str, str] | None = found.spec.selector
    if isinstance(by, dict):  # of a replication controller
        return LabelSelector(match_labels=by)
    return by or LabelSelector()


def reference(kind: Kind[Any], owner: Resource) -> OwnerReference:
    """The reference that a controller puts on what it makes."""
    return OwnerReference(
        api_version=kind.api_version,
        kind=kind.name,
        name=owner.metadata.name,
        uid=owner.metadata.uid,
        controller=True,
        block_owner_deletion=True,
    )


def age_key(resource: Resource) -> tuple[str, str]:
    """Sorts by creation, oldest first; names break ties."""
    return resource.metadata.creation_timestamp, resource.metadata.name


def claim(
    owner_kind: Kind[Any],
    owner: Resource,
    selector: LabelSelector,
    kind: Kind[R],
    candidates: Iterable[R],
) -> Claim[R]:
    """Tell what is owned, adopt matching orphans, release what matches no longer.

    Args:
        owner_kind: Of the controller.
        owner: The controller.
        selector: What it selects.
        kind: Of the candidates.
        candidates: Any superset of what is owned and of the matching orphans in the owner's
            namespace; others are left alone.
    """
    owned: list[R] = []
    writes: list[Update] = []
    uid = owner.metadata.uid
    for found in sorted(candidates, key=age_key):
        meta = found.metadata
        if meta.namespace != owner.metadata.namespace:
            continue
        controller = meta.controller
        matches = selector.matches(meta.labels)
        if controller is not None and controller.uid == uid:
            owned.append(found)
            if not matches and not meta.deletion_timestamp:
                owned.pop()
                writes.append(Update(kind, _without_owner(found, uid), "its labels match no more"))
        elif controller is None and matches and not _is_going(owner, found):
            writes.append(
                Update(kind, _with_owner(found, reference(owner_kind, owner)), "an orphan matches")
            )
    return Claim(tuple(owned), tuple(writes))


def _is_going(owner: Resource, found: Resource) -> bool:
    return bool(owner.metadata.deletion_timestamp or found.metadata.deletion_timestamp)


def _with_owner(found: R, owner: OwnerReference) -> R:
    meta = found.metadata
    others = tuple(other for other in meta.owner_references if other.uid != owner.uid)
    return replace(found, metadata=replace(meta, owner_references=(*others, owner)))


def _without_owner(found: R, uid: str) -> R:
    meta = found.metadata
    kept = tuple(other for other in meta.owner_references if other.uid != uid)
    return replace(found, metadata=replace(meta, owner_references=kept))
