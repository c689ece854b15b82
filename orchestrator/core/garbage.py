"""What is left over when an owner or a node goes.

An owner deleted in the background is gone at once and its dependents follow. One deleted in the
foreground stays until the dependents that block it are gone; one that orphans them stays until none
refers to it. Source: Kubernetes, pkg/controller/garbagecollector and pkg/controller/podgc.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from orchestrator.core.decisions import Decision, Plan, Remove, Update
from orchestrator.core.objects import FOREGROUND, ORPHAN
from orchestrator.core.pod_ends import disrupted, failed
from proto.kinds.kind import Kind
from proto.kinds.pod import PODS, Pod, is_terminated
from proto.meta import Resource

Dependent = tuple[Kind[Any], Resource]


def plan(
    kind: Kind[Any],
    found: Resource,
    owners: Mapping[str, Resource],
    dependents: Sequence[Dependent],
) -> Plan:
    """Collect an object, or let go of it.

    Args:
        kind: Of the object.
        found: The object.
        owners: Uid to object, of those of its owners that exist.
        dependents: What refers to it as an owner, with its kind.
    """
    if found.metadata.deletion_timestamp:
        return Plan(tuple(_released(kind, found, dependents)))
    return Plan(tuple(_collected(kind, found, owners)))


def _collected(
    kind: Kind[Any], found: Resource, owners: Mapping[str, Resource]
) -> Iterator[Decision]:
    """The object goes with its last owner; references to owners that are gone go before it."""
    references = found.metadata.owner_references
    kept = tuple(reference for reference in references if reference.uid in owners)
    if len(kept) == len(references):
        return
    if kept:
        changed = replace(found, metadata=replace(found.metadata, owner_references=kept))
        yield Update(kind, changed, "some of its owners are gone")
    else:
        names = ", ".join(f"{reference.kind} {reference.name}" for reference in references)
        yield Remove(kind, found, f"its owner is gone: {names}")


def _released(
    kind: Kind[Any], owner: Resource, dependents: Sequence[Dependent]
) -> Iterator[Decision]:
    """An owner being deleted: what it still has to wait for, or its release."""
    finalizers = owner.metadata.finalizers
    mine = sorted(dependents, key=_by_kind_and_name)
    if ORPHAN in finalizers:
        yield from (_orphaned(of, found, owner) for of, found in mine)
        if not mine:
            yield _without_finalizer(kind, owner, ORPHAN)
    elif FOREGROUND in finalizers:
        for of, found in mine:
            if not found.metadata.deletion_timestamp:
                yield _taken_along(of, found, owner)
        if not any(_blocks(found, owner) for _, found in mine):
            yield _without_finalizer(kind, owner, FOREGROUND)


def _by_kind_and_name(dependent: Dependent) -> tuple[str, str, str]:
    kind, found = dependent
    return kind.resource, found.metadata.namespace, found.metadata.name


def _orphaned(kind: Kind[Any], found: Resource, owner: Resource) -> Update:
    meta = found.metadata
    kept = tuple(ref for ref in meta.owner_references if ref.uid != owner.metadata.uid)
    changed = replace(found, metadata=replace(meta, owner_references=kept))
    return Update(kind, changed, f"its owner {owner.metadata.name} leaves it behind")


def _taken_along(kind: Kind[Any], found: Resource, owner: Resource) -> Remove:
    """Its own dependents go before it in turn; pods have none, and stop on their own terms."""
    propagation = "" if kind.is_deleted_gracefully else "Foreground"
    cause = f"its owner {owner.metadata.name} is being deleted"
    return Remove(kind, found, cause, propagation=propagation)


def _blocks(found: Resource, owner: Resource) -> bool:
    return any(
        reference.block_owner_deletion
        for reference in found.metadata.owner_references
        if reference.uid == owner.metadata.uid
    )


def _without_finalizer(kind: Kind[Any], owner: Resource, finalizer: str) -> Update:
    meta = owner.metadata
    kept = tuple(name for name in meta.finalizers if name != finalizer)
    changed = replace(owner, metadata=replace(meta, finalizers=kept))
    return Update(kind, changed, f"nothing is left of what {finalizer} waited for")


def pods_without_node(pods: Iterable[Pod], nodes: Collection[str], now_ms: int) -> Plan:
    """Remove the pods bound to nodes that do not exist: nobody runs them, and nobody will confirm.

    Args:
        pods: Any.
        nodes: Names of all nodes.
        now_ms: Epoch milliseconds.
    """
    stranded = [pod for pod in pods if pod.spec.node_name and pod.spec.node_name not in nodes]
    stranded.sort(key=lambda pod: (pod.metadata.namespace, pod.metadata.name))
    return Plan(
        tuple(
            Remove(
                PODS,
                _stranded(pod, now_ms),
                f"its node {pod.spec.node_name} does not exist",
                grace_s=0,
            )
            for pod in stranded
        )
    )


def _stranded(pod: Pod, now_ms: int) -> Pod:
    """Of a pod that had not ended, as those who wait for its end are to see it."""
    if is_terminated(pod):
        return pod
    return failed(disrupted(pod, "DeletionByPodGC", "PodGC: node no longer exists", now_ms))
