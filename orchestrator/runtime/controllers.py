"""Which change rings for which object, and what each controller gets to see of the world."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from orchestrator.core import (
    deployment,
    disruption,
    evictions,
    garbage,
    namespaces,
    replicaset,
    scale,
    service_accounts,
)
from orchestrator.core.custom import definitions
from orchestrator.core.decisions import Plan
from orchestrator.runtime.reconcile import Perform, Reconciler
from orchestrator.world import Change, Entry, World
from proto import kinds
from proto.kinds.access import SERVICE_ACCOUNTS
from proto.kinds.definition import DEFINITIONS, CustomResourceDefinition, Names
from proto.kinds.deployment import DEPLOYMENTS
from proto.kinds.disruption import DISRUPTION_BUDGETS
from proto.kinds.kind import Kind
from proto.kinds.namespace import NAMESPACES
from proto.kinds.node import NODES
from proto.kinds.pod import PODS, Pod
from proto.kinds.replicaset import REPLICASETS

Name = tuple[str, str]
"""Namespace and name."""


class Controllers:
    """Runs every controller.

    Args:
        world: Read, and listened to.
        perform: Carries out decisions; returns how many failed.
        clock: Epoch milliseconds.
    """

    def __init__(
        self,
        world: World,
        perform: Perform,
        clock: Callable[[], int],
    ) -> None:
        self._world = world
        self._deployments: Reconciler[Name] = Reconciler(
            "deployment", self._deployment, perform, clock
        )
        self._replicasets: Reconciler[Name] = Reconciler(
            "replicaset", self._replicaset, perform, clock
        )
        self._namespaces: Reconciler[tuple[str]] = Reconciler(
            "namespace", self._namespace, perform, clock
        )
        self._garbage: Reconciler[tuple[str, str, str]] = Reconciler(
            "garbage", self._collect, perform, clock
        )
        self._evictions: Reconciler[tuple[str]] = Reconciler(
            "eviction", self._evict, perform, clock
        )
        self._definitions: Reconciler[tuple[str]] = Reconciler(
            "definition", self._definition, perform, clock
        )
        self._accounts: Reconciler[tuple[str]] = Reconciler(
            "serviceaccount", self._account, perform, clock
        )
        self._budgets: Reconciler[Name] = Reconciler("disruption", self._budget, perform, clock)
        self._own: dict[Kind[Any], Reconciler[Name]] = {
            DEPLOYMENTS: self._deployments,
            REPLICASETS: self._replicasets,
            DISRUPTION_BUDGETS: self._budgets,
        }
        world.listen(self._heard)

    async def run(self) -> None:
        """Run them for one term, until cancelled."""
        for name in namespaces.INITIAL:
            self._namespaces.ring((name,))
        for kind in self._world.kinds.stored:
            for entry in self._world.entries(kind):
                self._ring(entry)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._deployments.run())
            tasks.create_task(self._replicasets.run())
            tasks.create_task(self._namespaces.run())
            tasks.create_task(self._garbage.run())
            tasks.create_task(self._evictions.run())
            tasks.create_task(self._definitions.run())
            tasks.create_task(self._accounts.run())
            tasks.create_task(self._budgets.run())

    def _heard(self, changes: Sequence[Change]) -> None:
        for change in changes:
            for entry in (change.old, change.new):
                if entry is not None:
                    self._ring(entry)
            if change.new is None:
                self._heard_gone(change.entry)

    def _heard_gone(self, entry: Entry) -> None:
        """Whoever depended on it, or was waited for by it, is looked at again."""
        for dependent in self._world.dependents(entry.object.metadata.uid):
            self._ring_garbage(dependent)
        for reference in entry.object.metadata.owner_references:
            owner = self._world.by_uid(reference.uid)
            if owner is not None and owner.object.metadata.finalizers:
                self._ring_garbage(owner)

    def _ring_garbage(self, entry: Entry) -> None:
        self._garbage.ring((entry.kind.resource, entry.namespace, entry.name))

    def _ring(self, entry: Entry) -> None:
        """Wake every controller that this object concerns."""
        meta = entry.object.metadata
        if meta.owner_references or (meta.deletion_timestamp and meta.finalizers):
            self._ring_garbage(entry)
        room = self._world.get(NAMESPACES, "", entry.namespace) if entry.namespace else None
        if room is not None and room.metadata.deletion_timestamp:
            self._namespaces.ring((entry.namespace,))
        if (own := self._own.get(entry.kind)) is not None:
            own.ring((entry.namespace, entry.name))
        if entry.kind.schema is not None:
            self._definitions.ring((entry.kind.resource,))
        elif entry.kind is DEFINITIONS:
            self._ring_definitions(entry.object)
        elif entry.kind is NAMESPACES:
            self._namespaces.ring((entry.name,))
            self._accounts.ring((entry.name,))
        elif entry.kind is SERVICE_ACCOUNTS:
            self._accounts.ring((entry.namespace,))
        elif entry.kind is NODES:
            self._evictions.ring((entry.name,))
        elif entry.kind is REPLICASETS:
            self._ring_owner(entry)
        elif entry.kind is PODS:
            self._ring_owner(entry)
            self._ring_budgets(entry.object)
            if entry.object.spec.node_name:
                self._evictions.ring((entry.object.spec.node_name,))

    def _ring_definitions(self, definition: CustomResourceDefinition) -> None:
        """It, and those that may have waited for one of its names."""
        for found in self._world.objects(DEFINITIONS):
            if found.spec.group == definition.spec.group:
                self._definitions.ring((found.metadata.name,))

    def _ring_owner(self, entry: Entry) -> None:
        """The controller of an object; of an orphan, every controller that might adopt it."""
        owner = entry.object.metadata.controller
        if owner is None:
            self._ring_adopters(entry)
        elif owner.kind == REPLICASETS.name:
            self._replicasets.ring((entry.namespace, owner.name))
            found = self._world.entry(REPLICASETS, entry.namespace, owner.name)
            if found is not None:  # a deployment counts the pods of its replica sets
                self._ring_owner(found)
        elif owner.kind == DEPLOYMENTS.name:
            self._deployments.ring((entry.namespace, owner.name))

    def _ring_budgets(self, pod: Pod) -> None:
        for budget in self._world.objects(DISRUPTION_BUDGETS, pod.metadata.namespace):
            if disruption.selects(budget, pod):
                self._budgets.ring((budget.metadata.namespace, budget.metadata.name))

    def _ring_adopters(self, entry: Entry) -> None:
        adopters: tuple[Kind[Any], Reconciler[Name]] | None = None
        if entry.kind is PODS:
            adopters = REPLICASETS, self._replicasets
        elif entry.kind is REPLICASETS:
            adopters = DEPLOYMENTS, self._deployments
        if adopters is None:
            return
        kind, reconciler = adopters
        for candidate in self._world.objects(kind, entry.namespace):
            selector = candidate.spec.selector
            if selector is not None and selector.matches(entry.object.metadata.labels):
                reconciler.ring((entry.namespace, candidate.metadata.name))

    # -- what each gets to see

    def _deployment(self, key: Name, now_ms: int) -> Plan:
        found = self._world.get(DEPLOYMENTS, *key)
        if found is None:
            return Plan()
        owned = self._world.owned_by(found.metadata.uid, REPLICASETS)
        orphans = self._world.orphans(REPLICASETS, key[0])
        pods = {rs.metadata.uid: self._world.owned_by(rs.metadata.uid, PODS) for rs in owned}
        return deployment.plan(found, [*owned, *orphans], pods, now_ms)

    def _replicaset(self, key: Name, now_ms: int) -> Plan:
        found = self._world.get(REPLICASETS, *key)
        if found is None:
            return Plan()
        owned = self._world.owned_by(found.metadata.uid, PODS)
        orphans = self._world.orphans(PODS, key[0])
        return replicaset.plan(found, [*owned, *orphans], now_ms)

    def _budget(self, key: Name, now_ms: int) -> Plan:
        found = self._world.get(DISRUPTION_BUDGETS, *key)
        if found is None:
            return Plan()
        pods = [pod for pod in self._world.objects(PODS, key[0]) if disruption.selects(found, pod)]
        owners = {owner.uid for pod in pods if (owner := pod.metadata.controller) is not None}
        controllers = {uid: known for uid in owners if (known := self._controller(uid)) is not None}
        return disruption.plan(found, pods, controllers, now_ms)

    def _controller(self, uid: str) -> disruption.Controller | None:
        """Who keeps up the number of an owner's pods: itself, or a replica set's deployment."""
        entry = self._world.by_uid(uid)
        if entry is not None and entry.kind is REPLICASETS:
            above = entry.object.metadata.controller
            if above is not None and above.kind == DEPLOYMENTS.name:
                owner = self._world.by_uid(above.uid)
                entry = owner if owner is not None and owner.kind is DEPLOYMENTS else None
        if entry is None or not entry.kind.has_scale:
            return None
        wanted = scale.numbers(entry.object, entry.kind.scale).wanted
        return disruption.Controller(entry.object.metadata.uid, wanted)

    def _namespace(self, key: tuple[str], now_ms: int) -> Plan:
        (name,) = key
        found = self._world.get(NAMESPACES, "", name)
        if found is None:
            return namespaces.initial(name)
        if not found.metadata.deletion_timestamp:
            return Plan()
        contents = [
            (entry.kind, entry.object)
            for kind in self._world.kinds.stored
            if kind.is_namespaced
            for entry in self._world.entries(kind, name)
        ]
        return namespaces.plan(found, contents, now_ms)

    def _account(self, key: tuple[str], _now_ms: int) -> Plan:
        (name,) = key
        found = self._world.get(NAMESPACES, "", name)
        if found is None:
            return Plan()
        account = self._world.get(SERVICE_ACCOUNTS, name, service_accounts.DEFAULT)
        return service_accounts.plan(found, account)

    def _definition(self, key: tuple[str], now_ms: int) -> Plan:
        (name,) = key
        found = self._world.get(DEFINITIONS, "", name)
        if found is None:
            return Plan()
        taken = [
            other.status.accepted_names
            for other in self._world.objects(DEFINITIONS)
            if other.spec.group == found.spec.group
            and other.metadata.uid != found.metadata.uid
            and other.status.accepted_names is not None
        ]
        taken += [
            Names(plural=k.plural, singular=k.singular, kind=k.name, short_names=k.short_names)
            for k in kinds.ALL
            if k.group == found.spec.group
        ]
        contents = [
            (entry.kind, entry.object)
            for kind in self._world.kinds.declared(name)
            for entry in self._world.entries(kind)
        ]
        return definitions.plan(found, taken, contents, now_ms)

    def _collect(self, key: tuple[str, str, str], _now_ms: int) -> Plan:
        resource, namespace, name = key
        kind = self._world.kinds.named(resource)
        found = None if kind is None else self._world.get(kind, namespace, name)
        if kind is None or found is None:
            return Plan()
        meta = found.metadata
        owners = {
            reference.uid: owner.object
            for reference in meta.owner_references
            if (owner := self._world.by_uid(reference.uid)) is not None
        }
        dependents = [(entry.kind, entry.object) for entry in self._world.dependents(meta.uid)]
        return garbage.plan(kind, found, owners, dependents)

    def _evict(self, key: tuple[str], now_ms: int) -> Plan:
        (name,) = key
        node = self._world.get(NODES, "", name)
        pods = self._world.pods_on(name)
        if node is None:
            return garbage.pods_without_node(pods, ())
        return evictions.plan(node, pods, now_ms)
