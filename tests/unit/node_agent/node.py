"""One agent with a control plane's end of the bus, for tests on any engine and any clock."""

import asyncio
import itertools
import random
import uuid
from collections.abc import Callable

from node_agent.core.observed import Container, Sandbox
from node_agent.engine import Engine
from node_agent.host import Clock, Machine, MemoryDisk
from node_agent.loop import Agent
from node_agent.settings import Settings
from node_agent.storage import Storage
from node_agent.storage.memory import MemoryStorage
from orchestrator.runtime.streams import Streams
from proto import codec, subjects
from proto.bus.memory import MemoryBus, Network
from proto.errors import BadRequest, LongshoreError, NotFound
from proto.frames import Channel
from proto.messages import (
    AssignedPod,
    Assignment,
    Heartbeat,
    LogRequest,
    NodeEvent,
    NodeReport,
    PodReport,
    StreamFailed,
    VolumeRemoval,
)


class FakeProber:
    """Knows which addresses answer."""

    def __init__(self, *alive: str) -> None:
        self.alive = set(alive)

    async def is_reachable(self, address: str) -> bool:
        return address in self.alive


class Node:
    """The world around one agent; the agent itself may come and go."""

    def __init__(
        self,
        engine: Engine,
        clock: Callable[[], int],
        tasks: asyncio.TaskGroup,
        *,
        name: str = "node-1",
        machine: Machine | None = None,
        storage: Storage | None = None,
        **settings: object,
    ) -> None:
        self.network = Network()
        self.control = MemoryBus(self.network, "control")
        self.streams = Streams(self.control, lambda: uuid.uuid4().hex)
        self.storage = storage or MemoryStorage()
        self.disk = MemoryDisk()
        self.prober = FakeProber("10.0.0.2:9")
        self.engine = engine
        self.machine = machine
        self.settings = Settings(node_name=name, internal_ip="10.0.0.1", **settings)
        self.reports: list[NodeReport] = []
        self.events: list[NodeEvent] = []
        self.beats: list[Heartbeat] = []
        self._clock = clock
        self._tasks = tasks
        self._generations = itertools.count(1)
        self._starts = itertools.count()
        self._changed = asyncio.Event()
        self.agent: Agent
        self._listeners: list[asyncio.Task[None]] = []
        self._work: asyncio.Task[None] | None = None

    async def listen(self) -> None:
        """Hear everything that the agent says."""
        name = self.settings.node_name
        for subject, type_, heard in (
            (subjects.report(name), NodeReport, self.reports),
            (subjects.node_event(name), NodeEvent, self.events),
            (subjects.heartbeat(name), Heartbeat, self.beats),
        ):
            subscription = await self.control.subscribe(subject)

            async def hear(subscription=subscription, type_=type_, heard=heard) -> None:
                while True:
                    heard.append(codec.decode((await subscription.get()).payload, type_))
                    self._changed.set()

            self._listeners.append(self._tasks.create_task(hear()))

    async def start(self) -> None:
        """A new agent, as after a crash or an upgrade: only disk and engine remember."""
        bus = MemoryBus(self.network, f"agent-{next(self._starts)}")
        self.agent = Agent(
            self.settings,
            bus,
            self.engine,
            self.storage,
            self.disk,
            self.prober,
            Clock(lambda: self._clock() * 1_000_000, self._passed_ns),
            random.Random(1),
            self.machine,
        )
        heard = len(self.beats)
        self._work = self._tasks.create_task(self.agent.run())
        for _ in range(100):  # until it has subscribed; for a second, where the bus is away
            await asyncio.sleep(0.01)
            if len(self.beats) > heard or not self._listeners:
                break

    def _passed_ns(self) -> int:
        return int(asyncio.get_running_loop().time() * 1e9)

    async def kill(self) -> None:
        """The agent ends without a word; what runs goes on."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.wait((self._work,))
            self._work = None

    async def stop(self) -> None:
        """End of the test."""
        await self.kill()
        for task in self._listeners:
            task.cancel()

    async def assign(
        self,
        *pods: AssignedPod,
        epoch: int = 1,
        generation: int = 0,
        removals: tuple[VolumeRemoval, ...] = (),
    ) -> Assignment:
        """Tell the agent to run exactly these, and to remove these volumes."""
        assignment = Assignment(
            node=self.settings.node_name,
            epoch=epoch,
            generation=generation or next(self._generations),
            pods=pods,
            removals=removals,
        )
        await self.control.publish(
            subjects.assignment(self.settings.node_name), codec.encode(assignment)
        )
        return assignment

    async def until(
        self, holds: Callable[[NodeReport], object], within_s: float = 30
    ) -> NodeReport:
        """The first report, the present one included, of which this holds."""
        try:
            async with asyncio.timeout(within_s):
                while not (self.reports and holds(self.reports[-1])):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            seen = self.reports[-1] if self.reports else "no report"
            raise AssertionError(f"not within {within_s} s; last: {seen}") from None
        return self.reports[-1]

    async def running(self, *names: str, within_s: float = 30) -> tuple[PodReport, ...]:
        """The reports of these pods once all of their containers run."""
        report = await self.until(
            lambda report: all(is_running(pod(report, name)) for name in names), within_s
        )
        return tuple(found for name in names if (found := pod(report, name)))

    def reasons(self) -> list[str]:
        """Of the events heard so far."""
        return [event.reason for event in self.events]

    async def existing(self) -> tuple[list[Container], list[Sandbox]]:
        """What the engine has of pods, the pool left out."""
        found = [await self.engine.inspect(item.id) for item in await self.engine.list()]
        return (
            [f for f in found if isinstance(f, Container)],
            [f for f in found if isinstance(f, Sandbox) and f.pod is not None],
        )

    async def logs(self, request: LogRequest, *, pause_s: float = 0) -> bytes | StreamFailed:
        """A whole log, by a reader that pauses after each piece."""
        try:
            async with (
                asyncio.timeout(60),
                self.streams.open(self.settings.node_name, request) as stream,
            ):
                received = b""
                while (frame := await stream.receive()) is not None:
                    if frame.channel is Channel.STDOUT:
                        received += frame.data
                    await asyncio.sleep(pause_s)
                return received
        except LongshoreError as error:
            codes = {NotFound: 404, BadRequest: 400}
            return StreamFailed(code=codes.get(type(error), 500), reason=str(error))


def pod(report: NodeReport, name: str) -> PodReport | None:
    return next((found for found in report.pods if found.name == name), None)


def is_running(found: PodReport | None) -> bool:
    return found is not None and all(s.state.running for s in found.status.container_statuses)


def state_reason(found: PodReport | None) -> str:
    """Why the pod's first container waits or ended; empty while it runs."""
    if found is None:
        return "unknown"
    state = found.status.container_statuses[0].state
    return (state.waiting or state.terminated).reason if not state.running else ""
