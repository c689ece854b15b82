"""A namespace being deleted: everything in it goes first, then it lets go of its name.

Source of conditions and words: Kubernetes, pkg/controller/namespace/deletion.
"""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from orchestrator.core.decisions import Create, Decision, Plan, Remove, Update, UpdateStatus
from orchestrator.core.objects import CONTENT_REMAINING
from proto.kinds.kind import Kind
from proto.kinds.namespace import FINALIZER, NAMESPACES, Namespace
from proto.meta import Condition, ObjectMeta, Resource, condition, format_time, with_condition

INITIAL = ("default", "kube-node-lease", "kube-public", "kube-system")
"""Namespaces of every cluster; a missing one is made. Source: Kubernetes, Namespaces."""


def initial(name: str) -> Plan:
    """Make a namespace of that name if every cluster has it."""
    if name not in INITIAL:
        return Plan()
    made = Namespace(metadata=ObjectMeta(name=name))
    return Plan((Create(NAMESPACES, made, "every cluster has it"),))


def plan(namespace: Namespace, contents: Sequence[tuple[Kind[Any], Resource]], now_ms: int) -> Plan:
    """Delete what is in it; once nothing is, say so, and then release it.

    Args:
        namespace: Present; left alone unless it is being deleted.
        contents: Everything in it, of every kind, with its kind.
        now_ms: Epoch milliseconds.
    """
    if not namespace.metadata.deletion_timestamp:
        return Plan()
    decisions: list[Decision] = [
        Remove(kind, found, f"namespace {namespace.metadata.name} is being deleted")
        for kind, found in sorted(contents, key=_by_kind_and_name)
        if not found.metadata.deletion_timestamp
    ]
    told = _told(contents, now_ms)
    old = condition(namespace.status.conditions, CONTENT_REMAINING)
    if old is None or (old.status, old.message) != (told.status, told.message):
        conditions = with_condition(namespace.status.conditions, told)
        status = replace(namespace.status, conditions=conditions)
        decisions.append(UpdateStatus(NAMESPACES, replace(namespace, status=status), told.message))
    elif not contents and FINALIZER in namespace.spec.finalizers:
        kept = tuple(name for name in namespace.spec.finalizers if name != FINALIZER)
        released = replace(namespace, spec=replace(namespace.spec, finalizers=kept))
        decisions.append(Update(NAMESPACES, released, "nothing is left in it"))
    return Plan(tuple(decisions))


def _by_kind_and_name(content: tuple[Kind[Any], Resource]) -> tuple[str, str]:
    kind, found = content
    return kind.resource, found.metadata.name


def _told(contents: Sequence[tuple[Kind[Any], Resource]], now_ms: int) -> Condition:
    resources = ", ".join(sorted({kind.resource for kind, _ in contents}))
    return Condition(
        type=CONTENT_REMAINING,
        status="True" if contents else "False",
        reason="SomeResourcesRemain" if contents else "ContentRemoved",
        message=(
            f"Some resources are remaining: {resources}"
            if contents
            else "All content successfully removed"
        ),
        last_transition_time=format_time(now_ms),
    )
