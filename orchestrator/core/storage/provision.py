"""Volumes that are made for claims: a folder on a node's disk, or a volume of Docker's.

Making one is writing its PersistentVolume: its agent makes the rest when a pod first needs it.
"""

from collections.abc import Iterable, Mapping

from orchestrator.core.storage.matching import selected_node
from proto.kinds.event import ObjectReference
from proto.kinds.node import HOSTNAME_LABEL, Node
from proto.kinds.node_selector import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from proto.kinds.persistentvolume import (
    DOCKER_VOLUME,
    LOCAL_DIRECTORY,
    NODE_FINALIZER,
    PROVISIONED_BY,
    VOLUME_PROTECTION,
    CSIPersistentVolumeSource,
    LocalVolumeSource,
    PersistentVolume,
    PersistentVolumeSpec,
    VolumeNodeAffinity,
)
from proto.kinds.storage import (
    DEFAULT_CLASS,
    PERSISTENT_VOLUME_CLAIMS,
    WAIT,
    PersistentVolumeClaim,
    StorageClass,
)
from proto.meta import ObjectMeta, is_true

OURS = (LOCAL_DIRECTORY, DOCKER_VOLUME)

FOLDER_ANNOTATION = "longshore.dev/volumes-folder"
"""Of a node: where its agent keeps volumes."""

NETWORK_TYPES = frozenset({"cifs", "nfs", "nfs3", "nfs4", "smb3"})
"""File systems that Docker's driver ``local`` mounts from elsewhere: every node sees the same."""

ONE_NODE_MODES = frozenset({"ReadWriteOnce", "ReadWriteOncePod"})

LOCAL_CLASS = StorageClass(
    metadata=ObjectMeta(name="local", annotations={DEFAULT_CLASS: "true"}),
    provisioner=LOCAL_DIRECTORY,
    volume_binding_mode=WAIT,
    allow_volume_expansion=True,
)
"""A class of every cluster, and its default; a missing one is made."""


class Refused(Exception):
    """No volume can be made for the claim, for the reason that this says to people."""


def is_on_a_node(found: StorageClass) -> bool:
    """Whether the class's volumes are each on one node's disk."""
    options = found.parameters
    is_network = options.get("type") in NETWORK_TYPES
    return found.provisioner == LOCAL_DIRECTORY or (
        options.get("driver", "local") == "local" and not is_network
    )


def choose(
    claim: PersistentVolumeClaim,
    found: StorageClass,
    nodes: Mapping[str, Node],
    volumes: Iterable[PersistentVolume],
) -> Node | None:
    """The node whose disk it is to be on; None for one that is on no single node.

    Where nobody waits for a pod it is the one that was given the fewest.

    Raises:
        Refused: There is no such node.
    """
    if not is_on_a_node(found):
        return None
    if name := selected_node(claim):
        return nodes[name]
    held = dict.fromkeys(nodes, 0)
    for volume in volumes:
        for finalizer in volume.metadata.finalizers:
            held[finalizer.removeprefix(NODE_FINALIZER)] = (
                held.get(finalizer.removeprefix(NODE_FINALIZER), 0) + 1
            )
    fit = [
        node
        for node in nodes.values()
        if is_true(node.status.conditions, "Ready")
        and not node.spec.unschedulable
        and (found.nodes is None or found.nodes.matches(node.metadata.name, node.metadata.labels))
    ]
    if not fit:
        raise Refused("no node is ready that it could be made on")
    return min(fit, key=lambda node: (held[node.metadata.name], node.metadata.name))


def volume_for(
    claim: PersistentVolumeClaim, found: StorageClass, node: Node | None
) -> PersistentVolume:
    """The volume, given to the claim already.

    Args:
        claim: Unbound.
        found: Its class, of one of `OURS`.
        node: See `choose`.

    Raises:
        Refused: The class or the claim asks for what cannot be.
    """
    if claim.spec.selector is not None:
        raise Refused("claim.spec.selector is not supported for dynamic provisioning")
    if node is not None and not set(claim.spec.access_modes) <= ONE_NODE_MODES:
        raise Refused(
            "the volume is on one node's disk: only the access modes ReadWriteOnce and "
            "ReadWriteOncePod are supported"
        )
    meta = claim.metadata
    name = f"pvc-{meta.uid}"
    csi, local = None, None
    if found.provisioner == LOCAL_DIRECTORY:
        local = _folder(found, node, name)
    else:
        csi = CSIPersistentVolumeSource(
            driver=DOCKER_VOLUME,
            volume_handle=name,
            volume_attributes=_options(found, claim, name),
        )
    spec = PersistentVolumeSpec(
        capacity={"storage": claim.spec.resources.requests["storage"]},
        access_modes=claim.spec.access_modes,
        claim_ref=ObjectReference(
            kind=PERSISTENT_VOLUME_CLAIMS.name,
            api_version=PERSISTENT_VOLUME_CLAIMS.api_version,
            namespace=meta.namespace,
            name=meta.name,
            uid=meta.uid,
        ),
        persistent_volume_reclaim_policy=found.reclaim_policy,
        storage_class_name=found.metadata.name,
        volume_mode=claim.spec.volume_mode,
        node_affinity=None if node is None else VolumeNodeAffinity(required=_only(node)),
        csi=csi,
        local=local,
    )
    finalizers = [VOLUME_PROTECTION]
    if node is not None:
        finalizers.append(NODE_FINALIZER + node.metadata.name)
    annotations = {PROVISIONED_BY: found.provisioner}
    made = ObjectMeta(name=name, annotations=annotations, finalizers=tuple(finalizers))
    return PersistentVolume(metadata=made, spec=spec)


def _folder(found: StorageClass, node: Node | None, name: str) -> LocalVolumeSource:
    """For people to see: an agent goes by the volume's name, within its own folder."""
    if found.parameters:
        unknown = ", ".join(sorted(found.parameters))
        raise Refused(f"{LOCAL_DIRECTORY} has no parameters: leave out {unknown}")
    assert node is not None  # noqa: S101  it is on a node
    folder = node.metadata.annotations.get(FOLDER_ANNOTATION)
    if folder is None:
        raise Refused(f"node {node.metadata.name} does not say where it keeps volumes")
    return LocalVolumeSource(path=f"{folder}/{name}")


def _options(found: StorageClass, claim: PersistentVolumeClaim, name: str) -> dict[str, str]:
    """The class's parameters, with the claim's and the volume's names where they ask for them.

    Source of the spelling: the NFS driver of Kubernetes, whose ``subDir`` takes the same.
    """
    names = {
        "${pvc.metadata.name}": claim.metadata.name,
        "${pvc.metadata.namespace}": claim.metadata.namespace,
        "${pv.metadata.name}": name,
    }
    options = dict(found.parameters)
    for key, value in options.items():
        for spelled, meant in names.items():
            value = value.replace(spelled, meant)  # noqa: PLW2901
        options[key] = value
    return options


def _only(node: Node) -> NodeSelector:
    """Selects this node by its label, as others do, where it has one."""
    label = node.metadata.labels.get(HOSTNAME_LABEL)
    if label == node.metadata.name:
        by_label = NodeSelectorRequirement(key=HOSTNAME_LABEL, operator="In", values=(label,))
        return NodeSelector(node_selector_terms=(NodeSelectorTerm(match_expressions=(by_label,)),))
    return named(node.metadata.name)


def named(node: str) -> NodeSelector:
    """Selects the node of that name."""
    by_name = NodeSelectorRequirement(key="metadata.name", operator="In", values=(node,))
    return NodeSelector(node_selector_terms=(NodeSelectorTerm(match_fields=(by_name,)),))
