"""Evictions: deletions of pods that a disruption budget may refuse.

A budget is counted down in the transaction that marks the pod for deletion, and only if nobody
changed it since it was read: what it allows once is used once, and never in vain.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from orchestrator.core import disruption
from orchestrator.runtime.verbs import Verbs
from orchestrator.runtime.writer import Op
from orchestrator.world import World
from proto.kinds.disruption import DISRUPTION_BUDGETS
from proto.kinds.pod import PODS, Pod


class Evictions:
    """See the module."""

    def __init__(self, world: World, verbs: Verbs, clock: Callable[[], int]) -> None:
        self._world = world
        self._verbs = verbs
        self._clock = clock
        # A drain evicts everything at once: in turn, nobody is sent back for the other's count.
        self._turn = asyncio.Lock()

    async def evict(self, namespace: str, name: str, **options: Any) -> None:
        """Delete a pod, if its budget allows it.

        Args:
            namespace: Of the pod.
            name: Of the pod.
            options: As `Verbs.delete` takes them.

        Raises:
            NotFound: There is none.
            NotNow: Its budget does not allow it at present.
            Forbidden: Its budget cannot be counted down.
            Ambiguous: It has more than one budget.
            Conflict: A precondition does not hold.
        """
        async with self._turn:
            await self._verbs.delete(PODS, namespace, name, prepare=self._allowed, **options)

    def _allowed(self, pod: Pod) -> tuple[Pod, Sequence[Op]]:
        now_ms = self._clock()
        budgets = self._world.objects(DISRUPTION_BUDGETS, pod.metadata.namespace)
        budget = disruption.charged(pod, budgets, now_ms)
        evicted = disruption.evicted(pod, now_ms)
        if budget is None:
            return evicted, ()
        counted = self._verbs.update_op(DISRUPTION_BUDGETS, budget, subresource="status")
        return evicted, () if counted is None else (counted,)
