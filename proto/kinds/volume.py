"""Volumes of a pod: where their contents come from, and where its containers see them.

What is right and wrong is in `volume_rules`. Source of the defaults: Kubernetes,
pkg/apis/core/v1/defaults.go.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from msgspec import Meta, field
from msgspec.structs import replace

from proto import quantity
from proto.kinds.claim import PersistentVolumeClaimTemplate, default_claim_spec
from proto.kinds.source import ObjectFieldSelector, ResourceFieldSelector
from proto.meta import Model
from proto.quantity import Quantity

WITHOUT_DRIVER = (
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "glusterfs",
    "iscsi",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
)
"""Sources, of volumes and of persistent ones, that no node has a driver for."""

_NO_DRIVER = "nodes have no driver for it: mount it on the host, and use a hostPath"

MODE_DEFAULT = 0o644
"""Of a file that is made of a key. Source: Kubernetes, ConfigMapVolumeSourceDefaultMode."""


class KeyToPath(Model, frozen=True, kw_only=True):
    """One key as one file; `mode` is in decimal, as JSON has it."""

    key: str
    path: str
    mode: int | None = None


class ConfigMapProjection(Model, frozen=True, kw_only=True):
    """Keys of a ConfigMap as files.

    Attributes:
        items: Empty: every key, under its own name.
        optional: Whether the pod may run without it.
    """

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool | None = None


class ConfigMapVolumeSource(ConfigMapProjection, frozen=True, kw_only=True):
    """A volume of nothing else."""

    default_mode: int | None = None


class SecretProjection(ConfigMapProjection, frozen=True, kw_only=True):
    """Keys of a Secret as files."""


class SecretVolumeSource(Model, frozen=True, kw_only=True):
    """A volume of nothing else, on a tmpfs."""

    secret_name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int | None = None
    optional: bool | None = None


class DownwardAPIVolumeFile(Model, frozen=True, kw_only=True):
    """A field of the pod, or an amount of one of its containers, as a file."""

    path: str
    field_ref: ObjectFieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    mode: int | None = None


class DownwardAPIProjection(Model, frozen=True, kw_only=True):
    """What the pod is, as files."""

    items: tuple[DownwardAPIVolumeFile, ...] = ()


class DownwardAPIVolumeSource(DownwardAPIProjection, frozen=True, kw_only=True):
    """A volume of nothing else."""

    default_mode: int | None = None


class VolumeProjection(Model, frozen=True, kw_only=True):
    """One of the sources that share a volume."""

    REFUSED: ClassVar[Mapping[str, str]] = {
        "serviceAccountToken": "no token is made for a pod",
        "clusterTrustBundle": "there are no ClusterTrustBundles",
        "podCertificate": "no certificate is made for a pod",
    }

    config_map: ConfigMapProjection | None = None
    secret: SecretProjection | None = None
    downward_api: DownwardAPIProjection | None = field(default=None, name="downwardAPI")


class ProjectedVolumeSource(Model, frozen=True, kw_only=True):
    """Several sources in one volume."""

    sources: tuple[VolumeProjection, ...] = ()
    default_mode: int | None = None


class EmptyDirVolumeSource(Model, frozen=True, kw_only=True):
    """Room that lives as long as the pod.

    Attributes:
        medium: Empty for the node's disk, ``Memory`` for a tmpfs.
        size_limit: Of a tmpfs it is the size; on a disk a pod is evicted that has more.
    """

    medium: str = ""
    size_limit: Quantity = ""


class HostPathVolumeSource(Model, frozen=True, kw_only=True):
    """A path of the node.

    Attributes:
        type: What must be there, or is made; None before defaults.
    """

    path: str
    type: str | None = None


class PersistentVolumeClaimVolumeSource(Model, frozen=True, kw_only=True):
    """What a claim of the pod's namespace is bound to."""

    claim_name: str
    read_only: bool = False


class EphemeralVolumeSource(Model, frozen=True, kw_only=True):
    """A claim that is made for the pod, named ``<pod>-<volume>``, and goes with it."""

    volume_claim_template: PersistentVolumeClaimTemplate | None = None


