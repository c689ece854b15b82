"""A whole cluster on real servers: a control plane and three agents, whose engines are fakes."""

import asyncio
import contextlib
import random
import shutil
import time
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from node_agent.engine.fake import FakeEngine
from node_agent.host import Clock, MemoryDisk
from node_agent.loop import Agent
from node_agent.settings import Settings as AgentSettings
from node_agent.storage.memory import MemoryStorage
from orchestrator.runtime.control_plane import ControlPlane
from orchestrator.settings import Settings
from orchestrator.store.etcd import EtcdStore
from proto.bus.nats import NatsBus
from proto.kinds.deployment import DEPLOYMENTS, Deployment
from proto.kinds.node import NODES
from proto.kinds.pod import PODS, Pod
from proto.meta import is_true
from tests import servers

T = TypeVar("T")

PATIENCE_S = 30.0
NODE_NAMES = ("n1", "n2", "n3")
IMAGES = ("web:1", "web:2")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Alive:
    """Hosts that always answer: here only agents and servers die."""

    async def is_reachable(self, address: str) -> bool:
        return True


class Cluster:
    """Its parts, and how to end and start them."""

    def __init__(
        self, tasks: asyncio.TaskGroup, etcd: servers.Server, nats: servers.Server
    ) -> None:
        self.etcd = etcd
        self.nats = nats
        self.engines = {
            name: FakeEngine(name, now_ms, random.Random(name), images=IMAGES)
            for name in NODE_NAMES
        }
        self.storages = {name: MemoryStorage() for name in NODE_NAMES}
        self.started: list[str] = []
        for engine in self.engines.values():
            engine.on_start = lambda container: self.started.append(container.id)
        self._tasks = tasks
        self._agents: dict[str, asyncio.Task[None]] = {}
        self._planes: list[asyncio.Task[None]] = []
        self.plane: ControlPlane

    # -- starting and ending

    async def start_plane(self, identity: str = "one") -> ControlPlane:
        """One more orchestrator; the last one started is `plane`."""
        opened = asyncio.get_running_loop().create_future()
        self._planes.append(self._tasks.create_task(self._run_plane(identity, opened)))
        self.plane = await opened
        return self.plane

    async def _run_plane(self, identity: str, opened: "asyncio.Future[ControlPlane]") -> None:
        store = await EtcdStore.connect([self.etcd.url])
        bus = await NatsBus.connect(self.nats.url, name=identity)
        plane = ControlPlane(
            Settings(), store, bus, identity=identity, clock=now_ms, chance=random.SystemRandom()
        )
        opened.set_result(plane)
        try:
            await plane.run()
        finally:
            await bus.close()
            await store.close()

    async def stop_plane(self) -> None:
        """The last one started."""
        await _cancelled(self._planes.pop())

    def start_agent(self, name: str) -> None:
        self._agents[name] = self._tasks.create_task(self._run_agent(name))

    async def _run_agent(self, name: str) -> None:
        bus = await NatsBus.connect(self.nats.url, name=name)
        settings = AgentSettings(node_name=name, internal_ip="127.0.0.1", sandbox_pool=0)
        agent = Agent(
            settings,
            bus,
            self.engines[name],
            self.storages[name],
            MemoryDisk(),
            Alive(),
            Clock(),
            random.Random(name),
        )
        try:
            await agent.run()
        finally:
            await bus.close()

    async def stop_agent(self, name: str) -> None:
        await _cancelled(self._agents.pop(name))

    async def stop(self) -> None:
        for task in (*self._agents.values(), *self._planes):
            await _cancelled(task)

    def lose_streams(self) -> None:
        """Everything that the NATS server kept; it must not be running."""
        shutil.rmtree(self.nats.directory / "jetstream")

    # -- looking

    @property
    def pods(self) -> list[Pod]:
        return self.plane.world.objects(PODS)

    @property
    def deployment(self) -> Deployment:
        found = self.plane.world.get(DEPLOYMENTS, "default", "web")
        assert found is not None
        return found

    def running(self, image: str = "web:1") -> list[str]:
        """Ids of the containers of that image that run on any node."""
        return sorted(
            container.id
            for engine in self.engines.values()
            for container in engine.containers
            if container.state == "running" and container.image == image
        )

    def is_ready(self, replicas: int = 3, image: str = "web:1") -> bool:
        """Whether exactly that many pods of that image run, and are known to."""
        pods = self.pods
        return (
            len(pods) == len(self.running(image)) == replicas
            and all(is_true(pod.status.conditions, "Ready") for pod in pods)
            and self.deployment.status.available_replicas == replicas
        )

    async def until_nodes_are_ready(self) -> None:
        await until(
            lambda: (
                [
                    node.metadata.name
                    for node in self.plane.world.objects(NODES)
                    if is_true(node.status.conditions, "Ready")
                ]
                == list(NODE_NAMES)
            ),
            "three ready nodes",
        )


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])


async def until(condition: Callable[[], T], what: str) -> T:
    """What the condition returns, once that is true."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not (found := condition()):
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"waited {PATIENCE_S:.0f} s for {what}") from None
    return found


@contextlib.asynccontextmanager
async def cluster() -> AsyncIterator[Cluster]:
    """Three nodes are ready."""
    async with servers.etcd() as etcd, servers.nats() as nats, asyncio.TaskGroup() as tasks:
        found = Cluster(tasks, etcd, nats)
        try:
            await found.start_plane()
            for name in NODE_NAMES:
                found.start_agent(name)
            await found.until_nodes_are_ready()
            yield found
        finally:
            await found.stop()
