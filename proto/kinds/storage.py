"""PersistentVolume, PersistentVolumeClaim and StorageClass: storage that outlives pods."""

from typing import Annotated, Any, ClassVar

from msgspec import Meta, field
from msgspec.structs import replace

from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.claim import (
    FILESYSTEM,
    MODES,
    Amounts,
    PersistentVolumeClaimSpec,
    Source,
    default_claim_spec,
    validate_access,
    validate_claim_spec,
)
from proto.kinds.event import ObjectReference
from proto.kinds.kind import Column, Kind
from proto.kinds.pod import age_cell
from proto.meta import Condition, Model, ObjectMeta, Resource, Time

_NOT_ACTED_ON = "are stored and served, but containers cannot use them yet"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


class PersistentVolumeClaimStatus(Model, frozen=True, kw_only=True):
    """What there is: ``Pending``, ``Bound`` or ``Lost``."""

    phase: str = ""
    access_modes: tuple[str, ...] = ()
    capacity: Amounts = {}
    conditions: Annotated[tuple[Condition, ...], Meta(extra={"merge_key": "type"})] = ()
    allocated_resources: Amounts = {}
    allocated_resource_statuses: dict[str, str] = {}
    current_volume_attributes_class_name: str | None = None
    modify_volume_status: Source = {}


class PersistentVolumeClaim(Resource, frozen=True, kw_only=True):
    """A wish for storage."""

    spec: PersistentVolumeClaimSpec = PersistentVolumeClaimSpec()
    status: PersistentVolumeClaimStatus = PersistentVolumeClaimStatus()


class PersistentVolumeSpec(Model, frozen=True, kw_only=True):
    """What it is: exactly one of the sources, and what it offers."""

    SOURCES: ClassVar[tuple[str, ...]] = (
        "aws_elastic_block_store", "azure_disk", "azure_file", "cephfs", "cinder", "csi", "fc",
        "flex_volume", "flocker", "gce_persistent_disk", "glusterfs", "host_path", "iscsi",
        "local", "nfs", "photon_persistent_disk", "portworx_volume", "quobyte", "rbd", "scale_io",
        "storageos", "vsphere_volume",
    )  # fmt: skip

    capacity: Amounts = {}
    access_modes: tuple[str, ...] = ()
    claim_ref: ObjectReference | None = None
    persistent_volume_reclaim_policy: str = ""
    storage_class_name: str = ""
    mount_options: tuple[str, ...] = ()
    volume_mode: str = ""
    node_affinity: Source = {}
    volume_attributes_class_name: str | None = None
    aws_elastic_block_store: Source | None = None
    azure_disk: Source | None = None
    azure_file: Source | None = None
    cephfs: Source | None = None
    cinder: Source | None = None
    csi: Source | None = None
    fc: Source | None = None
    flex_volume: Source | None = None
    flocker: Source | None = None
    gce_persistent_disk: Source | None = None
    glusterfs: Source | None = None
    host_path: Source | None = None
    iscsi: Source | None = None
    local: Source | None = None
    nfs: Source | None = None
    photon_persistent_disk: Source | None = None
    portworx_volume: Source | None = None
    quobyte: Source | None = None
    rbd: Source | None = None
    scale_io: Source | None = field(default=None, name="scaleIO")
    storageos: Source | None = None
    vsphere_volume: Source | None = None


class PersistentVolumeStatus(Model, frozen=True, kw_only=True):
    """``Pending``, ``Available``, ``Bound``, ``Released`` or ``Failed``."""

    phase: str = ""
    message: str = ""
    reason: str = ""
    last_phase_transition_time: Time = ""


class PersistentVolume(Resource, frozen=True, kw_only=True):
    """A piece of storage."""

    spec: PersistentVolumeSpec = PersistentVolumeSpec()
    status: PersistentVolumeStatus = PersistentVolumeStatus()


class StorageClass(Resource, frozen=True, kw_only=True):
    """A kind of storage that can be asked for by name."""

    provisioner: str = ""
    parameters: dict[str, str] = {}
    reclaim_policy: str = ""
    mount_options: tuple[str, ...] = ()
    allow_volume_expansion: bool | None = None
    volume_binding_mode: str = ""
    allowed_topologies: tuple[dict[str, Any], ...] = ()


