"""What goes wrong. Each fault lasts for a while and heals itself; a seed gets a few kinds of them."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

from node_agent.core.observed import State
from tests.simulation.cluster import RESTART_S, Cluster, Plane, Seat, Weather

CRASHES_MAX = 2
"""Of one pod's containers: more would be waited for by their back-off longer than a run lasts."""


STRIKE = 4
"""Faults at once around a run's last change: nothing that follows will repair what it breaks."""


class Nemesis:
    """See the module.

    Args:
        cluster: What to harm.
        rng: Draws what, when and how long.
        kinds: Names of the faults to use.
    """

    def __init__(self, cluster: Cluster, rng: random.Random, kinds: tuple[str, ...]) -> None:
        self._cluster = cluster
        self._rng = rng
        self._kinds = kinds
        self._crashes: dict[str, int] = {}
        self._tasks: asyncio.TaskGroup
        self.done: list[str] = []

    async def rage(self) -> None:
        """Fault after fault, several at a time, until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            while True:
                await asyncio.sleep(self._rng.uniform(0.1, 3.0))
                self._begin(self._rng.choice(self._kinds))

    def strike(self) -> None:
        """Some of them right now."""
        for kind in self._rng.sample(self._kinds, min(len(self._kinds), STRIKE)):
            self._begin(kind)

    def _begin(self, kind: str) -> None:
        self.done.append(f"{self._cluster.loop.time():.3f} {kind}")
        self._tasks.create_task(FAULTS[kind](self))

    def heal(self) -> None:
        """Everything works again."""
        cluster = self._cluster
        cluster.weather = Weather()
        cluster.server.is_up = True
        for name in (*cluster.planes, *cluster.hosts, "client"):
            cluster.network.heal(name)
        for host in cluster.hosts.values():
            host.cut_off(False)
            if not host.is_up:
                host.power_on()
            host.engine.resume()
            host.engine.fails = lambda _verb, _name: ""
            host.engine.is_registry_reachable = True
            host.engine.ignores_signals = lambda _: False
        for place in (*cluster.planes.values(), *cluster.seats.values()):
            if place.process is not None and place.process.is_paused:
                place.process.resume()
            cluster.restart(place)

    # -- helpers of faults

    async def _for(self, shortest_s: float, longest_s: float) -> None:
        await asyncio.sleep(self._rng.uniform(shortest_s, longest_s))

    def _seat(self) -> Seat:
        return self._rng.choice(list(self._cluster.seats.values()))

    def _plane(self) -> Plane:
        """Mostly the one that leads."""
        leader = self._cluster.leader()
        if leader is not None and self._rng.random() < 0.7:
            return leader
        return self._rng.choice(list(self._cluster.planes.values()))

    async def _kill(self, place: Plane | Seat) -> None:
        self._cluster.kill(place)
        await self._for(*RESTART_S)
        self._cluster.restart(place)

    async def _stop(self, place: Plane | Seat) -> None:
        await self._cluster.stop(place)
        await self._for(*RESTART_S)
        self._cluster.restart(place)

    async def _pause(self, place: Plane | Seat) -> None:
        process = place.process
        if process is None or process.is_paused:
            return
        process.pause()
        await self._for(0.2, 6.0)
        if process.is_alive and process.is_paused:
            process.resume()

    # -- the bus

    async def _bus_loses(self) -> None:
        self._cluster.weather.loss = self._rng.choice((0.02, 0.2, 0.6))
        await self._for(1, 8)
        self._cluster.weather.loss = 0.0

    async def _bus_doubles(self) -> None:
        weather = self._cluster.weather
        weather.double, weather.delay_s = self._rng.choice((0.1, 0.5)), 5.0
        await self._for(1, 10)
        weather.double = 0.0

    async def _bus_delays(self) -> None:
        weather = self._cluster.weather
        weather.delay = self._rng.choice((0.05, 0.5, 1.0))
        weather.delay_s = self._rng.choice((0.05, 0.5, 5.0))
        await self._for(1, 8)
        weather.delay = 0.0

    async def _partition(self) -> None:
        """Between some hosts and everybody's orchestrators; maybe one way only."""
        cluster, rng = self._cluster, self._rng
        hosts = rng.sample(list(cluster.hosts), rng.randint(1, len(cluster.hosts)))
        planes = rng.sample(list(cluster.planes), rng.randint(1, len(cluster.planes)))
        ways = rng.choice(("up", "down", "both"))
        cuts = {(host, plane) for host in hosts for plane in planes} if ways != "down" else set()
        if ways != "up":
            cuts |= {(plane, host) for host in hosts for plane in planes}
        cluster.weather.cuts |= cuts
        await self._for(0.5, 8)
        cluster.weather.cuts -= cuts

    async def _disconnect(self) -> None:
        """A client's connection breaks, and it knows."""
        name = self._rng.choice((*self._cluster.hosts, *self._cluster.planes))
        self._cluster.network.cut(name)
        await self._for(0.2, 5)
        self._cluster.network.heal(name)

    async def _lose_streams(self) -> None:
        self._cluster.network.wipe()

    # -- daemons and hosts

    async def _kill_agent(self) -> None:
        await self._kill(self._seat())

    async def _stop_agent(self) -> None:
        await self._stop(self._seat())

    async def _pause_agent(self) -> None:
        await self._pause(self._seat())

    async def _kill_orchestrator(self) -> None:
        await self._kill(self._plane())

    async def _stop_orchestrator(self) -> None:
        await self._stop(self._plane())

    async def _pause_orchestrator(self) -> None:
        await self._pause(self._plane())

    async def _lose_host(self) -> None:
        seat = self._seat()
        seat.host.power_off()
        self._cluster.kill(seat)
        await self._for(1, 15)
        if not seat.host.is_up:
            seat.host.power_on()
        await self._for(*RESTART_S)
        self._cluster.start_agent(seat)

    async def _cut_host_off(self) -> None:
        host = self._seat().host
        host.cut_off(True)
        await self._for(0.5, 12)
        host.cut_off(False)

    async def _set_a_clock(self) -> None:
        """Forward or back, and it stays wrong."""
        name = self._rng.choice((*self._cluster.hosts, *self._cluster.planes))
        self._cluster.clocks[name] = self._rng.randint(-20_000, 20_000)

    # -- engines

    async def _crash_container(self) -> None:
        engine = self._seat().host.engine
        running = [c for c in engine.containers if c.state is State.RUNNING]
        if not running:
            return
        victim = self._rng.choice(running)
        crashes = self._crashes[victim.pod.uid] = self._crashes.get(victim.pod.uid, 0) + 1
        if crashes <= CRASHES_MAX:
            engine.end(victim.id, exit_code=self._rng.choice((0, 1, 137)))

    async def _remove_container(self) -> None:
        """Somebody cleans up by hand, maybe what he should not."""
        engine = self._seat().host.engine
        found = [*engine.containers, *engine.sandboxes]
        if found:
            engine.vanish(self._rng.choice(found).id)

    async def _fail_engine(self) -> None:
        engine, rng = self._seat().host.engine, self._rng
        chance = rng.choice((0.1, 0.5))
        verbs = ("create", "start", "remove", "signal", "rename", "look")
        engine.fails = lambda verb, _name: (
            "engine failure" if verb in verbs and rng.random() < chance else ""
        )
        await self._for(0.5, 4)
        engine.fails = lambda _verb, _name: ""

    async def _hang_engine(self) -> None:
        engine = self._seat().host.engine
        engine.hang()
        await self._for(0.5, 14)
        engine.resume()

    async def _stop_engine(self) -> None:
        engine = self._seat().host.engine
        engine.stop()
        await self._for(0.5, 6)
        engine.resume()

    async def _break_event_stream(self) -> None:
        self._seat().host.engine.break_streams()

    async def _deaf_containers(self) -> None:
        engine, rng = self._seat().host.engine, self._rng
        engine.ignores_signals = lambda _: rng.random() < 0.5
        await self._for(1, 8)
        engine.ignores_signals = lambda _: False

    async def _registry_away(self) -> None:
        engine = self._seat().host.engine
        engine.is_registry_reachable = False
        await self._for(0.5, 5)
        engine.is_registry_reachable = True

    # -- the store

    async def _lose_requests(self) -> None:
        self._cluster.weather.request_lost = self._rng.choice((0.05, 0.3))
        await self._for(1, 8)
        self._cluster.weather.request_lost = 0.0

    async def _lose_responses(self) -> None:
        self._cluster.weather.response_lost = self._rng.choice((0.05, 0.3))
        await self._for(1, 8)
        self._cluster.weather.response_lost = 0.0

    async def _slow_store(self) -> None:
        self._cluster.weather.store_delay_s = self._rng.choice((0.02, 0.3, 1.5))
        await self._for(1, 6)
        self._cluster.weather.store_delay_s = 0.0

    async def _store_away(self) -> None:
        server = self._cluster.server
        server.is_up = False
        server.break_watches()
        await self._for(0.2, 6)
        server.is_up = True

    async def _cut_from_store(self) -> None:
        name = self._plane().name
        self._cluster.weather.store_cuts |= {name}
        self._cluster.server.break_watches(name)
        await self._for(0.2, 6)
        self._cluster.weather.store_cuts -= {name}

    async def _break_watches(self) -> None:
        self._cluster.weather.watch_break = 0.2
        self._cluster.server.break_watches()
        await self._for(0.5, 5)
        self._cluster.weather.watch_break = 0.0

    async def _lag_watches(self) -> None:
        self._cluster.weather.watch_lag_s = self._rng.choice((0.2, 2.0))
        await self._for(1, 8)
        self._cluster.weather.watch_lag_s = 0.0

    async def _compact(self) -> None:
        server = self._cluster.server
        server.compact(server.revision)
        if self._rng.random() < 0.5:
            server.break_watches()


FAULTS: dict[str, Callable[[Nemesis], Coroutine[Any, Any, None]]] = {
    name.removeprefix("_").replace("_", " "): fault
    for name, fault in vars(Nemesis).items()
    if asyncio.iscoroutinefunction(fault)
    and name not in ("rage", "_for", "_kill", "_stop", "_pause")
}
"""By name; in the order in which they are written down."""

QUIET = frozenset(
    (
        "crash container",
        "remove container",
        "deaf containers",
        "registry away",
        "break event stream",
    )
)
"""Faults that leave everybody's word getting through in time."""
