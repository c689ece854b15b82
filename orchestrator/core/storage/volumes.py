"""PersistentVolume: whose it is, and what becomes of it when its claim goes.

A node that may hold some of a volume is named in one of its finalizers. A volume that is deleted
stays until every such node has said that nothing of it is left there. Source of phases and words:
Kubernetes, pkg/controller/volume/persistentvolume and pkg/controller/volume/pvprotection.
"""

from collections.abc import Iterable, Iterator, Mapping

from msgspec.structs import replace

from orchestrator.core.decisions import Decision, Emit, Plan, Remove, Update, UpdateStatus
from orchestrator.core.storage import matching
from proto.kinds.node import Node
from proto.kinds.persistentvolume import (
    DOCKER_VOLUME,
    NODE_FINALIZER,
    PERSISTENT_VOLUMES,
    VOLUME_PROTECTION,
    PersistentVolume,
)
from proto.kinds.pod import Pod
from proto.kinds.storage import BOUND_BY_CONTROLLER, PersistentVolumeClaim
from proto.messages import StoredVolume, VolumeReport
from proto.meta import format_time, is_true


def plan(
    volume: PersistentVolume,
    claim: PersistentVolumeClaim | None,
    pods: Iterable[Pod],
    nodes: Mapping[str, Node],
    now_ms: int,
) -> Plan:
    """The next step of a volume.

    Args:
        volume: Present.
        claim: Of the name in its `claimRef`, if there is one.
        pods: That use that claim.
        nodes: By name.
        now_ms: Epoch milliseconds.
    """
    if volume.metadata.deletion_timestamp:
        return Plan(tuple(_going(volume, claim, nodes, now_ms)))
    added = _missing_finalizers(volume, claim, pods)
    if added:
        changed = (*volume.metadata.finalizers, *added)
        return Plan((_with_finalizers(volume, changed, f"it waits for {', '.join(added)}"),))
    phase = _phase(volume, claim)
    if phase == "Misplaced":
        return Plan((_let_go(volume),))
    if phase == "Released" and volume.spec.persistent_volume_reclaim_policy == "Delete":
        return Plan(tuple(_reclaimed(volume, now_ms)))
    return Plan(tuple(_status(volume, phase, "", now_ms)))


def _phase(volume: PersistentVolume, claim: PersistentVolumeClaim | None) -> str:
    """Of a volume; ``Misplaced`` when its claim has another one."""
    ref = volume.spec.claim_ref
    if ref is None or not ref.uid:
        return "Available"
    if claim is None or claim.metadata.uid != ref.uid:
        return "Released"
    if claim.spec.volume_name in ("", volume.metadata.name):
        return "Bound"
    return "Released" if volume.provisioner else "Misplaced"


def _missing_finalizers(
    volume: PersistentVolume, claim: PersistentVolumeClaim | None, pods: Iterable[Pod]
) -> list[str]:
    """Protection, and the nodes that pods with the claim have."""
    wanted = {VOLUME_PROTECTION}
    if volume.is_kept_by_agents and claim is not None and _phase(volume, claim) == "Bound":
        wanted |= {NODE_FINALIZER + pod.spec.node_name for pod in pods if pod.spec.node_name}
    return sorted(wanted - set(volume.metadata.finalizers))


def _with_finalizers(volume: PersistentVolume, kept: Iterable[str], cause: str) -> Update:
    meta = replace(volume.metadata, finalizers=tuple(kept))
    return Update(PERSISTENT_VOLUMES, replace(volume, metadata=meta), cause)


def _let_go(volume: PersistentVolume) -> Update:
    """Nobody's again; one that was kept for a claim by name is kept for it further."""
    meta, ref = volume.metadata, volume.spec.claim_ref
    if BOUND_BY_CONTROLLER in meta.annotations:
        left = {k: v for k, v in meta.annotations.items() if k != BOUND_BY_CONTROLLER}
        meta, ref = replace(meta, annotations=left), None
    elif ref is not None:
        ref = replace(ref, uid="")
    freed = replace(volume, metadata=meta, spec=replace(volume.spec, claim_ref=ref))
    return Update(PERSISTENT_VOLUMES, freed, "its claim has another volume")


def _status(
    volume: PersistentVolume, phase: str, message: str, now_ms: int, reason: str = ""
) -> Iterator[UpdateStatus]:
    old = volume.status
    if (old.phase, old.message, old.reason) == (phase, message, reason):
        return
    since = old.last_phase_transition_time if old.phase == phase else format_time(now_ms)
    status = replace(
        old, phase=phase, message=message, reason=reason, last_phase_transition_time=since
    )
    yield UpdateStatus(PERSISTENT_VOLUMES, replace(volume, status=status), f"now {phase}")