def default_claim(claim: PersistentVolumeClaim) -> PersistentVolumeClaim:
    """Source: Kubernetes, pkg/apis/core/v1/defaults.go."""
    return replace(
        claim,
        spec=default_claim_spec(claim.spec),
        status=replace(claim.status, phase=claim.status.phase or "Pending"),
    )


def _default_volume(volume: PersistentVolume) -> PersistentVolume:
    spec = volume.spec
    return replace(
        volume,
        spec=replace(
            spec,
            volume_mode=spec.volume_mode or FILESYSTEM,
            persistent_volume_reclaim_policy=spec.persistent_volume_reclaim_policy or "Retain",
        ),
        status=replace(volume.status, phase=volume.status.phase or "Pending"),
    )


def _default_class(found: StorageClass) -> StorageClass:
    return replace(
        found,
        reclaim_policy=found.reclaim_policy or "Delete",
        volume_binding_mode=found.volume_binding_mode or "Immediate",
    )


def _validate_claim(
    new: PersistentVolumeClaim, old: PersistentVolumeClaim | None
) -> list[FieldError]:
    spec = new.spec
    errors = validate_claim_spec("spec", spec)
    if old is None:
        return errors
    allowed = replace(
        old.spec,
        resources=spec.resources,
        volume_name=old.spec.volume_name or spec.volume_name,
        volume_attributes_class_name=spec.volume_attributes_class_name,
    )
    if spec != allowed:
        errors.append(
            validation.forbidden(
                "spec",
                "spec is immutable after creation except resources.requests and "
                "volumeAttributesClassName for bound claims",
            )
        )
    return errors


def _sources(spec: PersistentVolumeSpec) -> dict[str, Any]:
    found = {name: getattr(spec, name) for name in spec.SOURCES}
    return {name: source for name, source in found.items() if source is not None}


def _validate_volume(new: PersistentVolume, old: PersistentVolume | None) -> list[FieldError]:
    spec = new.spec
    errors = validate_access("spec", spec.access_modes, spec.volume_mode)
    if not spec.capacity:
        errors.append(validation.required("spec.capacity"))
    elif set(spec.capacity) != {"storage"}:
        errors.append(
            validation.not_supported("spec.capacity", ",".join(sorted(spec.capacity)), ["storage"])
        )
    errors += validation.amounts("spec.capacity", spec.capacity)
    errors += validation.one_of(
        "spec.persistentVolumeReclaimPolicy",
        spec.persistent_volume_reclaim_policy,
        ("Delete", "Recycle", "Retain"),
    )
    sources = _sources(spec)
    if not sources:
        errors.append(validation.required("spec", "must specify a volume type"))
    elif len(sources) > 1:
        errors.append(validation.forbidden("spec", "may not specify more than 1 volume type"))
    if old is not None and sources != _sources(old.spec):
        said = "spec.persistentvolumesource is immutable after creation"
        errors.append(validation.forbidden("spec.persistentvolumesource", said))
    return errors


def _validate_class(new: StorageClass, old: StorageClass | None) -> list[FieldError]:
    errors: list[FieldError] = []
    if not new.provisioner:
        errors.append(validation.required("provisioner"))
    else:
        errors += validation.qualified_name("provisioner", new.provisioner.lower())
    errors += validation.one_of("reclaimPolicy", new.reclaim_policy, ("Delete", "Retain"))
    errors += validation.one_of(
        "volumeBindingMode", new.volume_binding_mode, ("Immediate", "WaitForFirstConsumer")
    )
    if old is None:
        return errors
    said = "updates to {} are forbidden."
    for name, before, after in (
        ("parameters", old.parameters, new.parameters),
        ("provisioner", old.provisioner, new.provisioner),
        ("reclaimPolicy", old.reclaim_policy, new.reclaim_policy),
    ):
        if before != after:
            errors.append(validation.forbidden(name, said.format(name)))
    return errors + validation.immutable(
        "volumeBindingMode", new.volume_binding_mode, old.volume_binding_mode
    )


