"""PersistentVolumeClaim: it gets a volume that suits it, or one made for it, and keeps it.

A volume is given to a claim by writing the claim into the volume first: of two claims that want one
volume the store refuses the second. Source of the rules, annotations and words: Kubernetes,
pkg/controller/volume/persistentvolume and pkg/controller/volume/pvcprotection.
"""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.core.decisions import Create, Decision, Emit, Plan, Update, UpdateStatus
from orchestrator.core.storage import matching, provision
from orchestrator.core.storage.provision import OURS, Refused
from proto.kinds.event import ObjectReference
from proto.kinds.node import Node
from proto.kinds.persistentvolume import PERSISTENT_VOLUMES, PersistentVolume
from proto.kinds.pod import Pod
from proto.kinds.storage import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    CLAIM_PROTECTION,
    NO_PROVISIONER,
    PERSISTENT_VOLUME_CLAIMS,
    SELECTED_NODE,
    PersistentVolumeClaim,
    StorageClass,
)

PROVISIONER = "volume.kubernetes.io/storage-provisioner"
"""Annotation of a claim: who is to make its volume."""


class Around(Struct, frozen=True):
    """What a claim's plan depends on besides the claim.

    Attributes:
        volumes: All of them, in any order.
        classes: By name.
        pods: That use the claim.
        nodes: By name.
    """

    volumes: Sequence[PersistentVolume] = ()
    classes: Mapping[str, StorageClass] = {}
    pods: Sequence[Pod] = ()
    nodes: Mapping[str, Node] = {}

    def volume(self, name: str) -> PersistentVolume | None:
        """The volume of that name."""
        return next((found for found in self.volumes if found.metadata.name == name), None)


def plan(claim: PersistentVolumeClaim, around: Around) -> Plan:
    """The next step of a claim towards its volume, or out of the way.

    Args:
        claim: Present.
        around: What it depends on.
    """
    if claim.metadata.deletion_timestamp and CLAIM_PROTECTION in claim.metadata.finalizers:
        if not is_in_use(around.pods):
            kept = tuple(f for f in claim.metadata.finalizers if f != CLAIM_PROTECTION)
            return Plan((_updated(claim, "no pod uses it", finalizers=kept),))
    elif not claim.metadata.deletion_timestamp:
        first = _completed(claim, around)
        if first is not None:
            return Plan((first,))
    if matching.is_bound(claim):
        return Plan(tuple(_kept(claim, around)))
    if claim.metadata.deletion_timestamp:
        return Plan()
    return Plan(tuple(_sought(claim, around)))


def is_in_use(pods: Sequence[Pod]) -> bool:
    """Whether a claim must stay: a pod that has a node may have it mounted. Source: podUsesPVC."""
    return any(pod.spec.node_name for pod in pods)


def _completed(claim: PersistentVolumeClaim, around: Around) -> Update | None:
    """With what every claim gets: protection, and the class of those that name none."""
    finalizers, spec, causes = claim.metadata.finalizers, claim.spec, []
    if CLAIM_PROTECTION not in finalizers:
        finalizers = (*finalizers, CLAIM_PROTECTION)
        causes.append("it is protected")
    default = matching.default_class(around.classes.values())
    if spec.storage_class_name is None and default and not matching.is_bound(claim):
        spec = replace(spec, storage_class_name=default.metadata.name)
        causes.append(f"{default.metadata.name} is the default class")
    if not causes:
        return None
    changed = replace(claim, spec=spec)
    return _updated(changed, " and ".join(causes), finalizers=finalizers)


