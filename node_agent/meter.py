"""Looks at what the node and its containers use, and tells the control plane.

It has nothing to do with running them, and must not disturb it: a few looks at a time, spread over
the period, with an end to each. What could not be looked at has no figure until it could twice.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping

from node_agent.core import usage
from node_agent.core.observed import Container
from node_agent.core.usage import NODE, Sample, Track
from node_agent.engine import Engine
from node_agent.host import Machine
from node_agent.observer import Observer
from node_agent.settings import Settings
from proto import codec, subjects
from proto.bus import Bus
from proto.errors import LongshoreError, Unavailable
from proto.messages import NodeUsage, Usage

LOOKS_MAX = 8
"""At once. One takes 0.1 ms where the kernel's files can be seen; Docker before 25 takes its time
until the next full second, so eight make 120 containers in a period of 15 s.
"""

LOOK_DEADLINE_S = 5.0
"""Docker answers within two seconds; a container that hangs should not hold up the others."""

PACE_S = 0.5
"""Between two rounds: what starts together is looked at, and told of, together; and waking up costs
an idle agent more than the looks do (measured).
"""


class Meter:
    """See the module.

    Args:
        engine: Of the containers.
        machine: The engine's host; None when that is another one than ours.
        observer: Knows what runs.
        bus: To the control plane.
        settings: The node's name, and how often to look.
    """

    def __init__(
        self,
        engine: Engine,
        machine: Machine | None,
        observer: Observer,
        bus: Bus,
        settings: Settings,
    ) -> None:
        self._engine = engine
        self._machine = machine
        self._observer = observer
        self._bus = bus
        self._node = settings.node_name
        self._period_ms = round(settings.usage_period_s * 1000)
        self._bell = asyncio.Event()
        self._tracks: dict[str, Track] = {}
        self._version = 0

    def pods(self) -> Mapping[str, Mapping[str, Usage]]:
        """By pod uid and container: what is known of those that run."""
        return usage.by_pod(usage.running(self._observer.containers.values()), self._tracks)

    def ring(self) -> None:
        """Something may have started or ended."""
        self._bell.set()

    async def run(self, incarnation: int) -> None:
        """Look and tell until cancelled.

        Args:
            incarnation: Of the agent; see `messages`.
        """
        while self._period_ms:
            self._bell.clear()
            running = usage.running(self._observer.containers.values())
            ids = [NODE, *(container.id for container in running)]
            self._tracks = usage.follow(self._tracks, ids, _now_ms())
            if await self._look(usage.due(self._tracks, _now_ms())):
                await self._tell(incarnation, running)
            await asyncio.sleep(PACE_S)
            await self._sleep()

    async def _look(self, ids: Iterable[str]) -> bool:
        """Whether to tell of it: once in a period, and of what had no figure before."""
        gate = asyncio.Semaphore(LOOKS_MAX)
        news = False

        async def look(id: str) -> None:
            nonlocal news
            async with gate:
                sample = await self._sample(id)
            before = self._tracks[id]
            after = usage.advance(id, before, sample, _now_ms(), self._period_ms)
            self._tracks[id] = after
            news = news or id == NODE or (before.usage is None and after.usage is not None)

        async with asyncio.TaskGroup() as tasks:
            for id in ids:
                tasks.create_task(look(id))
        return news

    async def _sample(self, id: str) -> Sample | None:
        try:
            async with asyncio.timeout(LOOK_DEADLINE_S):
                if id != NODE:
                    return await self._engine.usage(id)
                return await self._machine.usage() if self._machine else None
        except (LongshoreError, TimeoutError):  # it ended, or its engine does: others say so
            return None

    async def _tell(self, incarnation: int, running: Iterable[Container]) -> None:
        self._version += 1
        message = NodeUsage(
            node=self._node,
            incarnation=incarnation,
            version=self._version,
            period_ms=self._period_ms,
            total=usage.total(self._tracks),
            pods=usage.by_pod(running, self._tracks),
        )
        with contextlib.suppress(Unavailable):  # the next one says it all again
            await self._bus.publish(subjects.usage(self._node), codec.encode(message))

    async def _sleep(self) -> None:
        """Until something is due, or may have started."""
        next_ms = min(track.due_ms for track in self._tracks.values())
        try:
            async with asyncio.timeout_at(next_ms / 1000):
                await self._bell.wait()
        except TimeoutError:
            pass


def _now_ms() -> int:
    return round(asyncio.get_running_loop().time() * 1000)  # int() would fall a tick short
