"""What a node's report changes: its Node object, and the status of the pods on it."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from orchestrator.core import node_pressure
from orchestrator.core.decisions import Create, Decision, Plan, Remove, Update, UpdateStatus
from orchestrator.core.pod_ends import DISRUPTION, failed
from orchestrator.core.storage.provision import FOLDER_ANNOTATION
from proto.kinds.node import NODES, Node, NodeAddress, NodeStatus
from proto.kinds.pod import PODS, Pod, PodStatus, is_terminated
from proto.messages import NodeFacts, NodeReport, PodReport
from proto.meta import ObjectMeta, condition

PROBE_ANNOTATION = "longshore.dev/probe-address"
"""Where peers probe the node's host; absent when silence alone counts as its loss."""

_TOLD = (PROBE_ANNOTATION, FOLDER_ANNOTATION)

NOT_THE_AGENTS = ("PodScheduled", DISRUPTION)
"""Conditions of a pod that the control plane sets, in their order."""


def plan(report: NodeReport, node: Node | None, pods: Sequence[Pod]) -> Plan:
    """The node as its agent describes it, then each pod that changed.

    Args:
        report: The newest from this node.
        node: Its object, if there is one.
        pods: Those bound to it. A report about any other pod is of no consequence: the node does
            not speak for it.
    """
    decisions: list[Decision] = []
    if node is None:
        decisions.append(Create(NODES, _new_node(report), "the node joined"))
    else:
        decisions += _node_changes(report.facts, node)
    told = {found.uid: found for found in report.pods}
    for pod in pods:
        about = told.get(pod.metadata.uid)
        if about is not None:
            decisions += _pod_changes(about, pod)
    return Plan(tuple(decisions))


def _new_node(report: NodeReport) -> Node:
    facts = report.facts
    return Node(
        metadata=ObjectMeta(
            name=report.node, labels=dict(facts.labels), annotations=_annotations({}, facts)
        ),
        status=_status(NodeStatus(), report.node, facts),
    )


def _annotations(old: Mapping[str, str], facts: NodeFacts) -> dict[str, str]:
    kept = {key: value for key, value in old.items() if key not in _TOLD}
    told = {PROBE_ANNOTATION: facts.probe_address, FOLDER_ANNOTATION: facts.volumes_folder}
    return kept | {key: value for key, value in told.items() if value}


def _status(old: NodeStatus, name: str, facts: NodeFacts) -> NodeStatus:
    addresses = [NodeAddress(type="Hostname", address=name)]
    if facts.internal_ip:
        addresses.insert(0, NodeAddress(type="InternalIP", address=facts.internal_ip))
    return replace(
        old,
        capacity=dict(facts.capacity) or old.capacity,
        allocatable=dict(facts.allocatable) or old.allocatable,
        addresses=tuple(addresses),
        node_info=facts.info,
        images=facts.images,
        conditions=node_pressure.conditions(old.conditions, facts.conditions),
    )


def _node_changes(facts: NodeFacts, node: Node) -> list[Decision]:
    """Labels the agent sets are added; those an operator set are kept."""
    meta = node.metadata
    wanted = replace(
        meta,
        labels=meta.labels | dict(facts.labels),
        annotations=_annotations(meta.annotations, facts),
    )
    status = _status(node.status, meta.name, facts)
    if wanted != meta:  # the status follows in the next pass: one write an object
        return [Update(NODES, replace(node, metadata=wanted), "the agent's labels changed")]
    if status != node.status:
        changed = replace(node, status=status)
        return [UpdateStatus(NODES, changed, "the agent's description changed")]
    if (taints := node_pressure.taints(node)) != node.spec.taints:
        changed = replace(node, spec=replace(node.spec, taints=taints))
        return [Update(NODES, changed, "what the node is short of changed")]
    return []


def _pod_changes(about: PodReport, pod: Pod) -> list[Decision]:
    if about.is_gone and pod.metadata.deletion_timestamp:
        return [Remove(PODS, failed(pod), "its node has stopped and removed it", grace_s=0)]
    told = about.status
    if not is_terminated(pod):
        status = merged(pod.status, told)
    elif told.phase == pod.status.phase:  # what ran beside its containers ends after them
        status = replace(
            pod.status,
            init_container_statuses=told.init_container_statuses,
            ephemeral_container_statuses=told.ephemeral_container_statuses,
        )
    else:  # it stays ended, whatever a late report says
        return []
    if status == pod.status:
        return []
    return [UpdateStatus(PODS, replace(pod, status=status), f"now {status.phase}")]


def merged(old: PodStatus, told: PodStatus) -> PodStatus:
    """What the agent says, with times of transitions, and conditions, that it cannot know kept.

    A condition's transition time is the earliest moment at which its present status was known.
    """
    own = (condition(old.conditions, type_) for type_ in NOT_THE_AGENTS)
    conditions = [kept for kept in own if kept is not None]
    for new in told.conditions:
        if new.type in NOT_THE_AGENTS:
            continue
        before = condition(old.conditions, new.type)
        if before is not None and before.status == new.status and before.last_transition_time:
            new = replace(new, last_transition_time=before.last_transition_time)  # noqa: PLW2901
        conditions.append(new)
    return replace(
        told,
        conditions=tuple(conditions),
        start_time=old.start_time or told.start_time,
        qos_class=old.qos_class,
    )
