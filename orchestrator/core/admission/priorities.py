"""Priority classes: what a pod's class says about it, and that one class at most is the default.

Source of the rules and words: Kubernetes, plugin/pkg/admission/priority.
"""

from typing import Any

from msgspec.structs import replace

from orchestrator.core.admission.cluster import Cluster, R, forbidden
from proto.kinds.kind import Kind
from proto.kinds.pod import PODS, Pod, PodSpec
from proto.kinds.quota import PREEMPT_LOWER, PRIORITY_CLASSES, PriorityClass
from proto.meta import ObjectMeta

NO_CLASS = PriorityClass(metadata=ObjectMeta(), value=0, preemption_policy=PREEMPT_LOWER)
"""What goes for a pod without a class where no class is the default."""


def admit(kind: Kind[R], new: R, old: R | None, cluster: Cluster) -> R:
    """A pod with its class's priority and preemption policy; it keeps what it was made with.

    Raises:
        Forbidden: There is no such class, or the pod says something else than its class.
    """
    if kind is not PODS or not isinstance(new, Pod):
        return new
    pod: Any = new
    spec = new.spec
    if isinstance(old, Pod):
        kept: R = replace(pod, spec=_inheriting(spec, old.spec))
        return kept
    found = _class_of(new, cluster)
    if spec.priority not in (None, found.value):
        raise forbidden(
            kind,
            new,
            f"the integer value of priority ({spec.priority}) must not be provided in pod spec; "
            f"priority admission controller computed {found.value} from the given PriorityClass "
            "name",
        )
    if spec.preemption_policy not in ("", found.preemption_policy):
        raise forbidden(
            kind,
            new,
            f"the string value of PreemptionPolicy ({spec.preemption_policy}) must not be provided "
            f"in pod spec; priority admission controller computed {found.preemption_policy} from "
            "the given PriorityClass name",
        )
    complete = replace(
        spec,
        priority_class_name=found.metadata.name,
        priority=found.value,
        preemption_policy=found.preemption_policy,
    )
    admitted: R = replace(pod, spec=complete)
    return admitted


def _inheriting(spec: PodSpec, old: PodSpec) -> PodSpec:
    return replace(
        spec,
        priority=old.priority if spec.priority is None else spec.priority,
        preemption_policy=spec.preemption_policy or old.preemption_policy,
    )


def _class_of(pod: Pod, cluster: Cluster) -> PriorityClass:
    name = pod.spec.priority_class_name
    if name:
        found = cluster.get(PRIORITY_CLASSES, "", name)
        if found is None:
            raise forbidden(PODS, pod, f"no PriorityClass with name {name} was found")
        return found
    return min(_defaults(cluster), key=lambda found: found.value, default=NO_CLASS)


def _defaults(cluster: Cluster) -> list[PriorityClass]:
    return [found for found in cluster.objects(PRIORITY_CLASSES) if found.global_default]


def check(kind: Kind[Any], new: Any, _old: Any, cluster: Cluster) -> None:
    """Let one class at most be the default.

    Raises:
        Forbidden: Another one is.
    """
    if kind is not PRIORITY_CLASSES or not new.global_default:
        return
    for found in _defaults(cluster):
        if found.metadata.name != new.metadata.name:
            why = (
                f"PriorityClass {found.metadata.name} is already marked as default. Only one "
                "default can exist"
            )
            raise forbidden(kind, new, why)