def _updated(
    claim: PersistentVolumeClaim,
    cause: str,
    *,
    finalizers: tuple[str, ...] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Update:
    meta = claim.metadata
    meta = replace(
        meta,
        finalizers=meta.finalizers if finalizers is None else finalizers,
        annotations=meta.annotations if annotations is None else dict(annotations),
    )
    return Update(PERSISTENT_VOLUME_CLAIMS, replace(claim, metadata=meta), cause)


def _told(claim: PersistentVolumeClaim, reason: str, message: str, type_: str = "Normal") -> Emit:
    return Emit(PERSISTENT_VOLUME_CLAIMS, claim, type_, reason, message)


# ------------------------------------------------------------------- bound


def _kept(claim: PersistentVolumeClaim, around: Around) -> Iterator[Decision]:
    """A claim that has its volume: is it still there, and still the claim's?"""
    volume = around.volume(claim.spec.volume_name)
    if volume is None:
        what = "its PersistentVolume" if claim.spec.volume_name else "reference to PersistentVolume"
        said = f"Bound claim has lost {what}. Data on the volume is lost!"
        yield from _lost(claim, "ClaimLost", said)
        return
    ref = volume.spec.claim_ref
    if ref is None or (matching.is_mine(volume, claim) and not ref.uid):
        yield _given(volume, claim)
    elif not matching.is_mine(volume, claim):
        said = "Two claims are bound to the same volume, this one is bound incorrectly"
        yield from _lost(claim, "ClaimMisbound", said)
    elif (grown := _grown(claim, volume, around)) is not None:
        yield from grown
    else:
        status = replace(
            claim.status,
            phase="Bound",
            access_modes=volume.spec.access_modes,
            capacity=dict(volume.spec.capacity),
        )
        if status != claim.status:
            changed = replace(claim, status=status)
            yield UpdateStatus(
                PERSISTENT_VOLUME_CLAIMS, changed, f"bound to {volume.metadata.name}"
            )


def _lost(claim: PersistentVolumeClaim, reason: str, message: str) -> Iterator[Decision]:
    if claim.status.phase == "Lost":
        return
    status = replace(claim.status, phase="Lost", access_modes=(), capacity={})
    yield UpdateStatus(PERSISTENT_VOLUME_CLAIMS, replace(claim, status=status), message)
    yield _told(claim, reason, message, "Warning")


def _grown(
    claim: PersistentVolumeClaim, volume: PersistentVolume, around: Around
) -> list[Decision] | None:
    """More room, where the class allows it: nothing but the number changes, since none is enforced.

    None: it is as large as is asked for.
    """
    wanted = claim.spec.resources.requests
    if claim.status.phase != "Bound" or matching.size(wanted) <= matching.size(
        volume.spec.capacity
    ):
        return None
    found = around.classes.get(volume.spec.storage_class_name)
    if not volume.is_kept_by_agents or found is None or not found.allow_volume_expansion:
        said = (
            "only dynamically provisioned pvc can be resized and the storageclass that provisions "
            f"the pvc must support resize: it keeps {volume.spec.capacity['storage']}"
        )
        return [_told(claim, "VolumeResizeFailed", said, "Warning")]
    spec = replace(volume.spec, capacity={"storage": wanted["storage"]})
    cause = f"its claim asks for {wanted['storage']}"
    said = f"Volume {volume.metadata.name} has now {wanted['storage']}"
    return [
        Update(PERSISTENT_VOLUMES, replace(volume, spec=spec), cause),
        _told(claim, "VolumeResizeSuccessful", said),
    ]


# ----------------------------------------------------------------- unbound


def _sought(claim: PersistentVolumeClaim, around: Around) -> Iterator[Decision]:
    """A claim without a volume."""
    found = around.classes.get(matching.class_name(claim))
    if claim.spec.volume_name:
        yield from _asked_for(claim, around)
        return
    node = around.nodes.get(matching.selected_node(claim))
    if matching.selected_node(claim) and node is None:
        yield _unselected(claim, f"node {matching.selected_node(claim)} does not exist")
        return
    is_waiting = found is not None and found.waits and node is None
    volume = matching.best(claim, around.volumes, node, is_waiting=is_waiting)
    if volume is not None:
        yield _matched(claim, volume)
    elif is_waiting:
        yield from _waiting(claim, around)
    elif not matching.class_name(claim):
        said = "no persistent volumes available for this claim and no storage class is set"
        yield _told(claim, "FailedBinding", said)
    elif found is None:
        said = f'storageclass.storage.k8s.io "{matching.class_name(claim)}" not found'
        yield _told(claim, "ProvisioningFailed", said, "Warning")
    else:
        yield from _provisioned(claim, found, around)


def _unselected(claim: PersistentVolumeClaim, cause: str) -> Update:
    """The scheduler is to choose again."""
    kept = {k: v for k, v in claim.metadata.annotations.items() if k != SELECTED_NODE}
    return _updated(claim, cause, annotations=kept)


def _asked_for(claim: PersistentVolumeClaim, around: Around) -> Iterator[Decision]:
    """The volume that the claim names, once it is there and nobody else's."""
    volume = around.volume(claim.spec.volume_name)
    if volume is None or volume.metadata.deletion_timestamp:
        return
    name = volume.metadata.name
    if volume.spec.claim_ref is not None and not matching.is_mine(volume, claim):
        said = f'volume "{name}" already bound to a different claim.'
        yield _told(claim, "FailedBinding", said, "Warning")
        return
    wrong = matching.mismatch(volume, claim)
    if wrong:
        said = f'Cannot bind to requested volume "{name}": {wrong}'
        yield _told(claim, "VolumeMismatch", said, "Warning")
        return
    yield _matched(claim, volume)


def _matched(claim: PersistentVolumeClaim, volume: PersistentVolume) -> Update:
    """The volume is the claim's first, then the claim has it."""
    ref = volume.spec.claim_ref
    if ref is None or not ref.uid:
        return _given(volume, claim)
    marks = {BIND_COMPLETED: "yes"}
    if not claim.spec.volume_name:
        marks[BOUND_BY_CONTROLLER] = "yes"
    changed = replace(claim, spec=replace(claim.spec, volume_name=volume.metadata.name))
    return _updated(
        changed,
        f"volume {volume.metadata.name} is its own",
        annotations=claim.metadata.annotations | marks,
    )


def _given(volume: PersistentVolume, claim: PersistentVolumeClaim) -> Update:
    """The volume with the claim in it; how it got there is noted unless somebody else wrote it."""
    meta = volume.metadata
    if volume.spec.claim_ref is None:
        meta = replace(meta, annotations=meta.annotations | {BOUND_BY_CONTROLLER: "yes"})
    ref = ObjectReference(
        kind=PERSISTENT_VOLUME_CLAIMS.name,
        api_version=PERSISTENT_VOLUME_CLAIMS.api_version,
        namespace=claim.metadata.namespace,
        name=claim.metadata.name,
        uid=claim.metadata.uid,
    )
    given = replace(volume, metadata=meta, spec=replace(volume.spec, claim_ref=ref))
    cause = f"it is for claim {claim.metadata.namespace}/{claim.metadata.name}"
    return Update(PERSISTENT_VOLUMES, given, cause)


def _waiting(claim: PersistentVolumeClaim, around: Around) -> Iterator[Decision]:
    """Until the scheduler has found a node, or a pod got one without being asked for it."""
    placed = sorted(pod.spec.node_name for pod in around.pods if pod.spec.node_name)
    if placed:
        chosen = claim.metadata.annotations | {SELECTED_NODE: placed[0]}
        yield _updated(claim, "a pod that uses it is there", annotations=chosen)
        return
    names = sorted(pod.metadata.name for pod in around.pods)
    if names:
        said = f"waiting for pod {names[0]} to be scheduled"
        yield _told(claim, "WaitForPodScheduled", said)
    else:
        said = "waiting for first consumer to be created before binding"
        yield _told(claim, "WaitForFirstConsumer", said)


def _provisioned(
    claim: PersistentVolumeClaim, found: StorageClass, around: Around
) -> Iterator[Decision]:
    name = found.metadata.name
    if found.provisioner == NO_PROVISIONER and matching.selected_node(claim):
        said = f"no volume that suits it is left on node {matching.selected_node(claim)}"
        yield _unselected(claim, said)
        return
    if found.provisioner == NO_PROVISIONER:
        said = f'no persistent volume of class "{name}" suits it, and nothing makes any'
        yield _told(claim, "FailedBinding", said)
        return
    if claim.metadata.annotations.get(PROVISIONER) != found.provisioner:
        marked = claim.metadata.annotations | {PROVISIONER: found.provisioner}
        cause = f"{found.provisioner} makes its volume"
        yield _updated(claim, cause, annotations=marked)
        return
    if found.provisioner not in OURS:
        yield _told(
            claim,
            "ExternalProvisioning",
            "Waiting for a volume to be created either by the external provisioner "
            f"'{found.provisioner}' or manually by the system administrator. If volume creation is "
            "delayed, please verify that the provisioner is running and correctly registered.",
        )
        return
    try:
        node = provision.choose(claim, found, around.nodes, around.volumes)
        volume = provision.volume_for(claim, found, node)
    except Refused as refused:
        said = f'failed to provision volume with StorageClass "{name}": {refused}'
        yield _told(claim, "ProvisioningFailed", said, "Warning")
        return
    made = volume.metadata.name
    said = f"Successfully provisioned volume {made}"
    told = _told(claim, "ProvisioningSucceeded", said)
    cause = f"for claim {claim.metadata.namespace}/{claim.metadata.name}"
    yield Create(PERSISTENT_VOLUMES, volume, cause, told)
