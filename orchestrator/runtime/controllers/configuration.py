"""What workloads with `core.pinning` get to see of ConfigMaps and Secrets, and what wakes them."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.core import pinning
from orchestrator.core.pinning import NO_CONFIGS, Config, Configs
from orchestrator.runtime.controllers.controller import Name
from orchestrator.world import Entry, World
from proto.kinds.kind import Kind
from proto.kinds.references import Reference, referenced

KINDS = frozenset(pinning.KINDS.values())


def wakes(world: World, kind: Kind[Any], entry: Entry) -> Iterator[Name]:
    """Workloads of a kind that a ConfigMap or Secret is a snapshot of, or takes part in rolling."""
    owner = entry.object.metadata.controller
    if owner is not None and owner.kind == kind.name:
        yield entry.namespace, owner.name
        return
    changed = Reference(entry.kind.name, entry.name)
    for found in world.objects(kind, entry.namespace):
        if pinning.is_pinned(found) and changed in _sources(found, _snapshots(world, found)):
            yield entry.namespace, found.metadata.name


def of(world: World, workload: Any) -> Configs:
    """What a workload takes values from, if configuration rolls it or did so before."""
    snapshots = _snapshots(world, workload)
    if not snapshots and not pinning.is_pinned(workload):
        return NO_CONFIGS
    live = {
        wanted: found
        for wanted in _sources(workload, snapshots)
        if (found := _get(world, workload.metadata.namespace, wanted)) is not None
    }
    return Configs(live, snapshots)


def _snapshots(world: World, workload: Any) -> dict[Reference, Config]:
    return {
        Reference(name, found.metadata.name): found
        for name, kind in pinning.KINDS.items()
        for found in world.owned_by(workload.metadata.uid, kind)
    }


def _sources(workload: Any, snapshots: Mapping[Reference, Config]) -> set[Reference]:
    """What its template names, and what its snapshots are copies of."""
    origins = {pinning.source(found.kind, held) for found, held in snapshots.items()}
    return {*referenced(workload.spec.template.spec), *origins} - snapshots.keys()


def _get(world: World, namespace: str, wanted: Reference) -> Config | None:
    found: Config | None = world.get(pinning.KINDS[wanted.kind], namespace, wanted.name)
    return found
