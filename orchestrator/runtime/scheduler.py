"""Gives every pending pod a node: all that wait at once, then again when something changed.

A pod that fits nowhere waits until a node or another pod changes; nothing is tried periodically.
One that wants something of other pods also waits for those that come.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from orchestrator.core import binding
from orchestrator.core.scheduling import NodeTable, Placement, Residents, refusal, schedule
from orchestrator.core.scheduling.peers import face_of, has_rules
from orchestrator.core.storage import using
from orchestrator.core.storage.using import Blocked, Needs
from orchestrator.runtime.claims import known_of
from orchestrator.runtime.reconcile import Perform
from orchestrator.world import Change, World
from proto.kinds.disruption import DISRUPTION_BUDGETS
from proto.kinds.namespace import NAMESPACES
from proto.kinds.node import NODES
from proto.kinds.persistentvolume import PERSISTENT_VOLUMES
from proto.kinds.pod import PODS, Pod, is_active
from proto.kinds.storage import PERSISTENT_VOLUME_CLAIMS, STORAGE_CLASSES

SCHEDULER_NAME = "default-scheduler"
"""Pods that name another one are left to it. Source: Kubernetes' default."""

BATCH = 2_000
"""Pods placed between two looks at the world: a tenth of a second's work at most (measured)."""

RETRY_S = 0.05
"""Before pods whose binding could not be written are placed again."""

Name = tuple[str, str]


class Scheduler:
    """See the module.

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
        self._perform = perform
        self._clock = clock
        self._table = NodeTable()
        self._waiting: dict[Name, None] = {}
        self._refused: dict[Name, bool] = {}  # whether it wants something of other pods
        self._claimants: dict[Name, None] = {}  # of the pods that wait, those with claims
        self._rung = asyncio.Event()
        world.listen(self._heard)

    async def run(self) -> None:
        """Schedule for one term, until cancelled."""
        for pod in self._world.pods_on(""):
            self._add(pod)
        while True:
            await self._rung.wait()
            self._rung.clear()
            while self._waiting:
                await self._place(self._take())

    def _take(self) -> list[Pod]:
        names = [name for name, _ in zip(self._waiting, range(BATCH), strict=False)]
        for name in names:
            del self._waiting[name]
        found = (self._world.get(PODS, *name) for name in names)
        return [pod for pod in found if pod is not None and _is_ours(pod)]

    async def _place(self, pods: Sequence[Pod]) -> None:
        needs, refused = self._look_at_claims(pods)
        placements = schedule(
            self._table,
            (pod for pod in pods if pod.metadata.uid not in refused),
            self._residents(),
            {uid: found.selectors for uid, found in needs.items()},
        )
        placements += refused.values()
        for placement in placements:
            pod = placement.pod
            found = needs.get(pod.metadata.uid)
            if placement.node is None or (found is not None and not found.is_ready):
                self._refused[_name(pod)] = has_rules(pod.spec)
                if placement.node is not None:
                    self._table.upsert_pod(binding.placed(pod, placement.node))
        plan = binding.plan(placements, self._clock(), needs)
        if await self._perform(plan.decisions):
            await asyncio.sleep(RETRY_S)
            for pod in pods:
                self._waiting[_name(pod)] = None

    def _look_at_claims(self, pods: Sequence[Pod]) -> tuple[dict[str, Needs], dict[str, Placement]]:
        """By uid, what pods' claims ask of their nodes, and the pods that none will do for."""
        found: dict[str, Needs] = {}
        refused: dict[str, Placement] = {}
        for pod in pods:
            if not using.names(pod.metadata.name, pod.spec):
                continue
            uid = pod.metadata.uid
            self._claimants[_name(pod)] = None
            self._table.remove_pod(uid)  # it was promised room while it waited for its volumes
            try:
                found[uid] = using.needs(pod, known_of(self._world, pod))
            except Blocked as blocked:
                said = refusal.blocked(self._table, str(blocked), is_by_node=blocked.is_by_node)
                refused[uid] = Placement(pod, None, said)
        return found, refused

    def _residents(self) -> Residents:
        world = self._world
        return Residents(
            on=world.pods_on,
            budgets=lambda namespace: world.objects(DISRUPTION_BUDGETS, namespace),
            doomed=set(),
        )

    def _heard(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.kind is PODS:
                self._heard_pod(change)
            elif change.kind is NODES:
                if change.new is None:
                    self._table.remove_node(change.entry.name)
                else:
                    self._table.upsert_node(change.new.object)
                self._retry_refused()
            elif change.kind is NAMESPACES:
                self._heard_namespace(change)
            elif change.kind in (PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES):
                self._retry(name for name in self._claimants if name in self._refused)
        if any(_is_seen_anew(change) for change in changes):
            self._retry(name for name, does_crowd in self._refused.items() if does_crowd)

    def _heard_namespace(self, change: Change) -> None:
        """Terms that select namespaces by their labels see other pods now."""
        if change.new is None:
            self._table.namespaces.pop(change.entry.name, None)
        else:
            self._table.namespaces[change.entry.name] = change.new.object.metadata.labels
        self._retry_refused()

    def _heard_pod(self, change: Change) -> None:
        old, new = change.old, change.new
        name = change.entry.namespace, change.entry.name
        if old is not None and (new is None or not is_active(new.object)):
            self._retry_refused()  # there may be room now
        if new is None:
            self._table.remove_pod(change.entry.object.metadata.uid)
            self._waiting.pop(name, None)
            self._refused.pop(name, None)
            self._claimants.pop(name, None)
            return
        pod = new.object
        self._table.upsert_pod(pod)
        if pod.spec.node_name:
            self._waiting.pop(name, None)
            self._refused.pop(name, None)
            self._claimants.pop(name, None)
        elif name not in self._refused or (old and old.object.spec != pod.spec):
            self._refused.pop(name, None)
            self._add(pod)

    def _add(self, pod: Pod) -> None:
        if _is_ours(pod):
            self._waiting[_name(pod)] = None
            self._rung.set()

    def _retry_refused(self) -> None:
        self._retry(self._refused)

    def _retry(self, names: Iterable[Name]) -> None:
        """Try those again that fitted nowhere."""
        for name in tuple(names):
            self._refused.pop(name)
            self._waiting[name] = None
            self._rung.set()


def _is_seen_anew(change: Change) -> bool:
    """Whether a pod came to a node, or looks otherwise to others."""
    if change.kind is not PODS or change.new is None or not change.new.object.spec.node_name:
        return False
    old = None if change.old is None else change.old.object
    return old is None or not old.spec.node_name or face_of(old) != face_of(change.new.object)


def _name(pod: Pod) -> Name:
    return pod.metadata.namespace, pod.metadata.name


def _is_ours(pod: Pod) -> bool:
    return (
        not pod.spec.node_name
        and not pod.spec.scheduling_gates
        and is_active(pod)
        and pod.spec.scheduler_name in ("", SCHEDULER_NAME)
    )
