"""How many pods each replica set of a deployment should have: arithmetic only.

Two bounds hold whatever the replica sets have got round to: the pods of all of them never exceed
``desired + surge``, because pods that a replica set has yet to delete count, and the available ones
never fall below ``desired - unavailable`` by a decision taken here, because only those count that a
replica set will keep. Source of the rules: Kubernetes, pkg/controller/deployment (rolling.go,
recreate.go, sync.go).
"""

from collections.abc import Sequence

from msgspec import Struct

from orchestrator.core.ownership import age_key
from proto.kinds.deployment import (
    DESIRED_ANNOTATION,
    MAX_ANNOTATION,
    Deployment,
    surge_and_unavailable,
)
from proto.kinds.replicaset import ReplicaSet


class Share(Struct, frozen=True):
    """One replica set's part of a deployment.

    Attributes:
        active: Pods neither ended nor being deleted; `ready` and `available` are some of these.
        terminating: Pods being deleted.
        unfinished: Pods that may still run: everything but the ended ones.
        next_available_ms: When the next ready one becomes available.
    """

    rs: ReplicaSet
    active: int = 0
    ready: int = 0
    available: int = 0
    terminating: int = 0
    unfinished: int = 0
    next_available_ms: int | None = None

    @property
    def size(self) -> int:
        """Pods that it was asked for."""
        return self.rs.spec.replicas or 0

    @property
    def kept(self) -> int:
        """Available pods that remain once it has deleted its surplus, which goes last."""
        return min(self.size, self.available)


Sizes = dict[str, int]
"""Replica set's name to the pods it should have."""


def target_sizes(deployment: Deployment, new: Share | None, olds: Sequence[Share]) -> Sizes:
    """What replica sets should have now; those left out stay as they are, unsettled.

    Args:
        deployment: Present; paused ones are only scaled.
        new: That of the present template, with no pods when it is yet to be created; None when it
            must not be created now.
        olds: All others, oldest first.
    """
    shares = [*olds, *([new] if new else [])]
    if deployment.spec.paused or is_rescaled(deployment, shares):
        scaled = _scaled(deployment, new, olds)
        if scaled is not None or deployment.spec.paused:
            return scaled or {}
    if new is None:
        return {}
    if deployment.spec.strategy.type == "Recreate":
        return _recreated(deployment, new, olds)
    return _rolled(deployment, new, olds)


def is_rescaled(deployment: Deployment, shares: Sequence[Share]) -> bool:
    """Whether the wanted number of pods changed since the replica sets were last sized."""
    desired = str(deployment.spec.replicas or 0)
    return any(
        share.size > 0 and share.rs.metadata.annotations.get(DESIRED_ANNOTATION, desired) != desired
        for share in shares
    )


def noted_number(rs: ReplicaSet, annotation: str) -> int:
    """The number in an annotation; 0 when there is none, or something else."""
    text = rs.metadata.annotations.get(annotation, "")
    return int(text) if text.isdecimal() and len(text) < 12 else 0


def max_pods(deployment: Deployment) -> int:
    """Pods of all replica sets together, at most."""
    desired = deployment.spec.replicas or 0
    return desired + surge_and_unavailable(deployment)[0] if desired else 0


def _recreated(deployment: Deployment, new: Share, olds: Sequence[Share]) -> Sizes:
    """Everything old goes first; the new comes when nothing old runs any more."""
    sizes = {old.rs.metadata.name: 0 for old in olds}
    if not any(old.unfinished or old.size for old in olds):
        sizes[new.rs.metadata.name] = deployment.spec.replicas or 0
    return sizes


def _rolled(deployment: Deployment, new: Share, olds: Sequence[Share]) -> Sizes:
    """A step of a rolling update: the new one up, the old ones down, each within its bound.

    Both may happen at once: growing counts all that is there now, shrinking only what is available
    now.
    """
    desired = deployment.spec.replicas or 0
    surge, unavailable = surge_and_unavailable(deployment)
    sizes = {new.rs.metadata.name: _grown(new, olds, desired, desired + surge)}
    sizes.update(_shrunk(new, olds, desired, desired - unavailable))
    return sizes


def _grown(new: Share, olds: Sequence[Share], desired: int, most: int) -> int:
    room = most - sum(max(old.size, old.active) for old in olds)
    return min(desired, max(new.size, room))


def _shrunk(new: Share, olds: Sequence[Share], desired: int, least: int) -> Sizes:
    """Old pods that do not work go first, then working ones as far as enough remain."""
    new_kept = min(new.kept, desired)
    sizes = {old.rs.metadata.name: old.size for old in olds}
    excess = sum(old.size for old in olds) + new_kept - least
    for old in olds:
        cut = max(0, min(excess, old.size - old.kept))
        sizes[old.rs.metadata.name] -= cut
        excess -= cut
    spare = sum(old.kept for old in olds) + new_kept - least
    for old in olds:
        cut = max(0, min(spare, sizes[old.rs.metadata.name]))
        sizes[old.rs.metadata.name] -= cut
        spare -= cut
    return sizes


def _scaled(deployment: Deployment, new: Share | None, olds: Sequence[Share]) -> Sizes | None:
    """Sizes for a changed number of replicas; None when the strategy should decide."""
    desired = deployment.spec.replicas or 0
    shares = [*olds, *([new] if new else [])]
    active = [share for share in shares if share.size > 0]
    if len(active) <= 1:
        only = active[0] if active else (new or (olds[-1] if olds else None))
        return {only.rs.metadata.name: desired} if only else None
    if new is not None and _is_saturated(new, desired):
        return {old.rs.metadata.name: 0 for old in olds if old.size}
    if deployment.spec.strategy.type == "RollingUpdate":
        return _proportional(deployment, active)
    return None


def _is_saturated(new: Share, desired: int) -> bool:
    annotated = new.rs.metadata.annotations.get(DESIRED_ANNOTATION)
    return new.size == desired == new.available and annotated == str(desired)


def _proportional(deployment: Deployment, active: Sequence[Share]) -> Sizes:
    """Spread the change over the replica sets as they are, so that no template gains by it."""
    most = max_pods(deployment)
    change = most - sum(share.size for share in active)
    sizes = {share.rs.metadata.name: share.size for share in active}
    if change > 0 and any(share.active > share.size for share in active):
        return {}  # pods are still being deleted: there is no room yet
    by_age = sorted(active, key=lambda share: age_key(share.rs), reverse=change > 0)
    by_size = sorted(by_age, key=lambda share: share.size, reverse=True)
    left = change
    for share in by_size:
        part = _fair_part(deployment, share, most)
        part = min(max(0, part), left) if change > 0 else max(min(0, part), left)
        sizes[share.rs.metadata.name] += part
        left -= part
    largest = by_size[0].rs.metadata.name
    sizes[largest] = max(0, sizes[largest] + left)
    return sizes


def _fair_part(deployment: Deployment, share: Share, most: int) -> int:
    """How much this one would change if all kept their shares exactly, rounded half up."""
    if not deployment.spec.replicas:
        return -share.size
    before = noted_number(share.rs, MAX_ANNOTATION) or deployment.status.replicas
    return (2 * share.size * most + before) // (2 * before) - share.size if before else 0
