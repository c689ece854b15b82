"""Looks at how much is in the empty folders that have a limit, and puts an end to who has more.

A disk has no limit of its own for a folder, so a pod may have more for a while, as in Kubernetes.
"""

import asyncio
from collections.abc import Callable, Iterable

import structlog

from node_agent.core import naming, volumes
from node_agent.core.observed import Verdict
from node_agent.core.volumes import Limit
from node_agent.kept import Keeper
from node_agent.storage import Storage, StorageFailure
from proto.messages import AssignedPod

log = structlog.get_logger()


class Rooms:
    """See the module."""

    def __init__(
        self,
        storage: Storage,
        keeper: Keeper,
        pods: Callable[[], Iterable[AssignedPod]],
        on_verdict: Callable[[], None],
        period_s: float,
    ) -> None:
        """Idle until `run`.

        Args:
            storage: Has the folders.
            keeper: Keeps verdicts: what is looked at may be gone when somebody asks again.
            pods: Those to look at.
            on_verdict: Called after each.
            period_s: Seconds between looks.
        """
        self._storage = storage
        self._keeper = keeper
        self._pods = pods
        self._on_verdict = on_verdict
        self._period_s = period_s

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(self._period_s)
            for pod in tuple(self._pods()):
                limits = volumes.limits(pod)
                if limits and pod.uid not in self._keeper.kept.verdicts:
                    await self._look(pod, limits)

    async def _look(self, pod: AssignedPod, limits: Iterable[Limit]) -> None:
        for limit in limits:
            try:
                used = await self._storage.used(naming.key(pod), limit.volume)
            except StorageFailure as error:  # the next look will tell
                log.info("volume.unmeasured", pod=pod.name, volume=limit.volume, error=str(error))
                continue
            if used > limit.bytes:
                log.info("pod.evicted", pod=pod.name, volume=limit.volume, bytes=used)
                await self._evict(pod, limit)
                return

    async def _evict(self, pod: AssignedPod, limit: Limit) -> None:
        """Remember it, and forget what concerns pods of the past."""
        exceeded = f'"{limit.volume}" exceeds the limit "{limit.size}". '  # the kubelet's own space
        verdict = Verdict("Evicted", f"Usage of EmptyDir volume {exceeded}")
        known = {found.uid for found in self._pods()}
        kept = {uid: old for uid, old in self._keeper.kept.verdicts.items() if uid in known}
        await self._keeper.save(verdicts=kept | {pod.uid: verdict})
        self._on_verdict()
