"""One pod of a DaemonSet: which nodes it fits, how it is kept to one, how failures are retried.

Source: Kubernetes, pkg/controller/daemon (NodeShouldRunDaemonPod) and its util
(AddOrUpdateDaemonPodTolerations, ReplaceDaemonSetPodNodeNameNodeAffinity).
"""

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.core.ownership import reference
from orchestrator.core.revisions import HASH_LABEL
from proto.kinds.affinity import Affinity
from proto.kinds.daemonset import DAEMON_SETS, DaemonSet
from proto.kinds.node import (
    NOT_READY_TAINT,
    UNREACHABLE_TAINT,
    UNSCHEDULABLE_TAINT,
    Node,
)
from proto.kinds.node_selector import (
    NAME_FIELD,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
)
from proto.kinds.pod import Pod, PodSpec
from proto.kinds.toleration import Toleration, tolerates
from proto.meta import ObjectMeta, parse_time_ms

FAILURES_ANNOTATION = "longshore.dev/failures"
"""On a daemon pod: how many before it failed on this node, one after the other."""

BACKOFF_MS = 1_000
BACKOFF_MAX_MS = 900_000
"""Before a failed pod is replaced: doubles. Source: Kubernetes, failedPodsBackoff."""

_TOLERATED = (
    (NOT_READY_TAINT, "NoExecute"),
    (UNREACHABLE_TAINT, "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    (UNSCHEDULABLE_TAINT, "NoSchedule"),
)
_TOLERATED_ON_HOST_NETWORK = (("node.kubernetes.io/network-unavailable", "NoSchedule"),)


class Fit(Struct, frozen=True):
    """What a node and a template say to each other.

    Attributes:
        should_run: A pod should be made there.
        may_stay: One that is there is left alone.
    """

    should_run: bool
    may_stay: bool


def fit(spec: PodSpec, node: Node) -> Fit:
    """Whether pods of a template belong on a node, full or not."""
    labels = node.metadata.labels
    name, required = node.metadata.name, _required(spec)
    is_chosen = (
        spec.node_name in ("", name)
        and all(labels.get(key) == value for key, value in spec.node_selector.items())
        and (required is None or required.matches(name, labels))
    )
    tolerations = _tolerations(spec)
    refusing = {
        taint.effect
        for taint in node.spec.taints
        if not tolerates(tolerations, taint.key, taint.value, taint.effect)
    } - {"PreferNoSchedule"}
    return Fit(is_chosen and not refusing, is_chosen and "NoExecute" not in refusing)


def _tolerations(spec: PodSpec) -> tuple[Toleration, ...]:
    """The template's, and those of every daemon."""
    added = _TOLERATED + (_TOLERATED_ON_HOST_NETWORK if spec.host_network else ())
    daemon = (Toleration(key=key, operator="Exists", effect=effect) for key, effect in added)
    return (*spec.tolerations, *(found for found in daemon if found not in spec.tolerations))


def _required(spec: PodSpec) -> NodeSelector | None:
    affinity = spec.affinity and spec.affinity.node_affinity
    return affinity.required if affinity else None


def _pinned(spec: PodSpec, node: str) -> PodSpec:
    """The spec of a pod that only this node can take; `fit` has seen to what it required before."""
    here = NodeSelectorRequirement(key=NAME_FIELD, operator="In", values=(node,))
    only = NodeSelector(node_selector_terms=(NodeSelectorTerm(match_fields=(here,)),))
    affinity = spec.affinity or Affinity()
    nodes = replace(affinity.node_affinity or NodeAffinity(), required=only)
    return replace(spec, affinity=replace(affinity, node_affinity=nodes))


def node_of(pod: Pod) -> str:
    """Where it is, or must be; empty for a pod that was made for no node."""
    required = _required(pod.spec)
    names = [
        found.values[0]
        for term in (required.node_selector_terms if required else ())
        for found in term.match_fields
        if (found.key, found.operator, len(found.values)) == (NAME_FIELD, "In", 1)
    ]
    return pod.spec.node_name or (names[0] if names else "")


def new_pod(ds: DaemonSet, node: str, hash_: str, failures: int = 0) -> Pod:
    """The pod of a node.

    Args:
        ds: The set.
        node: Name of the only one it may run on.
        hash_: Of the present revision.
        failures: How many before it failed there.
    """
    template = ds.spec.template
    noted = {FAILURES_ANNOTATION: str(failures)} if failures else {}
    return Pod(
        metadata=ObjectMeta(
            generate_name=f"{ds.metadata.name}-",
            namespace=ds.metadata.namespace,
            labels=template.metadata.labels | {HASH_LABEL: hash_},
            annotations=template.metadata.annotations | noted,
            finalizers=template.metadata.finalizers,
            owner_references=(reference(DAEMON_SETS, ds),),
        ),
        spec=replace(_pinned(template.spec, node), tolerations=_tolerations(template.spec)),
    )


# -- failures


def retry_at_ms(failed: Pod) -> int:
    """When another pod may take its place."""
    return _ended_ms(failed) + min(BACKOFF_MAX_MS, BACKOFF_MS << min(_failures(failed), 30))


def failures_with(failed: Pod) -> int:
    """How many failed in a row; one that ran for long begins anew."""
    lived_ms = _ended_ms(failed) - parse_time_ms(failed.metadata.creation_timestamp)
    return 1 if lived_ms >= BACKOFF_MAX_MS else _failures(failed) + 1


def _failures(pod: Pod) -> int:
    text = pod.metadata.annotations.get(FAILURES_ANNOTATION, "")
    return int(text) if text.isdecimal() and len(text) < 9 else 0


def _ended_ms(pod: Pod) -> int:
    """When its last container ended; when it was made, if none ever began."""
    ends = [
        parse_time_ms(status.state.terminated.finished_at)
        for status in pod.status.container_statuses
        if status.state.terminated is not None and status.state.terminated.finished_at
    ]
    return max(ends, default=parse_time_ms(pod.metadata.creation_timestamp))
