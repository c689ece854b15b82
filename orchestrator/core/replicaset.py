"""ReplicaSet and ReplicationController: as many pods as asked for, no more, no fewer.

Pods are counted from the world itself, which the leader's own writes reach before the next pass, so
no expectations of pending creations are kept. The two kinds differ in how they write their
selector, and in nothing that matters here. Source of the rules and words: Kubernetes,
pkg/controller/replicaset (which serves both, too) and ActivePodsWithRanks in
pkg/controller/controller_utils.go.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.core.availability import is_available, next_change_ms
from orchestrator.core.decisions import Create, Decision, Emit, Plan, Remove, UpdateStatus
from orchestrator.core.ownership import claim, reference, selector_of
from proto.kinds.kind import Kind
from proto.kinds.pod import PODS, Pod, is_active, is_ready
from proto.kinds.replicaset import ReplicaSet, ReplicaSetStatus
from proto.kinds.replicationcontroller import ReplicationController
from proto.meta import (
    Condition,
    LabelSelector,
    ObjectMeta,
    condition,
    format_time,
    parse_time_ms,
    with_condition,
)

BURST = 500
"""Pods created or deleted in one pass. Source: Kubernetes, BurstReplicas."""

REPLICA_FAILURE = "ReplicaFailure"

PHASE_ORDER = {"Pending": 0, "Unknown": 1, "Running": 2}

GENERATED_NAME_MAX = 58
"""Characters of a generateName: five more make a label of 63."""


R = TypeVar("R", ReplicaSet, ReplicationController)


def plan(kind: Kind[R], rs: R, pods: Iterable[Pod], now_ms: int) -> Plan:
    """Create what is missing, delete what is too much, tell how many there are.

    Args:
        kind: Of the two.
        rs: Present, possibly being deleted: then it only tells.
        pods: Those it owns and, to be adopted, those in its namespace that nobody owns; others
            are left alone. In any order.
        now_ms: Epoch milliseconds.
    """
    selector = selector_of(rs)
    claimed = claim(kind, rs, selector, PODS, (pod for pod in pods if is_active(pod)))
    active = claimed.owned
    decisions: list[Decision] = list(claimed.writes)
    if not rs.metadata.deletion_timestamp and not claimed.writes:
        wanted = rs.spec.replicas or 0
        decisions += _creations(kind, rs, wanted - len(active), wanted, now_ms)
        decisions += _deletions(kind, rs, active, len(active) - wanted, now_ms)
    status = _status(rs, active, now_ms)
    if status != rs.status:
        cause = f"{len(active)} pods, {status.ready_replicas} ready"
        decisions.append(UpdateStatus(kind, replace(rs, status=status), cause))
    return Plan(tuple(decisions), next_change_ms(active, rs.spec.min_ready_seconds, now_ms))


def _creations(kind: Kind[R], rs: R, missing: int, wanted: int, now_ms: int) -> Iterator[Create]:
    if missing <= 0:
        return
    pod = _new_pod(kind, rs)
    told = Emit(kind, rs, "Normal", "SuccessfulCreate", "Created pod: {name}")
    refused = PodRefused(kind, rs, now_ms)
    for _ in range(min(missing, BURST)):
        yield Create(PODS, pod, f"{missing} of {wanted} are missing", told, refused)


class PodRefused(Struct, frozen=True):
    """A replica set that may not make its pods says so, and why."""

    kind: Kind[Any]
    rs: ReplicaSet | ReplicationController
    now_ms: int

    def decisions(self, why: str) -> Iterator[Decision]:
        """An event each time, and a condition for as long as pods are missing."""
        rs = self.rs
        yield Emit(self.kind, rs, "Warning", "FailedCreate", f"Error creating: {why}")
        failure = Condition(
            type=REPLICA_FAILURE,
            status="True",
            reason="FailedCreate",
            message=why,
            last_transition_time=format_time(self.now_ms),
        )
        before = condition(rs.status.conditions, REPLICA_FAILURE)
        if before is None or before.message.partition(" is ")[2] != why.partition(" is ")[2]:
            conditions = with_condition(rs.status.conditions, failure)
            changed = replace(rs, status=replace(rs.status, conditions=conditions))
            yield UpdateStatus(self.kind, changed, "its pods may not be made")


def _new_pod(kind: Kind[R], rs: R) -> Pod:
    template = rs.spec.template
    return Pod(
        metadata=ObjectMeta(
            generate_name=f"{rs.metadata.name}-"[:GENERATED_NAME_MAX],
            namespace=rs.metadata.namespace,
            labels=template.metadata.labels,
            annotations=template.metadata.annotations,
            finalizers=template.metadata.finalizers,
            owner_references=(reference(kind, rs),),
        ),
        spec=template.spec,
    )


def _deletions(
    kind: Kind[R], rs: R, active: Sequence[Pod], surplus: int, now_ms: int
) -> Iterator[Decision]:
    if surplus <= 0:
        return
    chosen = least_useful_first(active, rs.spec.min_ready_seconds, now_ms)
    for pod in chosen[: min(surplus, BURST)]:
        yield Remove(PODS, pod, f"{surplus} more than the {rs.spec.replicas or 0} asked for")
        message = f"Deleted pod: {pod.metadata.name}"
        yield Emit(kind, rs, "Normal", "SuccessfulDelete", message)


def least_useful_first(pods: Sequence[Pod], min_ready_seconds: int, now_ms: int) -> list[Pod]:
    """The pods in the order in which surplus ones go.

    Kubernetes' order, with one addition: a pod that is ready but not yet available goes before one
    that is available, since a rollout counts on the latter.
    """
    together = Counter(pod.spec.node_name for pod in pods)

    def usefulness(pod: Pod) -> tuple[int, ...]:
        statuses = pod.status.container_statuses
        return (
            bool(pod.spec.node_name),
            PHASE_ORDER.get(pod.status.phase, 0),
            is_ready(pod),
            is_available(pod, min_ready_seconds, now_ms),
            -together[pod.spec.node_name],
            -_ready_since_ms(pod),
            -max((status.restart_count for status in statuses), default=0),
        )

    by_name = sorted(pods, key=lambda pod: pod.metadata.name)
    newest_first = sorted(by_name, key=lambda pod: pod.metadata.creation_timestamp, reverse=True)
    return sorted(newest_first, key=usefulness)


def _ready_since_ms(pod: Pod) -> int:
    ready = condition(pod.status.conditions, "Ready")
    if ready is None or ready.status != "True" or not ready.last_transition_time:
        return 0
    return parse_time_ms(ready.last_transition_time)


def _status(rs: R, active: Sequence[Pod], now_ms: int) -> ReplicaSetStatus:
    labels = LabelSelector(match_labels=rs.spec.template.metadata.labels)
    conditions = rs.status.conditions
    if len(active) >= (rs.spec.replicas or 0):
        conditions = tuple(found for found in conditions if found.type != REPLICA_FAILURE)
    return replace(
        rs.status,
        conditions=conditions,
        replicas=len(active),
        fully_labeled_replicas=sum(labels.matches(pod.metadata.labels) for pod in active),
        ready_replicas=sum(is_ready(pod) for pod in active),
        available_replicas=sum(
            is_available(pod, rs.spec.min_ready_seconds, now_ms) for pod in active
        ),
        observed_generation=rs.metadata.generation,
    )