def _modes_cell(modes: tuple[str, ...]) -> str:
    return ",".join(short for name, short in MODES.items() if name in modes)


def _phase_cell(meta: ObjectMeta, phase: str) -> str:
    return "Terminating" if meta.deletion_timestamp else phase


def _claim_cell(volume: PersistentVolume) -> str:
    claim = volume.spec.claim_ref
    return "" if claim is None else f"{claim.namespace}/{claim.name}"


def _capacity_cell(claim: PersistentVolumeClaim) -> str:
    return str(claim.status.capacity.get("storage", "")) if claim.spec.volume_name else ""


def _class_name(found: StorageClass, _now_ms: int) -> str:
    is_default = found.metadata.annotations.get(DEFAULT_CLASS) == "true"
    return f"{found.metadata.name} (default)" if is_default else found.metadata.name


PERSISTENT_VOLUMES: Kind[PersistentVolume] = Kind(
    name="PersistentVolume",
    group="",
    version="v1",
    plural="persistentvolumes",
    singular="persistentvolume",
    type=PersistentVolume,
    is_namespaced=False,
    short_names=("pv",),
    columns=(
        Column("Capacity", lambda pv, _: str(pv.spec.capacity.get("storage", ""))),
        Column("Access Modes", lambda pv, _: _modes_cell(pv.spec.access_modes)),
        Column("Reclaim Policy", lambda pv, _: pv.spec.persistent_volume_reclaim_policy),
        Column("Status", lambda pv, _: _phase_cell(pv.metadata, pv.status.phase)),
        Column("Claim", lambda pv, _: _claim_cell(pv)),
        Column("StorageClass", lambda pv, _: pv.spec.storage_class_name),
        Column(
            "VolumeAttributesClass",
            lambda pv, _: pv.spec.volume_attributes_class_name or "<unset>",
        ),
        Column("Reason", lambda pv, _: pv.status.reason),
        Column("Age", age_cell),
        Column("VolumeMode", lambda pv, _: pv.spec.volume_mode, priority=1),
    ),
    defaults=_default_volume,
    validate=_validate_volume,
    notice=_NOT_ACTED_ON,
)

PERSISTENT_VOLUME_CLAIMS: Kind[PersistentVolumeClaim] = Kind(
    name="PersistentVolumeClaim",
    group="",
    version="v1",
    plural="persistentvolumeclaims",
    singular="persistentvolumeclaim",
    type=PersistentVolumeClaim,
    short_names=("pvc",),
    columns=(
        Column("Status", lambda pvc, _: _phase_cell(pvc.metadata, pvc.status.phase)),
        Column("Volume", lambda pvc, _: pvc.spec.volume_name),
        Column("Capacity", lambda pvc, _: _capacity_cell(pvc)),
        Column("Access Modes", lambda pvc, _: _modes_cell(pvc.status.access_modes)),
        Column("StorageClass", lambda pvc, _: pvc.spec.storage_class_name or ""),
        Column(
            "VolumeAttributesClass",
            lambda pvc, _: pvc.spec.volume_attributes_class_name or "<unset>",
        ),
        Column("Age", age_cell),
        Column("VolumeMode", lambda pvc, _: pvc.spec.volume_mode, priority=1),
    ),
    defaults=default_claim,
    validate=_validate_claim,
    notice=_NOT_ACTED_ON,
)

STORAGE_CLASSES: Kind[StorageClass] = Kind(
    name="StorageClass",
    group="storage.k8s.io",
    version="v1",
    plural="storageclasses",
    singular="storageclass",
    type=StorageClass,
    is_namespaced=False,
    short_names=("sc",),
    columns=(
        Column("Name", _class_name, format="name"),
        Column("Provisioner", lambda found, _: found.provisioner),
        Column("ReclaimPolicy", lambda found, _: found.reclaim_policy),
        Column("VolumeBindingMode", lambda found, _: found.volume_binding_mode),
        Column(
            "AllowVolumeExpansion", lambda found, _: str(bool(found.allow_volume_expansion)).lower()
        ),
        Column("Age", age_cell),
    ),
    defaults=_default_class,
    validate=_validate_class,
    has_status=False,
    notice="are stored and served, but nothing makes volumes of them yet",
)
