"""The priority classes that every cluster has; made again when somebody deletes one.

Source: Kubernetes, pkg/apis/scheduling (SystemPriorityClasses).
"""

from orchestrator.core.decisions import Create, Plan
from proto.kinds.quota import PRIORITY_CLASSES, SYSTEM_CLASSES, PriorityClass
from proto.meta import ObjectMeta

_SAID = {
    "system-cluster-critical": (
        "Used for system critical pods that must run in the cluster, but can be moved to another "
        "node if necessary."
    ),
    "system-node-critical": (
        "Used for system critical pods that must not be moved from their current node."
    ),
}


def plan(name: str, present: PriorityClass | None) -> Plan:
    """Make a class of that name if every cluster has it."""
    if present is not None or name not in SYSTEM_CLASSES:
        return Plan()
    made = PriorityClass(
        metadata=ObjectMeta(name=name), value=SYSTEM_CLASSES[name], description=_SAID[name]
    )
    return Plan((Create(PRIORITY_CLASSES, made, "every cluster has it"),))
