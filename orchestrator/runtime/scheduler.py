"""Gives every pending pod a node: all that wait at once, then again when something changed.

A pod that fits nowhere waits until a node or another pod changes; nothing is tried periodically.
"""

import asyncio
from collections.abc import Callable, Sequence

from orchestrator.core import binding
from orchestrator.core.scheduling import NodeTable, schedule
from orchestrator.runtime.reconcile import Perform
from orchestrator.world import Change, World
from proto.kinds.node import NODES
from proto.kinds.pod import PODS, Pod, is_active

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
        self._refused: dict[Name, None] = {}
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
        placements = schedule(self._table, pods)
        for placement in placements:
            if placement.node is None:
                meta = placement.pod.metadata
                self._refused[meta.namespace, meta.name] = None
        plan = binding.plan(placements, self._clock())
        if await self._perform(plan.decisions):
            await asyncio.sleep(RETRY_S)
            for pod in pods:
                self._waiting[pod.metadata.namespace, pod.metadata.name] = None

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

    def _heard_pod(self, change: Change) -> None:
        old, new = change.old, change.new
        name = change.entry.namespace, change.entry.name
        if old is not None and (new is None or not is_active(new.object)):
            self._retry_refused()  # there may be room now
        if new is None:
            self._table.remove_pod(change.entry.object.metadata.uid)
            self._waiting.pop(name, None)
            self._refused.pop(name, None)
            return
        self._table.upsert_pod(new.object)
        if new.object.spec.node_name:
            self._waiting.pop(name, None)
            self._refused.pop(name, None)
        elif name not in self._refused or (old and old.object.spec != new.object.spec):
            self._refused.pop(name, None)
            self._add(new.object)

    def _add(self, pod: Pod) -> None:
        if _is_ours(pod):
            self._waiting[pod.metadata.namespace, pod.metadata.name] = None
            self._rung.set()

    def _retry_refused(self) -> None:
        if self._refused:
            self._waiting |= self._refused
            self._refused.clear()
            self._rung.set()


def _is_ours(pod: Pod) -> bool:
    return (
        not pod.spec.node_name
        and is_active(pod)
        and pod.spec.scheduler_name in ("", SCHEDULER_NAME)
    )
