"""A cluster reduced to values: what plans ask for is done to a dictionary, by the rules of the real
writes (`core.objects`), and agents are steps that a test takes.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec.structs import replace

from orchestrator.core import deployment, objects, pinning, replicaset
from orchestrator.core.decisions import (
    Bind,
    Create,
    Decision,
    Emit,
    Plan,
    Remove,
    Rescale,
    Update,
    UpdateStatus,
)
from proto.errors import NotFound
from proto.kinds.deployment import DEPLOYMENTS, Deployment
from proto.kinds.kind import Kind
from proto.kinds.pod import PODS, Pod, is_active, is_ready
from proto.kinds.references import Reference
from proto.kinds.replicaset import REPLICASETS, ReplicaSet
from proto.meta import Condition, Resource, format_time

Key = tuple[str, str]


class Cluster:
    """Objects by (plural, name), all in one namespace; every write gives a new version."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.objects: dict[Key, Any] = {}
        self.events: list[str] = []
        self._version = 0
        self._made = 0

    # -- what is there

    def of(self, kind: Kind[Any]) -> list[Any]:
        return [
            found for (plural, _), found in sorted(self.objects.items()) if plural == kind.plural
        ]

    @property
    def deployment(self) -> Deployment:
        return self.of(DEPLOYMENTS)[0]

    @property
    def replicasets(self) -> list[ReplicaSet]:
        return self.of(REPLICASETS)

    @property
    def pods(self) -> list[Pod]:
        return self.of(PODS)

    @property
    def active(self) -> list[Pod]:
        return [pod for pod in self.pods if is_active(pod)]

    @property
    def ready(self) -> list[Pod]:
        return [pod for pod in self.active if is_ready(pod)]

    def pods_of(self, rs: ReplicaSet) -> list[Pod]:
        uid = rs.metadata.uid
        return [p for p in self.pods if p.metadata.controller and p.metadata.controller.uid == uid]

    # -- writes

    def create(self, kind: Kind[Any], new: Resource) -> Resource:
        self._made += 1
        found = objects.prepare_create(
            kind, new, uid=f"u{self._made}", suffix=f"{self._made:05}", now_ms=self.now_ms
        )
        key = kind.plural, found.metadata.name
        assert key not in self.objects, f"{key} exists"
        return self._store(kind, found)

    def update(self, kind: Kind[Any], new: Resource, subresource: str = "") -> None:
        old = self.objects[kind.plural, new.metadata.name]
        assert new.metadata.resource_version == old.metadata.resource_version, "a stale write"
        found = objects.prepare_update(kind, old, new, subresource=subresource, now_ms=self.now_ms)
        if objects.is_finished(found):
            del self.objects[kind.plural, new.metadata.name]
        elif found is not old:
            self._store(kind, found)

    def delete(
        self,
        kind: Kind[Any],
        name: str,
        *,
        wanted: Any = None,
        grace_s: int | None = None,
        propagation: str = "",
    ) -> None:
        old = self.objects.get((kind.plural, name))
        if old is None:
            raise NotFound(name)
        if wanted is not None:  # a deletion may change what it leaves
            assert wanted.metadata.resource_version == old.metadata.resource_version, (
                "a stale write"
            )
            old = wanted
        found = objects.prepare_delete(
            kind, old, grace_s=grace_s, propagation=propagation, now_ms=self.now_ms
        )
        if found is None:
            del self.objects[kind.plural, name]
        elif found is not old:
            self._store(kind, found)

    def _store(self, kind: Kind[Any], found: Any) -> Any:
        self._version += 1
        meta = replace(found.metadata, resource_version=str(self._version))
        stored = replace(found, metadata=meta)
        self.objects[kind.plural, meta.name] = stored
        return stored

    def perform(self, decisions: Iterable[Decision]) -> int:
        """Do all of them; every object is written once at most. Returns how many wrote."""
        done = 0
        for decision in decisions:
            match decision:
                case Create():
                    self.create(decision.kind, decision.object)
                case Update():
                    self.update(decision.kind, decision.object)
                case UpdateStatus():
                    self.update(decision.kind, decision.object, "status")
                case Rescale():
                    self.update(decision.kind, decision.object, "scale")
                    self.events.append(decision.announce.message)
                case Bind():
                    self.update(decision.kind, decision.object, "binding")
                case Remove():
                    self.delete(
                        decision.kind,
                        decision.object.metadata.name,
                        wanted=decision.object,
                        grace_s=decision.grace_s,
                        propagation=decision.propagation,
                    )
                case Emit():
                    self.events.append(decision.message)
                    continue
            done += 1
        return done

    # -- the controllers, one pass each

    def plan_deployment(self) -> Plan:
        by_rs = {rs.metadata.uid: self.pods_of(rs) for rs in self.replicasets}
        configs = self.configs(self.deployment)
        return deployment.plan(self.deployment, self.replicasets, by_rs, self.now_ms, configs)

    def configs(self, owner: Resource) -> pinning.Configs:
        """What a workload takes values from, and its copies of it."""
        live, snapshots = {}, {}
        for name, kind in pinning.KINDS.items():
            for found in self.of(kind):
                holder = found.metadata.controller
                group = live if holder is None else snapshots
                if holder is None or holder.uid == owner.metadata.uid:
                    group[Reference(name, found.metadata.name)] = found
        return pinning.Configs(live, snapshots)

    def plan_replicaset(self, rs: ReplicaSet) -> Plan:
        return replicaset.plan(REPLICASETS, rs, self.pods, self.now_ms)

    def pass_all(self) -> int:
        """Every controller once; returns how much was written."""
        done = self.perform(self.plan_deployment().decisions)
        for rs in self.replicasets:
            done += self.perform(self.plan_replicaset(rs).decisions)
        return done

    # -- what agents do

    def agents_finish(self) -> int:
        """Bind, start and stop whatever waits for it."""
        return sum([self.agent_step(pod) for pod in self.pods])

    def agent_step(self, pod: Pod) -> bool:
        if pod.metadata.deletion_timestamp:
            self.delete(PODS, pod.metadata.name, grace_s=0)
        elif not pod.spec.node_name:
            number = sum(map(ord, pod.metadata.name)) % 3
            bound = replace(pod, spec=replace(pod.spec, node_name=f"n{number}"))
            self.update(PODS, bound, "binding")
        elif not is_ready(pod):
            self.tell(pod, ready=True)
        else:
            return False
        return True

    def tell(self, pod: Pod, *, ready: bool) -> None:
        told = Condition(
            type="Ready",
            status="True" if ready else "False",
            last_transition_time=format_time(self.now_ms),
        )
        status = replace(pod.status, phase="Running", conditions=(told,))
        self.update(PODS, replace(pod, status=status), "status")

    def settle(self, passes: int = 300) -> None:
        """Controllers and agents in turn until nobody has anything to do."""
        for _ in range(passes):
            self.now_ms += 1000
            if not self.pass_all() + self.agents_finish():
                return
        raise AssertionError("never at rest: " + "; ".join(self.describe()))

    def describe(self) -> Iterator[str]:
        for rs in self.replicasets:
            yield f"{rs.metadata.name} {rs.spec.replicas} {rs.status}"
        yield str(self.deployment.status)