class Volume(Model, frozen=True, kw_only=True):
    """One volume: a name and one source."""

    REFUSED: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(WITHOUT_DRIVER, _NO_DRIVER),
        "csi": "no CSI driver runs on a node",
        "gitRepo": "Kubernetes itself has switched it off: clone in an init container",
        "image": "Docker mounts no images",
    }

    name: str
    empty_dir: EmptyDirVolumeSource | None = None
    host_path: HostPathVolumeSource | None = None
    config_map: ConfigMapVolumeSource | None = None
    secret: SecretVolumeSource | None = None
    downward_api: DownwardAPIVolumeSource | None = field(default=None, name="downwardAPI")
    projected: ProjectedVolumeSource | None = None
    persistent_volume_claim: PersistentVolumeClaimVolumeSource | None = None
    ephemeral: EphemeralVolumeSource | None = None

    @property
    def is_in_memory(self) -> bool:
        """Whether it is room on a tmpfs."""
        return self.empty_dir is not None and self.empty_dir.medium == "Memory"


class VolumeMount(Model, frozen=True, kw_only=True):
    """Where a container sees a volume, or a part of it.

    Attributes:
        sub_path: Within the volume; what it names is not followed when it changes.
        sub_path_expr: The same, with ``$(NAME)`` for variables of the container.
    """

    REFUSED: ClassVar[Mapping[str, str]] = {
        "recursiveReadOnly": "Docker before 25 cannot make the mounts below a mount read-only",
    }

    PARTLY: ClassVar[Mapping[str, str]] = {
        "mountPropagation": "only None: Longshore does not propagate mounts",
    }

    name: str
    mount_path: str
    sub_path: str = ""
    sub_path_expr: str = ""
    read_only: bool = False
    mount_propagation: str = ""


Volumes = Annotated[tuple[Volume, ...], Meta(extra={"merge_key": "name", "retain_keys": True})]
VolumeMounts = Annotated[tuple[VolumeMount, ...], Meta(extra={"merge_key": "mountPath"})]


def claim_name(pod: str, volume: Volume) -> str:
    """The claim that a volume of this pod means; empty for any other volume."""
    if volume.persistent_volume_claim is not None:
        return volume.persistent_volume_claim.claim_name
    return f"{pod}-{volume.name}" if volume.ephemeral is not None else ""


def projections(volume: Volume) -> tuple[VolumeProjection, ...]:
    """The sources of a volume that is made of files; empty for any other."""
    if volume.projected is not None:
        return volume.projected.sources
    if volume.config_map is not None:
        one = volume.config_map
        found = ConfigMapProjection(name=one.name, items=one.items, optional=one.optional)
        return (VolumeProjection(config_map=found),)
    if volume.secret is not None:
        of = volume.secret
        kept = SecretProjection(name=of.secret_name, items=of.items, optional=of.optional)
        return (VolumeProjection(secret=kept),)
    if volume.downward_api is not None:
        made = DownwardAPIProjection(items=volume.downward_api.items)
        return (VolumeProjection(downward_api=made),)
    return ()


def default_mode(volume: Volume) -> int:
    """Of the files of a volume."""
    source = volume.projected or volume.config_map or volume.secret or volume.downward_api
    mode = source.default_mode if source is not None else None
    return MODE_DEFAULT if mode is None else mode


def default_volume(volume: Volume) -> Volume:
    """The volume with Kubernetes' defaults; one without any source is an empty directory."""
    host_path = volume.host_path
    found = replace(
        volume,
        host_path=host_path and replace(host_path, type=host_path.type or ""),
        config_map=volume.config_map
        and replace(volume.config_map, default_mode=default_mode(volume)),
        secret=volume.secret and replace(volume.secret, default_mode=default_mode(volume)),
        downward_api=volume.downward_api
        and replace(volume.downward_api, default_mode=default_mode(volume)),
        projected=volume.projected and replace(volume.projected, default_mode=default_mode(volume)),
        empty_dir=volume.empty_dir
        and replace(volume.empty_dir, size_limit=quantity.canonical(volume.empty_dir.size_limit)),
        ephemeral=volume.ephemeral and _default_ephemeral(volume.ephemeral),
    )
    return found if sources(found) else replace(found, empty_dir=EmptyDirVolumeSource())


def _default_ephemeral(source: EphemeralVolumeSource) -> EphemeralVolumeSource:
    template = source.volume_claim_template
    if template is None:
        return source
    spec = default_claim_spec(template.spec)
    return replace(source, volume_claim_template=replace(template, spec=spec))


def sources(volume: Volume) -> list[str]:
    """The names of its sources; a valid volume has one."""
    named = {
        "emptyDir": volume.empty_dir,
        "hostPath": volume.host_path,
        "configMap": volume.config_map,
        "secret": volume.secret,
        "downwardAPI": volume.downward_api,
        "projected": volume.projected,
        "persistentVolumeClaim": volume.persistent_volume_claim,
        "ephemeral": volume.ephemeral,
    }
    return [name for name, source in named.items() if source is not None]
