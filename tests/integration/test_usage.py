"""From Docker to metrics.k8s.io: real containers, a real nats-server, an agent and an orchestrator."""

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from node_agent.engine import cgroups
from node_agent.engine.docker import Docker
from node_agent.host import Clock, Machine, MemoryDisk
from node_agent.loop import Agent
from node_agent.settings import Settings as AgentSettings
from node_agent.storage.memory import MemoryStorage
from orchestrator.api.server import listening
from orchestrator.runtime.control_plane import ControlPlane
from orchestrator.settings import Settings
from orchestrator.store.memory import MemoryServer, MemoryStore
from proto import quantity
from proto.bus.nats import NatsBus
from tests import servers
from tests.images import busybox_image
from tests.integration.test_agent import empty
from tests.unit.node_agent.node import FakeProber

pytestmark = [pytest.mark.docker, pytest.mark.integration]

PATIENCE_S = 60
MIB = 1 << 20
METRICS = "/apis/metrics.k8s.io/v1beta1"
SCRIPTS = {
    "busy": "while :; do :; done",
    "idle": "sleep 100000",
    "full": "dd if=/dev/zero of=/dev/shm/held bs=1M count=50; sleep 100000",
}

Ask = Callable[..., Awaitable[Any]]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def manifest(name: str, script: str) -> dict[str, Any]:
    container = {
        "name": "c",
        "image": "demo/busybox:1",
        "command": ["sh", "-c", script],
        # Its share where others want the cores, too: who asks for nothing gets next to nothing.
        "resources": {"requests": {"cpu": "1" if name == "busy" else "10m"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }


@asynccontextmanager
async def cluster(machine: Machine | None, cgroup_root: Path) -> AsyncIterator[Ask]:
    """One node of that machine, and a way to ask the API: JSON of a GET, or of a POST of a body."""
    await busybox_image()
    name = f"test-{uuid.uuid4().hex[:8]}"
    engine = Docker("unix:///var/run/docker.sock", name, cgroup_root=cgroup_root)
    async with servers.nats() as nats:
        buses = [await NatsBus.connect(nats.url, name=who) for who in ("plane", "agent")]
        plane = ControlPlane(
            Settings(),
            MemoryStore(MemoryServer()),
            buses[0],
            identity="plane",
            clock=now_ms,
            chance=random.Random(1),
        )
        agent = Agent(
            AgentSettings(
                node_name=name, internal_ip="127.0.0.1", sandbox_pool=0, usage_period_s=2
            ),
            buses[1],
            engine,
            MemoryStorage(),
            MemoryDisk(),
            FakeProber(),
            Clock(),
            random.Random(1),
            machine,
        )
        try:
            async with (
                asyncio.TaskGroup() as tasks,
                listening(plane, "127.0.0.1", 0, now_ms) as port,
                aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
            ):
                working = [tasks.create_task(part.run()) for part in (plane, agent)]

                async def ask(path: str, body: dict[str, Any] | None = None) -> Any:
                    async with http.request("POST" if body else "GET", path, json=body) as answer:
                        return await answer.json()

                try:
                    yield ask
                finally:
                    for task in working:
                        task.cancel()
        finally:
            for bus in buses:
                await bus.close()
            await empty(engine)
            await engine.close()


async def until(look: Callable[[], Awaitable[Any]]) -> Any:
    """What it finds, once that is true."""
    async with asyncio.timeout(PATIENCE_S):
        while not (found := await look()):
            await asyncio.sleep(0.1)
    return found


def usage(found: dict[str, Any]) -> tuple[int, int]:
    """Thousandths of a core, and bytes."""
    return quantity.milli(found["cpu"]), quantity.whole(found["memory"])


@pytest.mark.parametrize("source", ["the kernel's files", "Docker"])
async def test_what_containers_do_is_what_the_metrics_say(source: str, tmp_path: Path):
    is_seeing = source != "Docker"
    machine, root = (Machine(), cgroups.ROOT) if is_seeing else (None, tmp_path)
    async with cluster(machine, root) as ask:
        await until(lambda: _has_namespace(ask))
        for name, script in SCRIPTS.items():
            await ask("/api/v1/namespaces/default/pods", manifest(name, script))

        async def of_pods() -> dict[str, tuple[int, int]]:
            items = (await ask(f"{METRICS}/namespaces/default/pods"))["items"]
            return {
                item["metadata"]["name"]: usage(container["usage"])
                for item in items
                for container in item["containers"]
            }

        async def as_they_should_be() -> Any:
            pods = await of_pods()
            if pods.keys() != SCRIPTS.keys():
                return None
            is_so = pods["busy"][0] >= 30 and pods["idle"][0] < 10 and pods["full"][1] > 50 * MIB
            return pods if is_so else None

        pods = await until(as_they_should_be)
        assert pods["full"][1] < 60 * MIB
        assert pods["busy"][1] < 10 * MIB
        (node,) = await until(lambda: _nodes(ask))
        cpu, memory = usage(node["usage"])
        assert cpu >= 30
        assert memory > 50 * MIB
        assert node["metadata"]["labels"]["kubernetes.io/os"] == "linux"


async def _has_namespace(ask: Ask) -> bool:
    return (await ask("/api/v1/namespaces/default"))["kind"] == "Namespace"


async def _nodes(ask: Ask) -> Any:
    return (await ask(f"{METRICS}/nodes"))["items"]
