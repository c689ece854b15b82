"""PersistentVolume: a piece of storage that outlives pods.

It is a path of a node (``local``, ``hostPath``), or a volume of Docker's, which it names in the way
of Kubernetes' storage drivers: ``csi`` with the driver `DOCKER_VOLUME`.
"""

from collections.abc import Mapping
from typing import ClassVar

from msgspec.structs import replace

from proto.errors import FieldError
from proto.kinds import node_selector, validation
from proto.kinds.claim import FILESYSTEM, Amounts, modes_cell, phase_cell, validate_access
from proto.kinds.event import ObjectReference
from proto.kinds.kind import Column, Kind
from proto.kinds.node_selector import NodeSelector
from proto.kinds.pod import age_cell
from proto.kinds.volume import WITHOUT_DRIVER, HostPathVolumeSource
from proto.meta import Model, Resource, Time

LOCAL_DIRECTORY = "longshore.dev/local-directory"
DOCKER_VOLUME = "longshore.dev/docker-volume"

PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
"""Annotation of a volume that was made for a claim: by which provisioner."""

VOLUME_PROTECTION = "kubernetes.io/pv-protection"
"""Finalizer: a volume stays while a claim is bound to it."""

NODE_FINALIZER = "node.longshore.dev/"
"""Finalizer, followed by a node's name: that node may hold some of it."""

_NO_DRIVER = "nodes have no driver for it: mount it on the host, and use local or hostPath"
_NO_SECRETS = "Docker's drivers are told by volumeAttributes alone"


class LocalVolumeSource(Model, frozen=True, kw_only=True):
    """A folder of a node that is there already; `nodeAffinity` says which node's."""

    IGNORED: ClassVar[Mapping[str, str]] = {"fsType": "the folder has its file system already"}

    path: str = ""


class CSIPersistentVolumeSource(Model, frozen=True, kw_only=True):
    """A volume of Docker's.

    Attributes:
        driver: `DOCKER_VOLUME`.
        volume_handle: Its name in Docker.
        volume_attributes: Docker's ``driver`` (``local`` when it is not said); all others are that
            driver's options. Docker makes a volume that is not there.
    """

    IGNORED: ClassVar[Mapping[str, str]] = {"fsType": "Docker's driver chooses the file system"}
    REFUSED: ClassVar[Mapping[str, str]] = {
        "controllerExpandSecretRef": _NO_SECRETS,
        "controllerPublishSecretRef": _NO_SECRETS,
        "nodeExpandSecretRef": _NO_SECRETS,
        "nodePublishSecretRef": _NO_SECRETS,
        "nodeStageSecretRef": _NO_SECRETS,
    }

    driver: str = ""
    volume_handle: str = ""
    volume_attributes: dict[str, str] = {}
    read_only: bool = False


class VolumeNodeAffinity(Model, frozen=True, kw_only=True):
    """From which nodes it can be reached."""

    required: NodeSelector | None = None


class PersistentVolumeSpec(Model, frozen=True, kw_only=True):
    """What it is: exactly one of the sources, and what it offers."""

    REFUSED: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(WITHOUT_DRIVER, _NO_DRIVER),
        "mountOptions": "folders and Docker's volumes are mounted as they are",
    }

    capacity: Amounts = {}
    access_modes: tuple[str, ...] = ()
    claim_ref: ObjectReference | None = None
    persistent_volume_reclaim_policy: str = ""
    storage_class_name: str = ""
    volume_mode: str = ""
    node_affinity: VolumeNodeAffinity | None = None
    volume_attributes_class_name: str | None = None
    csi: CSIPersistentVolumeSource | None = None
    host_path: HostPathVolumeSource | None = None
    local: LocalVolumeSource | None = None

    @property
    def nodes(self) -> NodeSelector | None:
        """From which nodes it can be reached; None: from all."""
        return None if self.node_affinity is None else self.node_affinity.required


class PersistentVolumeStatus(Model, frozen=True, kw_only=True):
    """``Pending``, ``Available``, ``Bound``, ``Released`` or ``Failed``."""

    phase: str = ""
    message: str = ""
    reason: str = ""
    last_phase_transition_time: Time = ""


