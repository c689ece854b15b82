"""Which volume suits a claim.

Source of the rules: Kubernetes, pv_controller.go, and FindMatchingVolume in pkg/volume/util.
"""

from collections.abc import Iterable, Mapping

from proto import quantity
from proto.kinds.node import Node
from proto.kinds.persistentvolume import PersistentVolume
from proto.kinds.storage import (
    BIND_COMPLETED,
    SELECTED_NODE,
    PersistentVolumeClaim,
    StorageClass,
)
from proto.meta import LabelSelector


def is_bound(claim: PersistentVolumeClaim) -> bool:
    """Whether it has its volume, or had it."""
    return BIND_COMPLETED in claim.metadata.annotations


def is_mine(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """Whether the volume is kept for this very claim."""
    ref, meta = volume.spec.claim_ref, claim.metadata
    return (
        ref is not None
        and (ref.namespace, ref.name) == (meta.namespace, meta.name)
        and ref.uid in ("", meta.uid)
    )


def class_name(claim: PersistentVolumeClaim) -> str:
    """Of its class; empty: of none, as long as there is no default."""
    return claim.spec.storage_class_name or ""


def selected_node(claim: PersistentVolumeClaim) -> str:
    """Where the pod that uses it is to run; empty while that is not known."""
    return claim.metadata.annotations.get(SELECTED_NODE, "")


def default_class(classes: Iterable[StorageClass]) -> StorageClass | None:
    """The class of claims that name none: of several the newest, then the first by name."""
    found = sorted((c for c in classes if c.is_default), key=lambda c: c.metadata.name)
    return max(found, key=lambda c: c.metadata.creation_timestamp, default=None)


def size(amounts: Mapping[str, quantity.Quantity]) -> int:
    """Bytes of storage."""
    return quantity.whole(amounts.get("storage", 0))


def reaches(volume: PersistentVolume, node: Node) -> bool:
    """Whether the volume can be used on that node."""
    nodes, meta = volume.spec.nodes, node.metadata
    return nodes is None or nodes.matches(meta.name, meta.labels)


def mismatch(volume: PersistentVolume, claim: PersistentVolumeClaim) -> str:
    """Why the volume cannot be the claim's; empty when it can. Selectors apart."""
    if size(volume.spec.capacity) < size(claim.spec.resources.requests):
        return "requested PV is too small"
    if volume.spec.storage_class_name != class_name(claim):
        return "storageClassName does not match"
    if volume.spec.volume_mode != claim.spec.volume_mode:
        return "incompatible volumeMode"
    if not set(claim.spec.access_modes) <= set(volume.spec.access_modes):
        return "incompatible accessMode"
    return ""


def suits(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """Whether it may be given to the claim: it is nobody's, and has all that is wanted."""
    return (
        volume.spec.claim_ref is None
        and not volume.metadata.deletion_timestamp
        and volume.status.phase not in ("Released", "Failed")
        and not mismatch(volume, claim)
        and (claim.spec.selector or LabelSelector()).matches(volume.metadata.labels)
    )


def best(
    claim: PersistentVolumeClaim,
    volumes: Iterable[PersistentVolume],
    node: Node | None,
    *,
    is_waiting: bool,
) -> PersistentVolume | None:
    """The one that is kept for the claim, or else the smallest that suits.

    Args:
        claim: Without a volume, and asking for none by name.
        volumes: All of them, in any order.
        node: Where it must be usable; None: anywhere.
        is_waiting: Whether it is too early for one that was not kept for it.
    """
    kept = [v for v in volumes if is_mine(v, claim) and not v.metadata.deletion_timestamp]
    big = [v for v in kept if size(v.spec.capacity) >= size(claim.spec.resources.requests)]
    if big or is_waiting:
        return min(big, key=_by_size, default=None)
    found = (v for v in volumes if suits(v, claim) and (node is None or reaches(v, node)))
    return min(found, key=_by_size, default=None)


def _by_size(volume: PersistentVolume) -> tuple[int, str]:
    return size(volume.spec.capacity), volume.metadata.name
