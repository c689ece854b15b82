"""Pods as the API shows them: their statuses come from the agent's and the scheduler's own code."""

from collections.abc import Sequence

from msgspec.structs import replace

from node_agent.core.observed import Container, Observed, PodView, Sandbox, by_pod
from node_agent.core.status import pod_status
from orchestrator.core import binding
from orchestrator.core.decisions import Emit, UpdateStatus
from orchestrator.core.node_lifecycle import State, Verdict
from orchestrator.core.node_verdicts import plan as verdict_plan
from orchestrator.core.scheduling import schedule, table_of
from proto.kinds.event import Event, ObjectReference
from proto.kinds.node import Node
from proto.kinds.pod import Pod
from proto.messages import AssignedPod
from proto.meta import ObjectMeta, OwnerReference, Resource, format_time
from tests.unit.node_agent.given import NOW_MS, key, observed, planned

CREATED_MS = NOW_MS - 120_000


def as_pod(assigned: AssignedPod, owner: str = "") -> Pod:
    """The object that was assigned, without a status."""
    reference = OwnerReference(
        api_version="apps/v1", kind="ReplicaSet", name=owner, uid=owner, controller=True
    )
    is_leaving = assigned.delete_grace_s is not None
    return Pod(
        metadata=ObjectMeta(
            name=assigned.name,
            namespace=assigned.namespace,
            uid=assigned.uid,
            labels=assigned.labels,
            creation_timestamp=format_time(CREATED_MS),
            owner_references=(reference,) if owner else (),
            deletion_timestamp=format_time(NOW_MS + 20_000) if is_leaving else "",
            deletion_grace_period_seconds=assigned.delete_grace_s,
        ),
        spec=assigned.spec,
    )


def reported(
    assigned: AssignedPod,
    *found: Sandbox | Container,
    seen: Observed | None = None,
    owner: str = "",
) -> Pod:
    """The pod as its agent reports it, given what is there of it.

    Args:
        assigned: The pod.
        found: What Docker shows.
        seen: The same with what the agent remembers, in place of `found`.
        owner: Its replica set.
    """
    there = seen or observed(*found)
    waits = {(wait.pod.uid, wait.container): wait for wait in planned([assigned], there).waits}
    view = by_pod(there).get(key(assigned.name), PodView())
    status = pod_status(assigned, view, waits, host_ip="10.0.0.1", accepted_at_ms=CREATED_MS)
    return replace(as_pod(assigned, owner), status=status)


def refused(pod: Pod, nodes: Sequence[Node], others: Sequence[Pod] = ()) -> Pod:
    """The pod after the scheduler found no node for it."""
    placements = schedule(table_of(nodes, others), [pod])
    (written, *_) = binding.plan(placements, NOW_MS - 60_000).decisions
    assert isinstance(written, UpdateStatus), "a node took it"
    assert isinstance(written.object, Pod)
    return written.object


def judged(node: Node, state: State, detail: str = "", at_ms: int = NOW_MS - 30_000) -> Node:
    """The node after a verdict was written down: first its condition, then its taints."""
    for _ in range(2):
        verdict = Verdict(node.metadata.name, state, detail)
        for decision in verdict_plan(node, verdict, (), at_ms).decisions:
            node = getattr(decision, "object", node) if not isinstance(decision, Emit) else node
    return node


def event(about: Resource, reason: str, message: str) -> Event:
    """One that was told of it ten seconds ago."""
    meta = about.metadata
    return Event(
        involved_object=ObjectReference(
            kind=type(about).__name__, namespace=meta.namespace, name=meta.name, uid=meta.uid
        ),
        reason=reason,
        message=message,
        type="Warning",
        count=1,
        last_timestamp=format_time(NOW_MS - 10_000),
    )
