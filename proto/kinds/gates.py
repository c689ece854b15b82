"""Scheduling gates: what must happen before a pod is placed.

Source of the words: Kubernetes, pkg/apis/core/validation and pkg/registry/core/pod.
"""

from typing import Annotated

from msgspec import Meta

from proto.errors import FieldError
from proto.kinds import validation
from proto.meta import Condition, Model, condition

SCHEDULING_GATED = "SchedulingGated"
"""Why a pod is not placed that has gates."""


class PodSchedulingGate(Model, frozen=True, kw_only=True):
    """Something that must happen first; whoever does it removes the gate."""

    name: str


SchedulingGates = Annotated[tuple[PodSchedulingGate, ...], Meta(extra={"merge_key": "name"})]


def told(gates: SchedulingGates) -> tuple[Condition, ...]:
    """The conditions of a new pod."""
    if not gates:
        return ()
    said = "Scheduling is blocked due to non-empty scheduling gates"
    why = Condition(type="PodScheduled", status="False", reason=SCHEDULING_GATED, message=said)
    return (why,)


def is_told(conditions: tuple[Condition, ...]) -> bool:
    """Whether that is why a pod waits."""
    found = condition(conditions, "PodScheduled")
    return found is not None and found.reason == SCHEDULING_GATED


def validate(path: str, gates: SchedulingGates, node_name: str) -> list[FieldError]:
    """Every wrong gate of a pod's spec; a pod that has one has no node."""
    errors: list[FieldError] = []
    names = [gate.name for gate in gates]
    for index, name in enumerate(names):
        errors += validation.qualified_name(f"{path}.schedulingGates[{index}]", name)
        if name in names[:index]:
            errors.append(validation.duplicate(f"{path}.schedulingGates[{index}]", name))
    if names and node_name:
        said = "cannot be set until all schedulingGates have been cleared"
        errors.append(validation.forbidden(f"{path}.nodeName", said))
    return errors


def validate_change(new: SchedulingGates, old: SchedulingGates) -> list[FieldError]:
    """Gates of a pod that exists can only be removed."""
    added = [gate for gate in new if gate not in old]
    said = "only deletion is allowed, but found new scheduling gate '{}'"
    return [validation.forbidden("spec.schedulingGates", said.format(g.name)) for g in added]
