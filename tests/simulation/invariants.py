"""What must always hold, checked as things happen, and what must hold once everything is quiet."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from node_agent.core.observed import Container, State
from orchestrator.core.node_verdicts import LOST_REASON
from orchestrator.store import Compare, Put, TxnResult, Write, keys
from proto import codec, subjects
from proto.bus import Envelope
from proto.kinds.configuration import CONFIG_MAPS
from proto.kinds.deployment import DEPLOYMENTS, Deployment
from proto.kinds.job import JOBS
from proto.kinds.kind import Kind
from proto.kinds.node import NODES, Node, allocatable
from proto.kinds.pod import PODS, Pod, is_ready, is_terminated, requests
from proto.kinds.replicaset import REPLICASETS
from proto.kinds.statefulset import is_one_of_a_kind
from proto.messages import Heartbeat
from proto.meta import condition
from tests.simulation.cluster import Cluster
from tests.simulation.loop import Violation

HEALTHY_FOR_S = 20.0
"""A verdict may be as old as the longest that a write can be held up."""

MIRRORED = (CONFIG_MAPS, PODS, NODES, DEPLOYMENTS, REPLICASETS, JOBS)


class Wanted(Struct, frozen=True):
    """What was acknowledged of a workload; a bare pod has no replicas."""

    image: str
    replicas: int | None = None


class _Fence(Struct):
    """The part of an `Assignment` that orders it."""

    epoch: int
    generation: int


class Invariants:
    """Watches a cluster.

    Args:
        cluster: Watched from now on.
        is_silence_fatal: A healthy node may be judged lost, because nobody can be asked.
    """

    def __init__(self, cluster: Cluster, *, is_silence_fatal: bool) -> None:
        self._cluster = cluster
        self._is_silence_fatal = is_silence_fatal
        self.wanted: dict[str, Wanted] = {}
        """By name of deployment or bare pod: everything that should be there at the end."""
        self.may_go_back = False
        """Agents lose their disks, and with them what they followed."""
        self.commits = 0
        self.starts = 0
        self._objects: dict[str, Any] = {}
        self._types = {keys.prefix(kind): kind.type for kind in MIRRORED}
        self._bound: dict[str, str] = {}
        self._ran_on: dict[str, str] = {}
        self._followed: dict[str, tuple[int, int]] = {}
        self._announced: dict[str, tuple[int, int]] = {}
        self._assignments = {subjects.assignment(name): name for name in cluster.hosts}
        self._heartbeats = {subjects.heartbeat(name): name for name in cluster.hosts}
        cluster.server.on_commit = self._committed
        cluster.network.on_publish = self._published
        for host in cluster.hosts.values():
            host.engine.on_start = self._on_start(host.name)

    def _fail(self, text: str) -> None:
        self._cluster.loop.fail(Violation(text))

    def now(self) -> float:
        """Seconds since the run began."""
        return self._cluster.loop.time()

    # -- at every commit

    def _committed(
        self, compares: Sequence[Compare], writes: Sequence[Write], result: TxnResult
    ) -> None:
        self.commits += 1
        for write in writes:
            if write.key.startswith((keys.REGISTRY, keys.DEPLOYS)):
                if not any(c.key == keys.LEADER and c.create_revision for c in compares):
                    self._fail(f"unfenced write of {write.key} at revision {result.revision}")
                self._mirror(write)

    def _mirror(self, write: Write) -> None:
        prefix = write.key[: write.key.find("/", write.key.find("/", len(keys.REGISTRY)) + 1) + 1]
        type_ = self._types.get(prefix)
        if type_ is None:
            return
        old = self._objects.get(write.key)
        if not isinstance(write, Put):
            self._objects.pop(write.key, None)
            if isinstance(old, Pod):
                self._removed(old)
            return
        new = self._objects[write.key] = codec.decode(write.value, type_)
        if isinstance(new, Pod):
            self._pod_written(old, new)
        elif isinstance(new, Node):
            self._node_written(old, new)

    def _pod_written(self, old: Pod | None, new: Pod) -> None:
        uid, node = new.metadata.uid, new.spec.node_name
        before = self._bound.get(uid, "")
        if before and before != node:
            self._fail(f"pod {new.metadata.name} moved from {before} to {node or 'nowhere'}")
        if old is not None and old.metadata.uid != uid:
            self._fail(f"pod {new.metadata.name} changed its uid without being removed")
        if node and not before:
            self._bound[uid] = node
            self._check_room(node)

    def _check_room(self, node: str) -> None:
        found = self._objects.get(keys.of(NODES, "", node))
        if found is None:
            return
        room = allocatable(found).get("cpu", 0)
        used = sum(
            requests(pod.spec).get("cpu", 0)
            for pod in self.all(Pod)
            if pod.spec.node_name == node and not is_terminated(pod)
        )
        if used > room:
            self._fail(f"node {node} is overcommitted: {used}m of {room}m cpu")

    def _removed(self, pod: Pod) -> None:
        """A pod's object goes when nothing of it runs, or when its node is lost."""
        host = self._cluster.hosts.get(pod.spec.node_name)
        if host is None or self._is_silence_fatal or not self._is_healthy(host.name):
            return
        running = [c for c in host.engine.containers if c.state is State.RUNNING]
        if any(c.pod.uid == pod.metadata.uid for c in running):
            self._fail(f"pod {pod.metadata.name} was removed while it runs on {host.name}")

    def _node_written(self, old: Node | None, new: Node) -> None:
        was_lost, is_lost = _is_lost(old), _is_lost(new)
        name = new.metadata.name
        if is_lost and not was_lost and not self._is_silence_fatal and self._is_healthy(name):
            self._fail(f"healthy node {name} was judged lost")

    def _is_healthy(self, name: str) -> bool:
        since = self._cluster.hosts[name].healthy_since
        return since is not None and self.now() - since >= HEALTHY_FOR_S

    # -- at every message and start

    def _published(self, _sender: str, envelope: Envelope) -> None:
        if (name := self._heartbeats.get(envelope.subject)) is not None:
            beat = codec.decode(envelope.payload, Heartbeat)
            self._check_forward(
                name, self._followed, (beat.epoch, beat.generation), "agent follows"
            )
        elif (name := self._assignments.get(envelope.subject)) is not None:
            fence = codec.decode(envelope.payload, _Fence)
            if fence.generation >= (self._cluster.server.revision + 1) * 128:
                self._fail(f"an assignment of {name} tells of what is not committed")
            self._check_announced(name, fence)

    def _check_forward(
        self, name: str, newest: dict[str, tuple[int, int]], fence: tuple[int, int], what: str
    ) -> None:
        before = newest.get(name, (0, 0))
        if fence < before and not self.may_go_back:
            self._fail(f"{name}: {what} {fence} after {before}")
        newest[name] = fence

    def _check_announced(self, name: str, fence: _Fence) -> None:
        """Of one leader; a deposed one that does not know it yet may still speak."""
        before = self._announced.get(name, (0, 0))
        new = (fence.epoch, fence.generation)
        if fence.epoch == before[0] and new < before:
            self._fail(f"{name}: leader announces {new} after {before}")
        self._announced[name] = max(before, new)

    def _on_start(self, node: str) -> Callable[[Container], None]:
        def started(container: Container) -> None:
            self.starts += 1
            uid = container.pod.uid
            if self._ran_on.setdefault(uid, node) != node:
                self._fail(f"pod {container.pod.name} runs on {node} and on {self._ran_on[uid]}")
            if self._bound.get(uid) != node:
                self._fail(f"pod {container.pod.name} started on {node} without being bound to it")
            self._check_alone(container)

        return started

    def _check_alone(self, started: Container) -> None:
        """Of a stateful set's pod there are never two, wherever they are."""
        found = self.stored(PODS, started.pod.name, namespace=started.pod.namespace)
        if found is None or not is_one_of_a_kind(found):
            return
        for name, host in self._cluster.hosts.items():
            for other in host.engine.containers:
                is_same = replace(other.pod, uid="") == replace(started.pod, uid="")
                if other.state is State.RUNNING and is_same and other.pod != started.pod:
                    self._fail(f"there are two of {other.pod.name}: one still runs on {name}")

    # -- at rest

    def all(self, type_: type[Any]) -> list[Any]:
        """What the store holds of a kind."""
        return [found for found in self._objects.values() if type(found) is type_]

    def stored(self, kind: Kind[Any], name: str, *, namespace: str = "default") -> Any:
        """What the store holds under a name."""
        return self._objects.get(keys.of(kind, namespace, name))

    def problems(self) -> list[str]:
        """What is not as was asked for; empty once it all is."""
        return [
            *self._wrong_objects(),
            *self._wrong_containers(),
            *self._wrong_volumes(),
            *self._wrong_worlds(),
        ]

    def _wrong_objects(self) -> Iterator[str]:
        for name in self._cluster.hosts:
            node = self._objects.get(keys.of(NODES, "", name))
            ready = condition(node.status.conditions, "Ready") if node else None
            if ready is None or ready.status != "True" or node.spec.taints:
                yield f"node {name} is {ready.reason if ready else 'absent'}"
        owners = {found.metadata.uid: found for found in self._objects.values()}
        pods: dict[str, list[Pod]] = {}
        for pod in self.all(Pod):
            name = pod.metadata.name
            if (owner := pod.metadata.controller) is not None:
                replicaset = owners.get(owner.uid)
                above = replicaset.metadata.controller if replicaset else None
                name = owners[above.uid].metadata.name if above and above.uid in owners else ""
            if not name or name not in self.wanted:
                yield f"pod {pod.metadata.name} is left over"
            pods.setdefault(name, []).append(pod)
        for replicaset in self.all(REPLICASETS.type):
            if replicaset.metadata.controller.uid not in owners:
                yield f"replica set {replicaset.metadata.name} is left over"
        for deployment in self.all(Deployment):
            if deployment.metadata.name not in self.wanted:
                yield f"deployment {deployment.metadata.name} is left over"
        for name, wanted in self.wanted.items():
            yield from self._wrong_workload(name, wanted, pods.get(name, []))

    def _wrong_workload(self, name: str, wanted: Wanted, pods: list[Pod]) -> Iterator[str]:
        count = 1 if wanted.replicas is None else wanted.replicas
        for pod in pods:
            image = pod.spec.containers[0].image
            if pod.metadata.deletion_timestamp:
                yield f"pod {pod.metadata.name} is still terminating"
            elif not is_ready(pod) or pod.status.phase != "Running":
                where = pod.spec.node_name or "nowhere"
                yield f"pod {pod.metadata.name} on {where} is not ready ({pod.status.phase})"
            if image != wanted.image:
                yield f"pod {pod.metadata.name} has image {image}, not {wanted.image}"
        if len(pods) != count:
            yield f"{name} has {len(pods)} pods, not {count}"
        if wanted.replicas is None:
            return
        found = self.stored(DEPLOYMENTS, name)
        if found is None:
            yield f"deployment {name} is lost"
            return
        image = found.spec.template.spec.containers[0].image
        if (found.spec.replicas, image) != (count, wanted.image):
            yield f"deployment {name} is {found.spec.replicas} of {image}, not {wanted}"
        status = found.status
        counts = status.replicas, status.updated_replicas, status.ready_replicas
        if counts != (count, count, count) or (
            status.observed_generation != found.metadata.generation
        ):
            yield f"deployment {name} says {counts}, not {count}"

    def _wrong_containers(self) -> Iterator[str]:
        for host in self._cluster.hosts.values():
            bound = {
                pod.metadata.uid: pod for pod in self.all(Pod) if pod.spec.node_name == host.name
            }
            running: dict[str, int] = {}
            for container in host.engine.containers:
                uid = container.pod.uid
                if uid not in bound:
                    yield f"container {container.name} is left over on {host.name}"
                elif container.state is State.RUNNING:
                    running[uid] = running.get(uid, 0) + 1
                    if container.image != bound[uid].spec.containers[0].image:
                        yield f"container {container.name} runs {container.image}"
            for uid, pod in bound.items():
                if running.get(uid, 0) != 1:
                    yield f"pod {pod.metadata.name} runs {running.get(uid, 0)} times"
            for sandbox in host.engine.sandboxes:
                if sandbox.pod is not None and sandbox.pod.uid not in bound:
                    yield f"sandbox {sandbox.name} is left over on {host.name}"

    def _wrong_volumes(self) -> Iterator[str]:
        """Every pod's show what they should, and there are no others."""
        settings = self.stored(CONFIG_MAPS, "settings")
        files = {key: text.encode() for key, text in settings.data.items()} if settings else {}
        for host in self._cluster.hosts.values():
            bound = {pod.metadata.uid for pod in self.all(Pod) if pod.spec.node_name == host.name}
            shown = {pod.uid: found for (pod, _), found in host.storage.files.items()}
            for uid in bound:
                if shown.get(uid) != files:
                    yield f"pod {uid} on {host.name} is shown {shown.get(uid)}, not {files}"
            there = {pod.uid for pod in host.storage.volumes_now}
            there |= {volume.pod.uid for volume in host.engine.volumes_now}
            for uid in there - bound:
                yield f"volumes of pod {uid} are left over on {host.name}"

    def _wrong_worlds(self) -> Iterator[str]:
        """Every orchestrator knows what the store holds, and no more."""
        stored = {
            item.key: item.mod_revision for item in self._cluster.server.list(keys.REGISTRY).items
        }
        for plane in self._cluster.planes.values():
            if plane.control is None:
                yield f"orchestrator {plane.name} is away"
                continue
            known = {
                keys.of(kind, entry.namespace, entry.name): entry.revision
                for kind in plane.control.world.kinds.all
                for entry in plane.control.world.entries(kind)
            }
            if known != stored:
                different = sorted(known.items() ^ stored.items())[:3]
                yield f"orchestrator {plane.name} knows another world: {different}"


def _is_lost(node: Node | None) -> bool:
    ready = condition(node.status.conditions, "Ready") if node is not None else None
    return ready is not None and ready.reason == LOST_REASON
