"""Claims that are made for a pod's volumes and go with it.

Source of the rules: Kubernetes, pkg/controller/volume/ephemeral. The garbage collector removes a
claim once its pod is gone.
"""

from collections.abc import Iterator, Mapping

from orchestrator.core.decisions import Create, Decision, Emit, Plan
from orchestrator.core.ownership import reference
from proto.kinds.pod import PODS, Pod, is_active
from proto.kinds.storage import (
    CLAIM_PROTECTION,
    PERSISTENT_VOLUME_CLAIMS,
    PersistentVolumeClaim,
)
from proto.kinds.volume import claim_name
from proto.meta import ObjectMeta


def plan(pod: Pod, claims: Mapping[str, PersistentVolumeClaim]) -> Plan:
    """Make those that are missing.

    Args:
        pod: Present.
        claims: Of its namespace, by name: at least those that its volumes mean.
    """
    return Plan(tuple(_made(pod, claims))) if is_active(pod) else Plan()


def _made(pod: Pod, claims: Mapping[str, PersistentVolumeClaim]) -> Iterator[Decision]:
    for volume in pod.spec.volumes:
        source = volume.ephemeral
        if source is None or source.volume_claim_template is None:
            continue
        name = claim_name(pod.metadata.name, volume)
        present = claims.get(name)
        if present is None:
            template = source.volume_claim_template
            claim = PersistentVolumeClaim(
                metadata=ObjectMeta(
                    name=name,
                    namespace=pod.metadata.namespace,
                    labels=template.metadata.labels,
                    annotations=template.metadata.annotations,
                    owner_references=(reference(PODS, pod),),
                    finalizers=(CLAIM_PROTECTION,),
                ),
                spec=template.spec,
            )
            yield Create(PERSISTENT_VOLUME_CLAIMS, claim, f"for pod {pod.metadata.name}")
        elif not is_made_for(present, pod):
            said = (
                f"PVC {pod.metadata.namespace}/{name} was not created for pod "
                f"{pod.metadata.namespace}/{pod.metadata.name} (pod is not owner)"
            )
            yield Emit(PODS, pod, "Warning", "FailedBinding", said)


def is_made_for(claim: PersistentVolumeClaim, pod: Pod) -> bool:
    """Whether the claim is this pod's, rather than one that happens to be called so."""
    owner = claim.metadata.controller
    return owner is not None and owner.uid == pod.metadata.uid
