"""What a pod's claims mean: where it may run, what it waits for, and what its node is told.

Source of the rules and words: Kubernetes, the scheduler's plugins volumebinding and
volumerestrictions.
"""

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.core.decisions import Update
from orchestrator.core.storage import ephemeral, matching, provision, volumes
from proto.kinds.node_selector import NodeSelector, NodeSelectorTerm
from proto.kinds.persistentvolume import PersistentVolume
from proto.kinds.pod import Pod, PodSpec, is_terminated
from proto.kinds.storage import (
    NO_PROVISIONER,
    PERSISTENT_VOLUME_CLAIMS,
    SELECTED_NODE,
    PersistentVolumeClaim,
    StorageClass,
)
from proto.kinds.volume import claim_name
from proto.messages import AssignedClaim

UNBOUND = "pod has unbound immediate PersistentVolumeClaims"
NO_VOLUMES = "node(s) didn't find available persistent volumes to bind"
ONE_POD = (
    "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
)


class Needs(Struct, frozen=True):
    """Where a pod may run, as far as its claims are concerned.

    Attributes:
        selectors: All of them must select its node.
        choosing: Claims that get their volumes where it is to run, once that is known.
        is_ready: Whether it may be bound as soon as it has a node: its claims have their volumes.
    """

    selectors: tuple[NodeSelector, ...] = ()
    choosing: tuple[PersistentVolumeClaim, ...] = ()
    is_ready: bool = True


class Blocked(Exception):
    """No node can take the pod, for the reason that this says.

    Attributes:
        is_by_node: Whether it counts nodes, so that their number goes before it.
    """

    def __init__(self, said: str, *, is_by_node: bool = False) -> None:
        super().__init__(said)
        self.is_by_node = is_by_node


class Known(Struct, frozen=True):
    """What is known of a pod's claims.

    Attributes:
        claims: By name: those that its volumes mean and that exist.
        volumes: All, by name.
        classes: By name.
        others: By claim: other pods that use it.
    """

    claims: Mapping[str, PersistentVolumeClaim]
    volumes: Mapping[str, PersistentVolume]
    classes: Mapping[str, StorageClass]
    others: Mapping[str, Iterable[Pod]] = {}


def names(pod: str, spec: PodSpec) -> tuple[str, ...]:
    """The claims that a pod of this name uses, each once."""
    found = (claim_name(pod, volume) for volume in spec.volumes)
    return tuple(dict.fromkeys(name for name in found if name))


def needs(pod: Pod, known: Known) -> Needs:
    """What the pod's claims ask of its node.

    Raises:
        Blocked: No node will do for now.
    """
    _check_ephemeral(pod, known)
    selectors: list[NodeSelector] = []
    choosing: list[PersistentVolumeClaim] = []
    is_ready = True
    for name in names(pod.metadata.name, pod.spec):
        claim = known.claims.get(name)
        if claim is None:
            raise Blocked(f'persistentvolumeclaim "{name}" not found')
        if claim.metadata.deletion_timestamp:
            raise Blocked(f'persistentvolumeclaim "{name}" is being deleted')
        if "ReadWriteOncePod" in claim.spec.access_modes and _is_taken(known.others.get(name, ())):
            raise Blocked(ONE_POD, is_by_node=True)
        if matching.is_bound(claim):
            selectors += _of_volume(claim, known)
            continue
        is_ready = False
        selected = matching.selected_node(claim)
        if selected:
            selectors.append(provision.named(selected))
        else:
            selectors += _of_class(claim, known)
            choosing.append(claim)
    return Needs(tuple(selectors), tuple(choosing), is_ready)


def _check_ephemeral(pod: Pod, known: Known) -> None:
    for volume in pod.spec.volumes:
        if volume.ephemeral is None:
            continue
        name = claim_name(pod.metadata.name, volume)
        claim = known.claims.get(name)
        if claim is None:
            raise Blocked(
                "waiting for ephemeral volume controller to create the persistentvolumeclaim "
                f'"{name}"'
            )
        if not ephemeral.is_made_for(claim, pod):
            namespace = pod.metadata.namespace
            raise Blocked(
                f"PVC {namespace}/{name} was not created for pod "
                f"{namespace}/{pod.metadata.name} (pod is not owner)"
            )


def _is_taken(others: Iterable[Pod]) -> bool:
    return any(pod.spec.node_name and not is_terminated(pod) for pod in others)


def _of_volume(claim: PersistentVolumeClaim, known: Known) -> Iterator[NodeSelector]:
    name = claim.spec.volume_name
    volume = volumes.of_claim(claim, known.volumes.get(name))
    if volume is None:
        raise Blocked(
            f'persistentvolumeclaim "{claim.metadata.name}" bound to non-existent '
            f'persistentvolume "{name}"'
        )
    if volume.spec.nodes is not None:
        yield volume.spec.nodes


def _of_class(claim: PersistentVolumeClaim, known: Known) -> Iterator[NodeSelector]:
    """Where a volume can be found, or made, for a claim that waits for its pod."""
    found = known.classes.get(matching.class_name(claim))
    if found is None or not found.waits or claim.spec.volume_name:
        raise Blocked(UNBOUND)
    fitting = [v for v in known.volumes.values() if matching.suits(v, claim)]
    if found.provisioner != NO_PROVISIONER:
        if found.nodes is not None:
            yield found.nodes
        return
    if not fitting:
        raise Blocked(NO_VOLUMES, is_by_node=True)
    selectors = [volume.spec.nodes for volume in fitting]
    if None not in selectors:
        terms: list[NodeSelectorTerm] = []
        for selector in selectors:
            terms += selector.node_selector_terms if selector is not None else ()
        yield NodeSelector(node_selector_terms=tuple(dict.fromkeys(terms)))


def chosen(claim: PersistentVolumeClaim, node: str, pod: Pod) -> Update:
    """The claim, with the node on which it is to get its volume."""
    meta = claim.metadata
    marked = replace(meta, annotations=meta.annotations | {SELECTED_NODE: node})
    cause = f"pod {pod.metadata.name} is to run on {node}"
    return Update(PERSISTENT_VOLUME_CLAIMS, replace(claim, metadata=marked), cause)


def assigned(pod: Pod, known: Known) -> Iterator[AssignedClaim]:
    """What the pod's node is told of its claims; nothing of those without a volume."""
    for name in names(pod.metadata.name, pod.spec):
        claim = known.claims.get(name)
        if claim is None:
            continue
        volume = volumes.of_claim(claim, known.volumes.get(claim.spec.volume_name))
        if volume is None:
            continue
        kept, spec = volumes.stored(volume), volume.spec
        if kept is not None:
            is_read_only = spec.csi is not None and spec.csi.read_only
            yield AssignedClaim(name=name, stored=kept, is_read_only=is_read_only)
        elif spec.local is not None:
            yield AssignedClaim(name=name, path=spec.local.path, type="Directory")
        elif spec.host_path is not None:
            yield AssignedClaim(name=name, path=spec.host_path.path, type=spec.host_path.type or "")
