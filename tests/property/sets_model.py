"""The same reduced cluster with what stateful and daemon sets need: nodes, revisions and claims."""

from collections.abc import Sequence

from msgspec.structs import replace

from orchestrator.core import daemon_pod, daemonset, garbage, statefulset
from orchestrator.core.decisions import Plan
from proto.kinds.controllerrevision import CONTROLLER_REVISIONS
from proto.kinds.daemonset import DAEMON_SETS, DaemonSet
from proto.kinds.node import Node
from proto.kinds.pod import PODS, Pod, is_ready
from proto.kinds.statefulset import STATEFUL_SETS, StatefulSet
from proto.kinds.storage import PERSISTENT_VOLUME_CLAIMS
from tests.property.cluster_model import Cluster


class Sets(Cluster):
    """One set, whichever kind it is of."""

    def __init__(self, now_ms: int, nodes: Sequence[Node] = ()) -> None:
        super().__init__(now_ms)
        self.nodes = list(nodes)

    @property
    def sts(self) -> StatefulSet:
        return self.of(STATEFUL_SETS)[0]

    @property
    def ds(self) -> DaemonSet:
        return self.of(DAEMON_SETS)[0]

    @property
    def revisions(self) -> dict[str, int]:
        return {found.metadata.name: found.revision for found in self.of(CONTROLLER_REVISIONS)}

    @property
    def claims(self) -> list[str]:
        return [found.metadata.name for found in self.of(PERSISTENT_VOLUME_CLAIMS)]

    def plan(self) -> Plan:
        revisions = self.of(CONTROLLER_REVISIONS)
        if self.of(DAEMON_SETS):
            found, configs = self.ds, self.configs(self.ds)
            return daemonset.plan(found, revisions, self.nodes, self.pods, self.now_ms, configs)
        claims = {claim.metadata.name: claim for claim in self.of(PERSISTENT_VOLUME_CLAIMS)}
        configs = self.configs(self.sts)
        return statefulset.plan(self.sts, revisions, self.pods, claims, self.now_ms, configs)

    def change(self, **spec: object) -> None:
        kind = DAEMON_SETS if self.of(DAEMON_SETS) else STATEFUL_SETS
        (old,) = self.of(kind)
        self.update(kind, replace(old, spec=replace(old.spec, **spec)))

    def pass_all(self) -> int:
        return self.perform(self.plan().decisions) + self.collect()

    def collect(self) -> int:
        """Claims go with their owners."""
        there = {found.metadata.uid: found for found in self.objects.values()}
        done = 0
        for claim in self.of(PERSISTENT_VOLUME_CLAIMS):
            plan = garbage.plan(PERSISTENT_VOLUME_CLAIMS, claim, there, [])
            done += self.perform(plan.decisions)
        return done

    def agent_step(self, pod: Pod) -> bool:
        pin = daemon_pod.node_of(pod)
        if not pin or pod.spec.node_name or is_going(pod):
            return False if pod.status.phase == "Failed" and not is_going(pod) else self._step(pod)
        if all(node.metadata.name != pin for node in self.nodes):
            return False
        self.update(PODS, replace(pod, spec=replace(pod.spec, node_name=pin)), "binding")
        return True

    def _step(self, pod: Pod) -> bool:
        return super().agent_step(pod)

    def fail(self, pod: Pod) -> None:
        status = replace(pod.status, phase="Failed", conditions=())
        self.update(PODS, replace(pod, status=status), "status")


def is_going(pod: Pod) -> bool:
    return bool(pod.metadata.deletion_timestamp)


def names(pods: Sequence[Pod]) -> list[str]:
    return [pod.metadata.name for pod in pods]


def ready_names(cluster: Cluster) -> list[str]:
    return [pod.metadata.name for pod in cluster.active if is_ready(pod)]
