"""One pod of a StatefulSet: its name, its labels, and the claims that keep its data.

All of it follows from the set and an ordinal, so that the pod which takes the place of another has
the same name and the same storage. Source: Kubernetes, pkg/controller/statefulset
(stateful_set_utils.go).
"""

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.core.decisions import Create, Emit, Update
from orchestrator.core.ownership import reference
from orchestrator.core.revisions import HASH_LABEL
from proto.kinds.pod import PODS, Pod, PodTemplateSpec
from proto.kinds.statefulset import (
    STATEFUL_SETS,
    ClaimRetentionPolicy,
    StatefulSet,
    with_claims,
)
from proto.kinds.storage import PERSISTENT_VOLUME_CLAIMS, PersistentVolumeClaim
from proto.meta import ObjectMeta, OwnerReference

NAME_LABEL = "statefulset.kubernetes.io/pod-name"
INDEX_LABEL = "apps.kubernetes.io/pod-index"

_ORDINAL = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)

Claims = Mapping[str, PersistentVolumeClaim]
"""Claims by name."""


class Slot(Struct, frozen=True):
    """A place in a set.

    Attributes:
        pod: Who holds it; None: nobody.
        is_condemned: It is beyond what the set asks for.
    """

    ordinal: int
    pod: Pod | None = None
    is_condemned: bool = False


def name_of(sts: StatefulSet, ordinal: int) -> str:
    """``web-0``."""
    return f"{sts.metadata.name}-{ordinal}"


def ordinal_of(sts: StatefulSet, pod: Pod) -> int | None:
    """Which place a pod of that name has in the set; None: none."""
    name, dash, number = pod.metadata.name.rpartition("-")
    is_member = name == sts.metadata.name and dash and _ORDINAL.fullmatch(number)
    return int(number) if is_member else None


def claim_names(sts: StatefulSet, ordinal: int) -> dict[str, str]:
    """Volume's name to the name of its claim: ``data`` to ``data-web-0``."""
    return {
        wanted.metadata.name: f"{wanted.metadata.name}-{name_of(sts, ordinal)}"
        for wanted in sts.spec.volume_claim_templates
    }


def has_claim(sts: StatefulSet, name: str) -> bool:
    """Whether a claim of that name is one of its places'."""
    return any(
        name.startswith(f"{wanted.metadata.name}-{sts.metadata.name}-")
        for wanted in sts.spec.volume_claim_templates
    )


def new_pod(sts: StatefulSet, template: PodTemplateSpec, revision: str, ordinal: int) -> Pod:
    """The pod of a place.

    Args:
        sts: The set.
        template: Of the revision of that name.
        revision: The revision's name.
        ordinal: Which place.
    """
    name = name_of(sts, ordinal)
    return Pod(
        metadata=ObjectMeta(
            name=name,
            generate_name=f"{sts.metadata.name}-",
            namespace=sts.metadata.namespace,
            labels=template.metadata.labels | _identity(sts, ordinal) | {HASH_LABEL: revision},
            annotations=template.metadata.annotations,
            finalizers=template.metadata.finalizers,
            owner_references=(reference(STATEFUL_SETS, sts),),
        ),
        spec=replace(
            with_claims(template.spec, claim_names(sts, ordinal)),
            hostname=name,
            subdomain=sts.spec.service_name,
        ),
    )


def _identity(sts: StatefulSet, ordinal: int) -> dict[str, str]:
    return {NAME_LABEL: name_of(sts, ordinal), INDEX_LABEL: str(ordinal)}


def identified(sts: StatefulSet, slot: Slot) -> Iterator[Update]:
    """Give a pod that was adopted the labels of its place."""
    pod = slot.pod
    if pod is None:
        return
    labels = pod.metadata.labels | _identity(sts, slot.ordinal)
    if labels != pod.metadata.labels:
        changed = replace(pod, metadata=replace(pod.metadata, labels=labels))
        yield Update(PODS, changed, f"it has place {slot.ordinal}")


# -- claims


def is_stale(sts: StatefulSet, slot: Slot, claims: Claims) -> bool:
    """Whether a claim of an empty place is about to go with the pod that had it."""
    return slot.pod is None and any(
        owner.kind == PODS.name
        for name in claim_names(sts, slot.ordinal).values()
        if name in claims
        for owner in claims[name].metadata.owner_references
    )


def claimed(sts: StatefulSet, slot: Slot, claims: Claims) -> Iterator[Create | Update]:
    """Make the claims of a place that are missing; let those go along that should."""
    names = claim_names(sts, slot.ordinal)
    for wanted in sts.spec.volume_claim_templates:
        name = names[wanted.metadata.name]
        found = claims.get(name)
        if found is None and not slot.is_condemned:
            yield _created(sts, slot, name, wanted)
        elif found is not None and not found.metadata.deletion_timestamp:
            kept = _owners(sts, slot, found)
            if kept != found.metadata.owner_references:
                changed = replace(found, metadata=replace(found.metadata, owner_references=kept))
                yield Update(PERSISTENT_VOLUME_CLAIMS, changed, "with whom it goes")


def _created(sts: StatefulSet, slot: Slot, name: str, wanted: PersistentVolumeClaim) -> Create:
    selector = sts.spec.selector
    labels = wanted.metadata.labels | (selector.match_labels if selector else {})
    draft = PersistentVolumeClaim(
        metadata=ObjectMeta(
            name=name,
            namespace=sts.metadata.namespace,
            labels=labels,
            annotations=wanted.metadata.annotations,
        ),
        spec=wanted.spec,
    )
    owners = _owners(sts, slot, draft)
    pod = name_of(sts, slot.ordinal)
    return Create(
        PERSISTENT_VOLUME_CLAIMS,
        replace(draft, metadata=replace(draft.metadata, owner_references=owners)),
        f"volume {wanted.metadata.name} of {pod}",
        told(sts, f"create Claim {name} Pod {pod} in StatefulSet {sts.metadata.name} success"),
    )


def told(sts: StatefulSet, message: str, reason: str = "SuccessfulCreate") -> Emit:
    """What is said of a set when it made something."""
    return Emit(STATEFUL_SETS, sts, "Normal", reason, message)


def _owners(
    sts: StatefulSet, slot: Slot, claim: PersistentVolumeClaim
) -> tuple[OwnerReference, ...]:
    """With whom a claim goes: the set, the pod that is scaled away, or nobody of these."""
    policy = sts.spec.persistent_volume_claim_retention_policy or ClaimRetentionPolicy()
    goes_with_pod = policy.when_scaled == "Delete" and slot.is_condemned
    wanted: list[OwnerReference] = []
    if goes_with_pod and slot.pod is not None:
        wanted.append(_plain_reference("v1", PODS.name, slot.pod.metadata))
    elif policy.when_deleted == "Delete" and not goes_with_pod:
        wanted.append(_plain_reference(STATEFUL_SETS.api_version, STATEFUL_SETS.name, sts.metadata))
    pod = name_of(sts, slot.ordinal)
    ours = {(STATEFUL_SETS.name, sts.metadata.name), (PODS.name, pod)}
    have = claim.metadata.owner_references
    others = tuple(owner for owner in have if (owner.kind, owner.name) not in ours)
    if {owner.uid for owner in have} == {owner.uid for owner in (*others, *wanted)}:
        return have
    return (*others, *wanted)


def _plain_reference(api_version: str, kind: str, meta: ObjectMeta) -> OwnerReference:
    """Of an owner that is not a controller."""
    return OwnerReference(api_version=api_version, kind=kind, name=meta.name, uid=meta.uid)
