"""A whole cluster in one process: hosts with agents, orchestrators, one store, one bus."""

import asyncio
import random
from collections.abc import Callable, Sequence

from msgspec import Struct

from node_agent.host import Clock
from node_agent.loop import Agent
from node_agent.settings import Settings as AgentSettings
from orchestrator.runtime.control_plane import ControlPlane
from orchestrator.settings import Settings
from orchestrator.store.memory import FINE, Fate, MemoryStore
from proto.bus import Envelope
from proto.bus.memory import MemoryBus, _Listener
from tests.simulation.environment import EngineConnection, Host, SimNetwork, SimServer
from tests.simulation.loop import ENVIRONMENT, Process, SimLoop, Violation

EPOCH_MS = 1_700_000_000_000
"""When every run begins."""

PROBE_TIMEOUT_S = 0.25
LATENCY_S = 0.0005
"""Of the bus and of the store, when nothing is wrong."""

STOP_S = 5.0
"""A daemon that was asked to stop is killed after so long."""

RESTART_S = (0.3, 3.0)
"""After which a supervisor starts a crashed daemon again."""


class Shape(Struct, frozen=True):
    """What a seed decides before anything runs.

    Attributes:
        is_silence_loss: Agents count as lost with their host, as with --simulate-host-loss.
    """

    nodes: int
    orchestrators: int
    is_silence_loss: bool


class Weather(Struct):
    """What is wrong with the bus and the store just now; the nemesis changes it.

    Attributes:
        loss, double, delay: Chance of each for a message, for everybody or by host.
        delay_s: The longest delay.
        cuts: (sender, receiver) that do not reach each other, one way each.
        request_lost, response_lost: Chance of each for a request to the store.
        store_delay_s: The longest a request takes.
        watch_lag_s: The longest a watch lags.
        watch_break: Chance that a batch breaks its watch.
        store_cuts: Clients that do not reach the store.
    """

    loss: float = 0.0
    double: float = 0.0
    delay: float = 0.0
    delay_s: float = 0.0
    cuts: set[tuple[str, str]] = set()
    request_lost: float = 0.0
    response_lost: float = 0.0
    store_delay_s: float = 0.0
    watch_lag_s: float = 0.0
    watch_break: float = 0.0
    store_cuts: set[str] = set()


class Plane:
    """One orchestrator's place: what runs there comes and goes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.process: Process | None = None
        self.control: ControlPlane | None = None
        self.main: asyncio.Task[None] | None = None
        self.starts = 0


class Seat:
    """One agent's place on its host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.process: Process | None = None
        self.agent: Agent | None = None
        self.main: asyncio.Task[None] | None = None
        self.starts = 0