class PersistentVolume(Resource, frozen=True, kw_only=True):
    """See the module."""

    spec: PersistentVolumeSpec = PersistentVolumeSpec()
    status: PersistentVolumeStatus = PersistentVolumeStatus()

    @property
    def provisioner(self) -> str:
        """Who made it for a claim; empty: somebody by hand."""
        return self.metadata.annotations.get(PROVISIONED_BY, "")

    @property
    def is_kept_by_agents(self) -> bool:
        """Whether agents make what it stands for, and so remove it too."""
        return self.provisioner in (LOCAL_DIRECTORY, DOCKER_VOLUME)


def _defaults(volume: PersistentVolume) -> PersistentVolume:
    spec = volume.spec
    host_path = spec.host_path
    return replace(
        volume,
        spec=replace(
            spec,
            volume_mode=spec.volume_mode or FILESYSTEM,
            persistent_volume_reclaim_policy=spec.persistent_volume_reclaim_policy or "Retain",
            host_path=host_path and replace(host_path, type=host_path.type or ""),
        ),
        status=replace(volume.status, phase=volume.status.phase or "Pending"),
    )


def _validate(new: PersistentVolume, old: PersistentVolume | None) -> list[FieldError]:
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
        ("Delete", "Retain"),
    )
    if spec.nodes is not None:
        errors += node_selector.validate("spec.nodeAffinity.required", spec.nodes)
    errors += _validate_sources(spec)
    if old is not None and _sources(spec) != _sources(old.spec):
        said = "spec.persistentvolumesource is immutable after creation"
        errors.append(validation.forbidden("spec.persistentvolumesource", said))
    if old is not None and old.spec.node_affinity is not None:
        errors += validation.immutable(
            "spec.nodeAffinity", spec.node_affinity, old.spec.node_affinity
        )
    return errors


def _sources(spec: PersistentVolumeSpec) -> tuple[Model, ...]:
    found = (spec.csi, spec.host_path, spec.local)
    return tuple(source for source in found if source is not None)


def _validate_sources(spec: PersistentVolumeSpec) -> list[FieldError]:
    found = _sources(spec)
    if not found:
        return [validation.required("spec", "must specify a volume type")]
    if len(found) > 1:
        return [validation.forbidden("spec", "may not specify more than 1 volume type")]
    if spec.csi is not None:
        return _validate_csi(spec.csi)
    if spec.host_path is not None:
        return _validate_path("spec.hostPath.path", spec.host_path.path)
    assert spec.local is not None  # noqa: S101  one of three is set
    errors = _validate_path("spec.local.path", spec.local.path)
    if spec.nodes is None:
        said = "Local volume requires node affinity"
        errors.append(validation.required("spec.nodeAffinity", said))
    return errors


def _validate_path(at: str, path: str) -> list[FieldError]:
    if not path:
        return [validation.required(at)]
    if not path.startswith("/"):
        return [validation.invalid(at, path, "must be an absolute path")]
    if ".." in path.split("/"):
        return [validation.invalid(at, path, "must not contain '..'")]
    return []


def _validate_csi(csi: CSIPersistentVolumeSource) -> list[FieldError]:
    errors: list[FieldError] = []
    if csi.driver != DOCKER_VOLUME:
        errors.append(validation.not_supported("spec.csi.driver", csi.driver, [DOCKER_VOLUME]))
    if not csi.volume_handle:
        errors.append(validation.required("spec.csi.volumeHandle"))
    return errors


def _claim_cell(volume: PersistentVolume) -> str:
    claim = volume.spec.claim_ref
    return "" if claim is None else f"{claim.namespace}/{claim.name}"


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
        Column("Access Modes", lambda pv, _: modes_cell(pv.spec.access_modes)),
        Column("Reclaim Policy", lambda pv, _: pv.spec.persistent_volume_reclaim_policy),
        Column("Status", lambda pv, _: phase_cell(pv.metadata, pv.status.phase)),
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
    defaults=_defaults,
    validate=_validate,
)
