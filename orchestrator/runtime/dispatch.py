"""Tells each node what it should run: one whole assignment, whenever it changes.

Changes are coalesced for a few milliseconds a node. Of the ConfigMaps and Secrets that a pod takes
values from an assignment says the versions; the contents are asked for (see `contents`). An
assignment that got lost shows in the next heartbeat (the agent follows an older one) and is sent
again.
"""

import asyncio
from collections.abc import Sequence

import structlog

from orchestrator.core.storage import using, volumes
from orchestrator.runtime.claims import known_of
from orchestrator.world import Change, World
from proto import codec, subjects
from proto.bus import Bus
from proto.errors import Unavailable
from proto.kinds.configuration import CONFIG_MAPS, SECRETS
from proto.kinds.node import NODES
from proto.kinds.persistentvolume import PERSISTENT_VOLUMES, PersistentVolume
from proto.kinds.pod import PODS, Pod
from proto.kinds.references import Reference, referenced
from proto.kinds.storage import PERSISTENT_VOLUME_CLAIMS
from proto.messages import (
    AssignedClaim,
    AssignedPod,
    AssignedSource,
    Assignment,
    Heartbeat,
    VolumeRemoval,
)

log = structlog.get_logger()

COALESCE_S = 0.003
"""A burst of bindings becomes one message a node; less than one container start costs by far."""

RESEND_S = 0.2
"""Between two repetitions to a node that lags: a round trip and its work fit in between."""


class Dispatcher:
    """See the module."""

    def __init__(self, world: World, bus: Bus) -> None:
        self._world = world
        self._bus = bus
        self._dirty: dict[str, None] = {}
        self._rung = asyncio.Event()
        self._sent: dict[str, Assignment] = {}
        self._resent_at: dict[str, float] = {}
        world.listen(self._heard)

    def _heard(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.kind is PODS:
                for entry in (change.old, change.new):
                    if entry is not None and entry.object.spec.node_name:
                        self._ring(entry.object.spec.node_name)
            elif change.kind in (CONFIG_MAPS, SECRETS):
                entry = change.entry
                for node in self._world.nodes_using(change.kind, entry.namespace, entry.name):
                    self._ring(node)
            elif change.kind is PERSISTENT_VOLUME_CLAIMS:
                self._ring_users(change.entry.namespace, change.entry.name)
            elif change.kind is PERSISTENT_VOLUMES:
                for entry in (change.old, change.new):
                    if entry is not None:
                        self._ring_for_volume(entry.object)
            elif change.kind is NODES and change.new is None:
                self._sent.pop(change.entry.name, None)

    def _ring_users(self, namespace: str, claim: str) -> None:
        for pod in self._world.storage.pods_using(namespace, claim):
            if pod.spec.node_name:
                self._ring(pod.spec.node_name)

    def _ring_for_volume(self, volume: PersistentVolume) -> None:
        for node in volumes.leaves(volume):
            self._ring(node)
        ref = volume.spec.claim_ref
        if ref is not None:
            self._ring_users(ref.namespace, ref.name)

    def _ring(self, node: str) -> None:
        self._dirty[node] = None
        self._rung.set()

    async def run(self, epoch: int) -> None:
        """Dispatch for one term, until cancelled."""
        self._sent.clear()
        for known in self._world.objects(NODES):
            self._ring(known.metadata.name)
        while True:
            await self._rung.wait()
            await asyncio.sleep(COALESCE_S)
            dirty, self._dirty = self._dirty, {}
            self._rung.clear()
            for node in dirty:
                await self._send(node, epoch)

    def heard_from(self, beat: Heartbeat) -> None:
        """Repeat the assignment if the agent follows another one."""
        sent = self._sent.get(beat.node)
        if sent is None:
            if self._world.get(NODES, "", beat.node) is not None:
                self._ring(beat.node)
            return
        if (beat.epoch, beat.generation) == (sent.epoch, sent.generation):
            return
        now = asyncio.get_running_loop().time()
        if now - self._resent_at.get(beat.node, -RESEND_S) >= RESEND_S:
            self._resent_at[beat.node] = now
            del self._sent[beat.node]
            self._ring(beat.node)

    async def _send(self, node: str, epoch: int) -> None:
        pods = tuple(_assigned(pod, self._world) for pod in self._world.pods_on(node))
        removals = tuple(_removal(volume) for volume in self._world.storage.leaving(node))
        last = self._sent.get(node)
        if last is not None and (last.pods, last.removals) == (pods, removals):
            return
        assignment = Assignment(
            node=node,
            epoch=epoch,
            generation=self._world.version,
            pods=pods,
            removals=removals,
        )
        self._sent[node] = assignment
        self._resent_at[node] = asyncio.get_running_loop().time()
        try:
            await self._bus.publish(subjects.assignment(node), codec.encode(assignment))
        except Unavailable as error:  # the heartbeats will ask for it
            log.warning("assignment.unsent", node=node, error=str(error))


def _assigned(pod: Pod, world: World) -> AssignedPod:
    meta = pod.metadata
    grace_s = None
    if meta.deletion_timestamp:
        grace_s = meta.deletion_grace_period_seconds or 0
    return AssignedPod(
        uid=meta.uid,
        namespace=meta.namespace,
        name=meta.name,
        spec=pod.spec,
        labels=meta.labels,
        annotations=meta.annotations,
        delete_grace_s=grace_s,
        sources=tuple(
            _source(world, meta.namespace, reference) for reference in referenced(pod.spec)
        ),
        claims=_claims(world, pod),
    )


def _claims(world: World, pod: Pod) -> tuple[AssignedClaim, ...]:
    if not using.names(pod.metadata.name, pod.spec):
        return ()
    return tuple(using.assigned(pod, known_of(world, pod)))


def _removal(volume: PersistentVolume) -> VolumeRemoval:
    return VolumeRemoval(name=volume.metadata.name, uid=volume.metadata.uid)


def _source(world: World, namespace: str, reference: Reference) -> AssignedSource:
    kind = CONFIG_MAPS if reference.kind == CONFIG_MAPS.name else SECRETS
    found = world.entry(kind, namespace, reference.name)
    version = "" if found is None else str(found.version)
    return AssignedSource(kind=reference.kind, name=reference.name, version=version)
