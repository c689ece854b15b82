"""Watches what the node is short of, says so, and evicts pods while that lasts.

What that means is decided in `core.pressure`. Where the engine's host is another one than ours
nothing is known of it, and nobody is evicted.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog
from msgspec import Struct

from node_agent.core import events, images, pressure, usage
from node_agent.core.naming import PodKey, key
from node_agent.core.observed import Ended
from node_agent.core.pressure import DISK, MEMORY, Candidate, Met, Pressure
from node_agent.engine import Engine
from node_agent.host import Machine
from node_agent.housekeeping import Housekeeper
from node_agent.meter import Meter
from node_agent.observer import Observer
from node_agent.settings import Settings
from node_agent.telling import Teller
from proto.errors import BadRequest, LongshoreError, NotFound
from proto.messages import AssignedPod
from proto.meta import Condition

log = structlog.get_logger()


class Pods(Struct, frozen=True):
    """What the agent knows of its pods, and how it ends one.

    Attributes:
        assigned: By uid.
        ended: Those that are over, by uid.
        end: Ends one for good: known on disk when it returns.
    """

    assigned: Callable[[], Mapping[str, AssignedPod]]
    ended: Callable[[], Mapping[str, Ended]]
    end: Callable[[str, Ended], Awaitable[None]]


class Watchman:
    """See the module."""

    def __init__(
        self,
        engine: Engine,
        machine: Machine | None,
        observer: Observer,
        meter: Meter,
        teller: Teller,
        pods: Pods,
        settings: Settings,
        volumes: str,
        *,
        clock: Callable[[], int],
        on_change: Callable[[], None],
    ) -> None:
        """Idle before `run`.

        Args:
            engine: Knows what containers have written.
            machine: The engine's host; None when that is another one than ours.
            observer: Knows what runs.
            meter: Knows what it uses.
            teller: Where events go.
            pods: See there.
            settings: What is too little, how often to look, and how hard to be.
            volumes: The folder where pods have their volumes, by uid.
            clock: Epoch milliseconds.
            on_change: Called when `conditions` are others.
        """
        self._engine = engine
        self._machine = machine
        self._observer = observer
        self._meter = meter
        self._teller = teller
        self._pods = pods
        self._settings = settings
        self._volumes = volumes
        self._clock = clock
        self._on_change = on_change
        self._thresholds = {**pressure.THRESHOLDS, **settings.eviction_thresholds}
        self._housekeeper = Housekeeper(
            engine,
            machine,
            observer,
            teller.tell_node,
            settings,
            clock=clock,
            wanted=lambda: images.of_pods(pods.assigned().values()),
        )
        self._pressures: dict[str, Pressure] = {}
        self.conditions: tuple[Condition, ...] = ()
        """Of the node; none before the first look."""

    async def run(self) -> None:
        """Watch, and look after images, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._housekeeper.run())
            tasks.create_task(self._watch())

    async def _watch(self) -> None:
        while self._machine is not None:
            if self._observer.has_looked:
                try:
                    await self.look()
                except LongshoreError as error:
                    log.warning("pressure.unrelieved", error=str(error))
            period_s = self._settings.eviction_period_s
            await asyncio.sleep(period_s if self._observer.has_looked else min(period_s, 1.0))

    async def look(self) -> None:
        """Once.

        Raises:
            LongshoreError: The engine does not answer.
        """
        found = await self._met()
        self._note(found)
        if not found:
            return
        resource = found[0].resource
        self._teller.tell_node(events.reclaiming(resource))
        if resource == DISK and await self._housekeeper.free():
            found = [cause for cause in await self._met() if cause.resource == DISK]
        if found and not self._is_somebody_leaving():
            await self._evict(found[0])

    async def _met(self) -> list[Met]:
        if self._machine is None:
            return []
        info = self._observer.info
        root_dir = info.root_dir if info else ""
        levels = await self._machine.levels(self._settings.state_dir, root_dir)
        return pressure.met(levels, self._thresholds)

    def _note(self, found: list[Met]) -> None:
        before = self._pressures
        transition_ms = round(self._settings.eviction_transition_s * 1000)
        self._pressures = pressure.judged(before, found, transition_ms, self._clock())
        conditions = pressure.conditions(self._pressures)
        for condition in conditions:
            was = before.get(condition.type)
            if (was is not None and was.holds) != self._pressures[condition.type].holds:
                log.warning("node.condition", type=condition.type, status=condition.status)
                node = self._settings.node_name
                self._teller.tell_node(events.node_status(node, condition.reason))
        if conditions != self.conditions:
            self.conditions = conditions
            self._on_change()

    def _is_somebody_leaving(self) -> bool:
        """Whether what was evicted before may yet give back what it had."""
        owners = {c.pod for c in self._observer.containers.values()}
        owners |= {s.pod for s in self._observer.sandboxes.values() if s.pod is not None}
        return any(pod.uid in self._pods.ended() for pod in owners)

    async def _evict(self, cause: Met) -> None:
        used = await self._used(cause.resource)
        running = {c.pod.uid for c in usage.running(self._observer.containers.values())}
        assigned, ended = self._pods.assigned(), self._pods.ended()
        candidates = [
            Candidate(
                uid,
                pod.spec.all_containers,
                pod.spec.priority or 0,
                used.get(uid, {}),
            )
            for uid, pod in assigned.items()
            if uid in running and uid not in ended and pod.delete_grace_s is None
        ]
        victim = pressure.victim(candidates, cause.resource)
        if victim is None:
            log.warning("pressure.nobody", resource=cause.resource)
            return
        pod: PodKey = key(assigned[victim.uid])
        end = pressure.evicted(victim, cause, self._settings.eviction_grace_s, self._clock())
        log.warning("pod.evicted", pod=pod.name, namespace=pod.namespace, message=end.message)
        self._teller.tell(pod, "", events.evicted(end.message))
        await self._pods.end(victim.uid, end)

    async def _used(self, resource: str) -> dict[str, dict[str, int]]:
        """By pod uid and container; what volumes on the disk take is under no container's name."""
        found: dict[str, dict[str, int]] = {}
        if resource == MEMORY:
            known = self._meter.pods()
            for running in usage.running(self._observer.containers.values()):
                seen = known.get(running.pod.uid, {}).get(running.container)
                size = await self._memory(running.id) if seen is None else seen.memory_bytes
                found.setdefault(running.pod.uid, {})[running.container] = size
        elif resource == DISK and self._machine is not None:
            written = await self._engine.written()
            for container in self._observer.containers.values():
                mine = found.setdefault(container.pod.uid, {})
                size = written.get(container.id, 0)
                mine[container.container] = mine.get(container.container, 0) + size
            for uid, mine in found.items():
                mine[""] = await self._machine.bytes_in(f"{self._volumes}/{uid}")
        return found

    async def _memory(self, id: str) -> int:
        """Of a container that nobody has looked at yet; 0 when it has ended meanwhile."""
        try:
            return (await self._engine.usage(id)).memory_bytes
        except (NotFound, BadRequest):
            return 0
