"""What a node's own word on what it is short of changes: its conditions, and the taints they mean.

Source of the taints: Kubernetes, pkg/controller/nodelifecycle (nodeConditionToTaintKeyStatusMap).
"""

from collections.abc import Iterable

from proto.kinds.node import Node, Taint
from proto.meta import Condition, condition, is_true, with_condition

TAINTS = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
}
"""Condition to the key of the taint that keeps new pods away while it holds."""

_ORDER = (*TAINTS, "Ready")
"""As people are used to reading them."""


def conditions(old: Iterable[Condition], told: Iterable[Condition]) -> tuple[Condition, ...]:
    """The node's conditions with those that its agent told of; the Ready one is not the agent's."""
    found = tuple(old)
    for new in told:
        if new.type in TAINTS:
            found = with_condition(found, _settled(new, found))
    return tuple(sorted(found, key=_place))


def _settled(new: Condition, old: tuple[Condition, ...]) -> Condition:
    """What was told again, as it was: another run of an agent changes nothing by itself."""
    before = condition(old, new.type)
    is_same = before is not None and (before.status, before.reason) == (new.status, new.reason)
    return before if before is not None and is_same else new


def _place(found: Condition) -> int:
    return _ORDER.index(found.type) if found.type in _ORDER else len(_ORDER)


def taints(node: Node) -> tuple[Taint, ...]:
    """The node's taints, with those of its conditions and without those that no longer hold."""
    wanted = [key for type_, key in TAINTS.items() if is_true(node.status.conditions, type_)]
    ours = TAINTS.values()
    kept = tuple(t for t in node.spec.taints if t.key not in ours or t.key in wanted)
    there = {taint.key for taint in kept}
    added = (Taint(key=key, effect="NoSchedule") for key in wanted if key not in there)
    return (*kept, *added)
