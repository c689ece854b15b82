"""Looks at how much is in the empty folders that have a limit, and puts an end to who has more.

A disk has no limit of its own for a folder, so a pod may have more for a while, as in Kubernetes.
"""

import asyncio
from collections.abc import Callable, Iterable

import structlog

from node_agent.core import events, naming, volumes
from node_agent.core.observed import Ended
from node_agent.core.volumes import Limit
from node_agent.settings import Settings
from node_agent.storage import Storage, StorageFailure
from node_agent.volumes import Tell
from node_agent.watchman import Pods
from proto.messages import AssignedPod

log = structlog.get_logger()


class Rooms:
    """See the module."""

    def __init__(
        self,
        storage: Storage,
        pods: Pods,
        tell: Tell,
        settings: Settings,
        *,
        clock: Callable[[], int],
    ) -> None:
        """Idle until `run`.

        Args:
            storage: Has the folders.
            pods: Those to look at, and to end: what is looked at is gone then.
            tell: Where events go.
            settings: How often to look, and how hard to be.
            clock: Epoch milliseconds.
        """
        self._storage = storage
        self._pods = pods
        self._tell = tell
        self._settings = settings
        self._clock = clock

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(self._settings.room_period_s)
            for pod in tuple(self._pods.assigned().values()):
                limits = volumes.limits(pod)
                if limits and pod.uid not in self._pods.ended():
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
        exceeded = f'"{limit.volume}" exceeds the limit "{limit.size}". '  # the kubelet's own space
        text = f"Usage of EmptyDir volume {exceeded}"
        self._tell(naming.key(pod), "", events.evicted(text))
        end = Ended("Evicted", text, self._settings.eviction_grace_s, self._clock())
        await self._pods.end(pod.uid, end)