def _reclaimed(volume: PersistentVolume, now_ms: int) -> Iterator[Decision]:
    """Its claim is gone, and it is to go with it."""
    if not volume.is_kept_by_agents:
        if not volume.provisioner:
            yield from _failed(
                volume,
                "Longshore did not make it: remove what it holds by hand and delete it, or set "
                "persistentVolumeReclaimPolicy: Retain",
                now_ms,
                "Failed",
            )
        else:  # whoever made it removes it
            yield from _status(volume, "Released", "", now_ms)
    elif volume.status.phase != "Released":
        yield from _status(volume, "Released", "", now_ms)
    else:
        yield Remove(PERSISTENT_VOLUMES, volume, "its claim is gone, and its policy is Delete")


def _failed(volume: PersistentVolume, message: str, now_ms: int, phase: str) -> Iterator[Decision]:
    """Say once why it cannot go, for now."""
    for status in _status(volume, phase, message, now_ms, "VolumeFailedDelete"):
        yield status
        yield Emit(PERSISTENT_VOLUMES, volume, "Warning", "VolumeFailedDelete", message)


def _going(
    volume: PersistentVolume,
    claim: PersistentVolumeClaim | None,
    nodes: Mapping[str, Node],
    now_ms: int,
) -> Iterator[Decision]:
    """Deleted: it waits for its claim, then for the nodes that hold some of it."""
    finalizers = volume.metadata.finalizers
    phase = _phase(volume, claim)
    if VOLUME_PROTECTION in finalizers:
        if phase == "Bound":
            yield from _status(volume, phase, "", now_ms)
            return
        kept = tuple(found for found in finalizers if found != VOLUME_PROTECTION)
        yield _with_finalizers(volume, kept, "no claim is bound to it")
        return
    found = holders(volume)
    stay = [node for node in found if _must_remove(volume) and node in nodes]
    if stay != found:
        for node in found:
            if node not in nodes and _must_remove(volume):
                said = f"node {node} is gone, and with it what it held of the volume"
                yield Emit(PERSISTENT_VOLUMES, volume, "Warning", "VolumeFailedDelete", said)
        others = tuple(f for f in finalizers if not f.startswith(NODE_FINALIZER))
        kept = (*others, *(NODE_FINALIZER + node for node in stay))
        yield _with_finalizers(volume, kept, "what is left of it stays where it is")
        return
    away = [node for node in found if not is_true(nodes[node].status.conditions, "Ready")]
    if away:
        said = (
            f"node {', '.join(away)} is not ready: what it holds of the volume is removed when "
            "it is back"
        )
        yield from _failed(volume, said, now_ms, "Released")


def _must_remove(volume: PersistentVolume) -> bool:
    return volume.is_kept_by_agents and volume.spec.persistent_volume_reclaim_policy == "Delete"


def holders(volume: PersistentVolume) -> list[str]:
    """Nodes that may hold some of it."""
    return sorted(
        finalizer.removeprefix(NODE_FINALIZER)
        for finalizer in volume.metadata.finalizers
        if finalizer.startswith(NODE_FINALIZER)
    )


def leaves(volume: PersistentVolume) -> list[str]:
    """The nodes that are to remove what they hold of it; none while it may still be in use."""
    meta = volume.metadata
    if not meta.deletion_timestamp or VOLUME_PROTECTION in meta.finalizers:
        return []
    return holders(volume) if _must_remove(volume) else []


def stored(volume: PersistentVolume) -> StoredVolume | None:
    """What agents keep for it; None for a path of a node that somebody else made."""
    csi = volume.spec.csi
    name = volume.metadata.name
    if csi is not None and csi.driver == DOCKER_VOLUME:
        options = dict(csi.volume_attributes)
        driver = options.pop("driver", "local")
        return StoredVolume(
            name=name,
            is_ours=volume.is_kept_by_agents,
            handle=csi.volume_handle,
            driver=driver,
            options=options,
        )
    return StoredVolume(name=name) if volume.is_kept_by_agents else None


def reported(
    node: str,
    reports: Iterable[VolumeReport],
    leaving: Mapping[str, PersistentVolume],
    now_ms: int,
) -> Iterator[Decision]:
    """What a node says of the volumes that it is to remove.

    Args:
        node: Its name.
        reports: Of its newest report.
        leaving: By name, those that it is to remove.
        now_ms: Epoch milliseconds.
    """
    for about in reports:
        volume = leaving.get(about.name)
        if volume is None or volume.metadata.uid != about.uid:
            continue
        if about.is_gone:
            mine = NODE_FINALIZER + node
            kept = [found for found in volume.metadata.finalizers if found != mine]
            yield _with_finalizers(volume, kept, f"nothing of it is left on {node}")
        elif about.error:
            said = f"node {node} cannot remove it: {about.error}"
            yield from _failed(volume, said, now_ms, "Released")


def of_claim(
    claim: PersistentVolumeClaim, volume: PersistentVolume | None
) -> PersistentVolume | None:
    """The volume that a claim has for its pods; None while it has none."""
    if volume is None or not matching.is_bound(claim) or not matching.is_mine(volume, claim):
        return None
    return volume
