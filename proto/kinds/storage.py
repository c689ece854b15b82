"""PersistentVolumeClaim, a wish for storage that outlives pods, and StorageClass, a kind of it."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from msgspec import Meta
from msgspec.structs import replace

from proto import quantity
from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.claim import (
    Amounts,
    PersistentVolumeClaimSpec,
    default_claim_spec,
    modes_cell,
    phase_cell,
    validate_claim_spec,
)
from proto.kinds.kind import Column, Kind
from proto.kinds.node_selector import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from proto.kinds.pod import age_cell
from proto.meta import Condition, Model, Resource

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
"""Annotation of the class of claims that name none."""

CLAIM_PROTECTION = "kubernetes.io/pvc-protection"
"""Finalizer: a claim stays while a pod uses it."""

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
"""Annotations of a claim: it has its volume; it was found for it; where the pod is to run."""

NO_PROVISIONER = "kubernetes.io/no-provisioner"
WAIT = "WaitForFirstConsumer"


class PersistentVolumeClaimStatus(Model, frozen=True, kw_only=True):
    """What there is: ``Pending``, ``Bound`` or ``Lost``."""

    phase: str = ""
    access_modes: tuple[str, ...] = ()
    capacity: Amounts = {}
    conditions: Annotated[tuple[Condition, ...], Meta(extra={"merge_key": "type"})] = ()
    allocated_resources: Amounts = {}
    allocated_resource_statuses: dict[str, str] = {}
    current_volume_attributes_class_name: str | None = None
    modify_volume_status: dict[str, Any] = {}


class PersistentVolumeClaim(Resource, frozen=True, kw_only=True):
    """A wish for storage."""

    spec: PersistentVolumeClaimSpec = PersistentVolumeClaimSpec()
    status: PersistentVolumeClaimStatus = PersistentVolumeClaimStatus()


class TopologySelectorRequirement(Model, frozen=True, kw_only=True):
    """A label of nodes that has one of these values."""

    key: str = ""
    values: tuple[str, ...] = ()


class TopologySelectorTerm(Model, frozen=True, kw_only=True):
    """All of it must hold."""

    match_label_expressions: tuple[TopologySelectorRequirement, ...] = ()

    @property
    def as_node_term(self) -> NodeSelectorTerm:
        """The same, as it is said of nodes elsewhere."""
        return NodeSelectorTerm(
            match_expressions=tuple(
                NodeSelectorRequirement(key=found.key, operator="In", values=found.values)
                for found in self.match_label_expressions
            )
        )


class StorageClass(Resource, frozen=True, kw_only=True):
    """A kind of storage that can be asked for by name.

    Attributes:
        parameters: Its provisioner's. Of `DOCKER_VOLUME`: see `CSIPersistentVolumeSource`.
    """

    REFUSED: ClassVar[Mapping[str, str]] = {
        "mountOptions": "folders and Docker's volumes are mounted as they are"
    }

    provisioner: str = ""
    parameters: dict[str, str] = {}
    reclaim_policy: str = ""
    allow_volume_expansion: bool | None = None
    volume_binding_mode: str = ""
    allowed_topologies: tuple[TopologySelectorTerm, ...] = ()

    @property
    def is_default(self) -> bool:
        """Whether claims that name no class are of it."""
        return self.metadata.annotations.get(DEFAULT_CLASS) == "true"

    @property
    def waits(self) -> bool:
        """Whether its volumes are made where the first pod that uses one is to run."""
        return self.volume_binding_mode == WAIT

    @property
    def nodes(self) -> NodeSelector | None:
        """Where its volumes may be made; None: anywhere."""
        if not self.allowed_topologies:
            return None
        return NodeSelector(
            node_selector_terms=tuple(term.as_node_term for term in self.allowed_topologies)
        )


def default_claim(claim: PersistentVolumeClaim) -> PersistentVolumeClaim:
    """Source: Kubernetes, pkg/apis/core/v1/defaults.go."""
    return replace(
        claim,
        spec=default_claim_spec(claim.spec),
        status=replace(claim.status, phase=claim.status.phase or "Pending"),
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
        resources=spec.resources if old.status.phase == "Bound" else old.spec.resources,
        volume_name=old.spec.volume_name or spec.volume_name,
        storage_class_name=(
            spec.storage_class_name
            if old.spec.storage_class_name is None
            else old.spec.storage_class_name
        ),
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
    return errors + _validate_size(new, old)


def _validate_size(new: PersistentVolumeClaim, old: PersistentVolumeClaim) -> list[FieldError]:
    """It may grow, not shrink. Source: ValidatePersistentVolumeClaimUpdate."""
    wanted = new.spec.resources.requests.get("storage", 0)
    if wanted == old.spec.resources.requests.get("storage", 0):
        return []
    if quantity.whole(wanted) < quantity.whole(old.status.capacity.get("storage", 0)):
        said = "field can not be less than status.capacity"
        return [validation.forbidden("spec.resources.requests.storage", said)]
    return []


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


def _capacity_cell(claim: PersistentVolumeClaim) -> str:
    return str(claim.status.capacity.get("storage", "")) if claim.spec.volume_name else ""


def _class_name(found: StorageClass, _now_ms: int) -> str:
    return f"{found.metadata.name} (default)" if found.is_default else found.metadata.name


PERSISTENT_VOLUME_CLAIMS: Kind[PersistentVolumeClaim] = Kind(
    name="PersistentVolumeClaim",
    group="",
    version="v1",
    plural="persistentvolumeclaims",
    singular="persistentvolumeclaim",
    type=PersistentVolumeClaim,
    short_names=("pvc",),
    columns=(
        Column("Status", lambda pvc, _: phase_cell(pvc.metadata, pvc.status.phase)),
        Column("Volume", lambda pvc, _: pvc.spec.volume_name),
        Column("Capacity", lambda pvc, _: _capacity_cell(pvc)),
        Column("Access Modes", lambda pvc, _: modes_cell(pvc.status.access_modes)),
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
)
