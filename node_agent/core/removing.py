"""PersistentVolumes that must go from this node. All others stay, whoever uses them or does not."""

from collections.abc import Collection, Mapping

from msgspec.structs import replace

from node_agent.core import mounting, naming
from node_agent.core.actions import Action, Plan
from node_agent.core.observed import Observed
from node_agent.core.volume_actions import RemoveStored
from proto.messages import AssignedPod


def with_removals(
    plan: Plan,
    removals: Collection[str],
    desired: Mapping[str, AssignedPod],
    observed: Observed,
    now_ms: int,
) -> Plan:
    """The plan for the pods, and what is to be removed besides.

    Args:
        plan: For the pods.
        removals: PersistentVolumes of which nothing is to be left here. One that a pod here still
            has is left alone.
        desired: Uid to pod, everything assigned to this node.
        observed: The node.
        now_ms: Epoch milliseconds.
    """
    used = {
        claim.stored.name
        for pod in desired.values()
        for claim in pod.claims
        if claim.stored is not None
    }
    actions: list[Action] = list(plan.actions)
    wakes = [] if plan.wake_at_ms is None else [plan.wake_at_ms]
    for name in sorted(set(removals) & observed.stored.keys() - used):
        key = naming.stored_key(name)
        if key.uid in observed.memory.busy:
            continue
        failure = observed.memory.failures.get((key.uid, mounting.VOLUMES))
        due_at_ms = mounting.due_ms(failure)
        if now_ms < due_at_ms:
            wakes.append(due_at_ms)
        else:
            cause = "its PersistentVolume is deleted"
            actions.append(RemoveStored(key, name, observed.stored[name], cause))
    return replace(plan, actions=tuple(actions), wake_at_ms=min(wakes, default=None))