class Cluster:
    """See the module."""

    def __init__(self, loop: SimLoop, seed: int, shape: Shape) -> None:
        self.loop = loop
        self.shape = shape
        self.seed = seed
        self.rng = random.Random(f"weather {seed}")
        self.weather = Weather()
        self.clocks: dict[str, int] = {}
        """By machine: how many milliseconds its clock is ahead."""
        self.server = SimServer(self._store_fate)
        self.network = SimNetwork(self._deliveries)
        self.hosts = {
            f"n{number}": Host(
                loop,
                f"n{number}",
                f"10.0.0.{number}",
                self.clock_of(f"n{number}"),
                random.Random(f"engine {seed} {number}"),
            )
            for number in range(1, shape.nodes + 1)
        }
        self.seats = {name: Seat(host) for name, host in self.hosts.items()}
        self.planes = {name: Plane(name) for name in ("o1", "o2", "o3")[: shape.orchestrators]}

    def clock_of(self, name: str) -> Callable[[], int]:
        """A machine's wall clock, epoch milliseconds; it may be wrong, and be set."""

        def now_ms() -> int:
            return EPOCH_MS + int(self.loop.time() * 1000) + self.clocks.get(name, 0)

        return now_ms

    def start(self) -> None:
        """Power on."""
        for plane in self.planes.values():
            self.start_plane(plane)
        for seat in self.seats.values():
            self.start_agent(seat)

    # -- daemons

    def start_plane(self, plane: Plane) -> None:
        """Start an orchestrator, unless it runs."""
        if plane.process is not None:
            return
        plane.starts += 1
        plane.process = Process(self.loop, plane.name)
        plane.control = ControlPlane(
            Settings(),
            MemoryStore(self.server, plane.name),
            MemoryBus(self.network, plane.name),
            identity=plane.name,
            clock=self.clock_of(plane.name),
            chance=random.Random(f"{self.seed} {plane.name} {plane.starts}"),
        )
        plane.main = plane.process.spawn(plane.control.run())
        self._expect_no_end(plane, plane.main)

    def start_agent(self, seat: Seat) -> None:
        """Start an agent, unless it runs or its host is off."""
        if seat.process is not None or not seat.host.is_up:
            return
        host = seat.host
        seat.starts += 1
        seat.process = Process(self.loop, host.name)
        bus = MemoryBus(self.network, host.name, on_reconnect=lambda: _report_soon(seat))
        seat.agent = Agent(
            AgentSettings(
                node_name=host.name,
                internal_ip=host.ip,
                simulate_host_loss=self.shape.is_silence_loss,
                sandbox_pool=1,
            ),
            bus,
            EngineConnection(self.loop, host),
            host.storage,
            host.disk,
            SimProber(self, host),
            Clock(
                lambda: self.clock_of(host.name)() * 1_000_000,
                lambda: int(self.loop.time() * 1e9),
            ),
            random.Random(f"{self.seed} {host.name} {seat.starts}"),
        )
        seat.main = seat.process.spawn(seat.agent.run())
        self._expect_no_end(seat, seat.main)

    def _expect_no_end(self, place: Plane | Seat, main: "asyncio.Task[None]") -> None:
        def ended(task: "asyncio.Task[None]") -> None:
            if place.main is task:
                why = "cancelled" if task.cancelled() else _said(task.exception())
                self.loop.fail(Violation(f"a daemon ended by itself: {why}"))

        main.add_done_callback(ended, context=ENVIRONMENT.copy())

    def kill(self, place: Plane | Seat) -> None:
        """SIGKILL a daemon; its connections break."""
        if place.process is None:
            return
        name = place.name if isinstance(place, Plane) else place.host.name
        place.process.kill()
        place.process = place.main = None
        self.network.forget(name)
        self.server.break_watches(name)
        if isinstance(place, Plane):
            place.control = None
        else:
            place.agent = None

    async def stop(self, place: Plane | Seat) -> None:
        """SIGTERM a daemon, and SIGKILL it when it takes too long."""
        process, main = place.process, place.main
        if process is None or main is None or process.is_paused:
            return
        place.main = None  # its end is expected now
        try:
            if isinstance(place, Seat) and place.agent is not None:
                process.spawn(place.agent.say_goodbye())
                await asyncio.sleep(0)
            main.cancel()
            async with asyncio.timeout(STOP_S):
                await asyncio.wait([main])
        except TimeoutError:
            pass
        finally:
            if place.process is process:
                self.kill(place)

    def bury(self) -> None:
        """Kill all there is, once the run is over."""
        for place in (*self.planes.values(), *self.seats.values()):
            self.kill(place)
        for host in self.hosts.values():
            host.daemon.kill()

    def restart(self, place: Plane | Seat) -> None:
        """Start a daemon, of whichever kind."""
        if isinstance(place, Plane):
            self.start_plane(place)
        else:
            self.start_agent(place)

    def network_client(self, name: str, pattern: str, put: Callable[[Envelope], object]) -> None:
        """Somebody outside the cluster, who listens for as long as it exists."""
        self.network.listen(_Listener(name, pattern, put))

    def leader(self) -> Plane | None:
        """An orchestrator that leads, as far as it knows, and can be asked."""
        for plane in self.planes.values():
            if plane.process is None or plane.process.is_paused or plane.control is None:
                continue
            if plane.control.is_leading:
                return plane
        return None

    # -- weather

    def _deliveries(self, sender: str, receiver: str, _subject: str) -> Sequence[float]:
        weather, rng = self.weather, self.rng
        if (sender, receiver) in weather.cuts or self._is_off(sender) or self._is_off(receiver):
            return ()
        if weather.loss and rng.random() < weather.loss:
            return ()
        copies = 2 if weather.double and rng.random() < weather.double else 1
        if not (weather.delay or copies > 1):
            return (LATENCY_S,)
        return [
            rng.uniform(0, weather.delay_s) if rng.random() < weather.delay else LATENCY_S
            for _ in range(copies)
        ]

    def _is_off(self, client: str) -> bool:
        host = self.hosts.get(client)
        return host is not None and (host.is_cut_off or not host.is_up)

    def _store_fate(self, client: str, verb: str) -> Fate:
        weather, rng = self.weather, self.rng
        if verb == "batch":
            if client in weather.store_cuts:
                return Fate(is_request_lost=True)
            is_broken = bool(weather.watch_break) and rng.random() < weather.watch_break
            lag_s = rng.uniform(0, weather.watch_lag_s) if weather.watch_lag_s else LATENCY_S
            return Fate(request_delay_s=lag_s, is_request_lost=is_broken)
        if client in weather.store_cuts:
            return Fate(request_delay_s=rng.uniform(0.1, 1.0), is_request_lost=True)
        if weather.request_lost and rng.random() < weather.request_lost:
            return Fate(request_delay_s=rng.uniform(0, 0.5), is_request_lost=True)
        delay_s = LATENCY_S + (
            rng.uniform(0, weather.store_delay_s) if weather.store_delay_s else 0
        )
        if weather.response_lost and rng.random() < weather.response_lost:
            # Applied before it is given up on, or after, or never.
            arrives_s = rng.choice((delay_s, rng.uniform(0, 2.0)))
            return Fate(
                arrives_s,
                rng.uniform(0, 0.5),
                is_request_lost=rng.random() < 0.3,
                is_response_lost=True,
            )
        return Fate(delay_s, LATENCY_S) if delay_s > LATENCY_S else FINE


class SimProber:
    """Knocks at other hosts; see `Prober`."""

    def __init__(self, cluster: Cluster, host: Host) -> None:
        self._cluster = cluster
        self._host = host

    async def is_reachable(self, address: str) -> bool:
        ip = address.partition(":")[0]
        target = next((host for host in self._cluster.hosts.values() if host.ip == ip), None)
        is_up = target is not None and target.is_up and not target.is_cut_off
        is_reachable = is_up and not self._host.is_cut_off
        await asyncio.sleep(LATENCY_S if is_reachable else PROBE_TIMEOUT_S)
        return is_reachable


def _report_soon(seat: Seat) -> None:
    if seat.agent is not None:
        seat.agent.report_soon()


def _said(error: BaseException | None) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_said(inner) for inner in error.exceptions)
    return repr(error)
