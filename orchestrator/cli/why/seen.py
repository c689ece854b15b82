"""What was seen of a cluster at one moment, and who belongs to whom in it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from orchestrator.cli.why.words import kind_name, time_ms
from proto.kinds.daemonset import DaemonSet
from proto.kinds.deployment import Deployment
from proto.kinds.disruption import PodDisruptionBudget
from proto.kinds.event import Event
from proto.kinds.job import Job
from proto.kinds.node import Node
from proto.kinds.pod import Pod
from proto.kinds.quota import ResourceQuota
from proto.kinds.replicaset import ReplicaSet
from proto.kinds.replicationcontroller import ReplicationController
from proto.kinds.statefulset import StatefulSet
from proto.meta import Resource


@dataclass(frozen=True)
class Seen:
    """One moment. What was not asked for, or may not be read, is empty.

    Attributes:
        now_ms: When, epoch milliseconds, on this machine's clock.
        namespace: Where names are looked for that do not say it: commands leave it out.
        has_all_pods: Whether `pods` are all of the cluster, so that room on nodes can be told.
        logs: By namespace, pod and container: the last lines that its last attempt wrote.
    """

    now_ms: int
    namespace: str = "default"
    pods: Sequence[Pod] = ()
    nodes: Sequence[Node] = ()
    events: Sequence[Event] = ()
    deployments: Sequence[Deployment] = ()
    replica_sets: Sequence[ReplicaSet] = ()
    replication_controllers: Sequence[ReplicationController] = ()
    stateful_sets: Sequence[StatefulSet] = ()
    daemon_sets: Sequence[DaemonSet] = ()
    jobs: Sequence[Job] = ()
    budgets: Sequence[PodDisruptionBudget] = ()
    quotas: Sequence[ResourceQuota] = ()
    has_all_pods: bool = True
    logs: Mapping[tuple[str, str, str], tuple[str, ...]] = field(default_factory=dict)

    def inside(self, namespace: str) -> str:
        """What a command needs to find something in a namespace: `` -n web``, or nothing."""
        return f" -n {namespace}" if namespace not in ("", self.namespace) else ""

    def node(self, name: str) -> Node | None:
        """The node of that name."""
        return self._nodes.get(name)

    @property
    def workloads(self) -> Sequence[Resource]:
        """Everything that may have pods, or have what has pods."""
        return (
            *self.deployments,
            *self.replica_sets,
            *self.replication_controllers,
            *self.stateful_sets,
            *self.daemon_sets,
            *self.jobs,
        )

    def pods_on(self, node: str) -> Sequence[Pod]:
        """The pods bound to a node."""
        return self._pods_by_node.get(node, ())

    def pods_of(self, owner: Resource) -> Sequence[Pod]:
        """The pods whose controller it is; a deployment's are those of its replica sets."""
        if isinstance(owner, Deployment):
            return [pod for rs in self.replica_sets_of(owner) for pod in self.pods_of(rs)]
        return self._pods_by_owner.get(owner.metadata.uid, ())

    def replica_sets_of(self, deployment: Deployment) -> Sequence[ReplicaSet]:
        """Those of a deployment, the newest last."""
        return self._replica_sets_by_owner.get(deployment.metadata.uid, ())

    def jobs_of(self, owner: Resource) -> Sequence[Job]:
        """Those of a cron job, the newest last."""
        mine = [
            job
            for job in self.jobs
            if (by := job.metadata.controller) is not None and by.uid == owner.metadata.uid
        ]
        return sorted(mine, key=lambda job: (job.metadata.creation_timestamp, job.metadata.name))

    def controller_of(self, pod: Pod) -> Resource | None:
        """Who stands at the top: the deployment of its replica set, say; None for a bare pod."""
        owner = pod.metadata.controller
        found = self._controllers.get(owner.uid) if owner else None
        above = found.metadata.controller if found else None
        return self._controllers.get(above.uid, found) if above else found

    def events_of(self, about: Resource, *reasons: str, warnings: bool = False) -> list[Event]:
        """What was told of an object, the latest first.

        Args:
            about: Which; events of an earlier object of that name do not count.
            reasons: Only these; all when there is none.
            warnings: Only warnings.
        """
        meta = about.metadata
        return [
            event
            for event in self.events_named(kind_name(about), meta.namespace, meta.name)
            if (not reasons or event.reason in reasons)
            and (not warnings or event.type == "Warning")
            and event.involved_object.uid in ("", meta.uid)
        ]

    def events_named(self, kind: str, namespace: str, name: str) -> list[Event]:
        """What was told of all objects of that name that there were, the latest first."""
        found = self._events.get((kind, namespace, name), ())
        return sorted(found, key=last_ms, reverse=True)

    @cached_property
    def _nodes(self) -> Mapping[str, Node]:
        return {node.metadata.name: node for node in self.nodes}

    @cached_property
    def _pods_by_node(self) -> Mapping[str, Sequence[Pod]]:
        found: dict[str, list[Pod]] = defaultdict(list)
        for pod in self.pods:
            if pod.spec.node_name:
                found[pod.spec.node_name].append(pod)
        return found

    @cached_property
    def _pods_by_owner(self) -> Mapping[str, Sequence[Pod]]:
        found: dict[str, list[Pod]] = defaultdict(list)
        for pod in self.pods:
            if owner := pod.metadata.controller:
                found[owner.uid].append(pod)
        return found

    @cached_property
    def _replica_sets_by_owner(self) -> Mapping[str, Sequence[ReplicaSet]]:
        found: dict[str, list[ReplicaSet]] = defaultdict(list)
        for rs in sorted(self.replica_sets, key=lambda rs: rs.metadata.creation_timestamp):
            if owner := rs.metadata.controller:
                found[owner.uid].append(rs)
        return found

    @cached_property
    def _controllers(self) -> Mapping[str, Resource]:
        return {found.metadata.uid: found for found in self.workloads}

    @cached_property
    def _events(self) -> Mapping[tuple[str, str, str], Sequence[Event]]:
        found: dict[tuple[str, str, str], list[Event]] = defaultdict(list)
        for event in self.events:
            about = event.involved_object
            found[about.kind, about.namespace, about.name].append(event)
        return found


def last_ms(event: Event) -> int:
    """When an event last happened; 0 when it does not say."""
    return time_ms(event.last_timestamp or event.event_time or event.first_timestamp) or 0
