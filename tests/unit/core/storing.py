"""Short ways to make what the storage cores look at."""

from msgspec.structs import replace

from orchestrator.core.storage.provision import FOLDER_ANNOTATION, LOCAL_CLASS
from proto.kinds.claim import PersistentVolumeClaimSpec, VolumeResources
from proto.kinds.event import ObjectReference
from proto.kinds.node import Node
from proto.kinds.node_selector import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from proto.kinds.persistentvolume import (
    PERSISTENT_VOLUMES,
    VOLUME_PROTECTION,
    PersistentVolume,
    PersistentVolumeSpec,
    VolumeNodeAffinity,
)
from proto.kinds.pod import Pod
from proto.kinds.storage import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    CLAIM_PROTECTION,
    PERSISTENT_VOLUME_CLAIMS,
    STORAGE_CLASSES,
    PersistentVolumeClaim,
    StorageClass,
)
from proto.kinds.volume import HostPathVolumeSource, PersistentVolumeClaimVolumeSource, Volume
from proto.meta import ObjectMeta
from tests.unit.core import making
from tests.unit.core.making import NOW

LOCAL = STORAGE_CLASSES.defaults(LOCAL_CLASS)


def claim(
    name: str = "data",
    *,
    size: str = "1Gi",
    of: str | None = "",
    modes: tuple[str, ...] = ("ReadWriteOnce",),
    annotations: dict[str, str] | None = None,
    bound_to: str = "",
    deleting: bool = False,
    finalizers: tuple[str, ...] = (CLAIM_PROTECTION,),
    **spec: object,
) -> PersistentVolumeClaim:
    marks = {BIND_COMPLETED: "yes", BOUND_BY_CONTROLLER: "yes"} if bound_to else {}
    found = PersistentVolumeClaim(
        metadata=ObjectMeta(
            name=name,
            namespace="default",
            uid=f"uid-{name}",
            annotations=marks | (annotations or {}),
            finalizers=finalizers,
            deletion_timestamp=NOW if deleting else "",
        ),
        spec=PersistentVolumeClaimSpec(
            access_modes=modes,
            resources=VolumeResources(requests={"storage": size}),
            storage_class_name=of,
            **{"volume_name": bound_to, **spec},
        ),
    )
    return PERSISTENT_VOLUME_CLAIMS.defaults(found)


def volume(
    name: str = "disk",
    *,
    size: str = "1Gi",
    of: str = "",
    given_to: str = "",
    uid: str | None = None,
    modes: tuple[str, ...] = ("ReadWriteOnce",),
    policy: str = "Retain",
    nodes: tuple[str, ...] = (),
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    deleting: bool = False,
    finalizers: tuple[str, ...] = (VOLUME_PROTECTION,),
    **spec: object,
) -> PersistentVolume:
    ref = None
    if given_to:
        ref = ObjectReference(
            kind="PersistentVolumeClaim",
            namespace="default",
            name=given_to,
            uid=f"uid-{given_to}" if uid is None else uid,
        )
    found = PersistentVolume(
        metadata=ObjectMeta(
            name=name,
            uid=f"uid-{name}",
            labels=labels or {},
            annotations=annotations or {},
            finalizers=finalizers,
            deletion_timestamp=NOW if deleting else "",
        ),
        spec=PersistentVolumeSpec(
            capacity={"storage": size},
            access_modes=modes,
            claim_ref=ref,
            persistent_volume_reclaim_policy=policy,
            storage_class_name=of,
            node_affinity=VolumeNodeAffinity(required=on(*nodes)) if nodes else None,
            **{"host_path": HostPathVolumeSource(path="/srv/disk"), **spec},
        ),
    )
    return PERSISTENT_VOLUMES.defaults(found)


def on(*nodes: str) -> NodeSelector:
    """Selects the nodes of these names."""
    return NodeSelector(
        node_selector_terms=tuple(
            NodeSelectorTerm(
                match_fields=(
                    NodeSelectorRequirement(key="metadata.name", operator="In", values=(name,)),
                )
            )
            for name in nodes
        )
    )


def a_class(name: str = "fast", **fields: object) -> StorageClass:
    found = {"provisioner": LOCAL.provisioner, **fields}
    return STORAGE_CLASSES.defaults(StorageClass(metadata=ObjectMeta(name=name), **found))


def node(name: str, *, ready: str = "True") -> Node:
    found = making.node(name, ready=ready)
    meta = replace(found.metadata, annotations={FOLDER_ANNOTATION: f"/var/{name}"})
    return replace(found, metadata=meta)


def using(name: str, *claims: str, node: str = "") -> Pod:
    """A pod with these claims."""
    volumes = tuple(
        Volume(
            name=f"v{index}",
            persistent_volume_claim=PersistentVolumeClaimVolumeSource(claim_name=one),
        )
        for index, one in enumerate(claims)
    )
    found = making.pod(name, node=node)
    return replace(found, spec=replace(found.spec, volumes=volumes))
