"""A leader's world, writer and verbs on a store in memory, and short ways to make objects."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

from msgspec.structs import replace

from orchestrator.core.decisions import Decision
from orchestrator.runtime.perform import Performer
from orchestrator.runtime.recorder import Recorder
from orchestrator.runtime.verbs import Verbs
from orchestrator.runtime.writer import Op, Writer
from orchestrator.store import Delete, Put, keys
from orchestrator.store.memory import MemoryServer, MemoryStore
from orchestrator.world import World
from proto.kinds.container import Container
from proto.kinds.kind import Kind
from proto.kinds.namespace import NAMESPACES, Namespace
from proto.kinds.node import Node, NodeStatus
from proto.kinds.pod import PODS, Pod, PodSpec
from proto.meta import Condition, ObjectMeta, OwnerReference

NOW_MS = 1_700_000_000_000
PATIENCE_S = 60.0
"""Virtual seconds after which a condition is given up."""


def clock() -> int:
    """Epoch milliseconds that move with the loop's time."""
    return NOW_MS + int(asyncio.get_running_loop().time() * 1000)


class Spine:
    """What the runtime's loops are built on; all parts of one orchestrator."""

    def __init__(self, server: MemoryServer, client: str = "one") -> None:
        self.server = server
        self.store = MemoryStore(server, client)
        self.world = World()
        self.writer = Writer(self.store, self.world)
        self.verbs = Verbs(self.world, self.writer, clock, random.Random(7))
        self.recorder = Recorder(self.world, self.writer, self.verbs, clock)
        self.perform = Performer(self.verbs, self.writer, self.recorder).perform
        self._running: list[asyncio.Task[Any]] = []

    def elect(self, name: str = "one") -> int:
        """Make this one the leader, as the store sees it; returns the epoch."""
        self.server.apply([], [Delete(keys.LEADER)])
        return self.server.apply([], [Put(keys.LEADER, name.encode())]).revision

    def depose(self) -> None:
        """Let another one be elected."""
        self.elect("another")

    async def commit(self, *ops: Op) -> list[Any]:
        return await self.writer.commit(ops)

    async def create(self, kind: Kind[Any], new: Any) -> Any:
        return await self.verbs.create(kind, new)

    def run(self, tasks: asyncio.TaskGroup, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Beside the test's body, until `leading` ends."""
        task = tasks.create_task(work)
        self._running.append(task)
        return task

    def stop(self) -> None:
        for task in self._running:
            task.cancel()


@contextlib.asynccontextmanager
async def leading(
    server: MemoryServer | None = None,
) -> AsyncIterator[tuple[Spine, asyncio.TaskGroup]]:
    """A spine whose writer takes writes, with the namespace ``default``; and a group for loops."""
    spine = Spine(server or MemoryServer())
    async with asyncio.TaskGroup() as tasks:
        spine.run(tasks, spine.writer.run(spine.elect()))
        await spine.writer.ready.wait()
        if spine.world.get(NAMESPACES, "", "default") is None:
            await spine.create(NAMESPACES, Namespace(metadata=ObjectMeta(name="default")))
        yield spine, tasks
        spine.stop()


async def until(condition: Callable[[], Any], what: str = "") -> Any:
    """What the condition returns, once that is true; looks again whenever time moves."""
    async with asyncio.timeout(PATIENCE_S):
        while not (found := condition()):
            await asyncio.sleep(0.001)
    return found


def pod(name: str, *, namespace: str = "default", node: str = "", owner: str = "") -> Pod:
    """As a manifest says it; `owner` is the uid of a replica set that controls it."""
    reference = OwnerReference(
        api_version="apps/v1", kind="ReplicaSet", name=owner, uid=owner, controller=True
    )
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace=namespace,
            labels={"app": "web"},
            owner_references=(reference,) if owner else (),
        ),
        spec=PodSpec(containers=(Container(name="main", image="web:1"),), node_name=node),
    )


def node(name: str, *, cpu: str = "4") -> Node:
    """Ready."""
    amounts = {"cpu": cpu, "memory": "8Gi", "pods": "110"}
    ready = Condition(type="Ready", status="True", reason="AgentReady")
    status = NodeStatus(capacity=amounts, allocatable=amounts, conditions=(ready,))
    return Node(metadata=ObjectMeta(name=name), status=status)


def stored(found: Pod, **metadata: Any) -> Pod:
    """A complete one, as `prepare_create` makes it, without its checks: for the store itself."""
    meta = replace(found.metadata, uid=f"uid-{found.metadata.name}")
    return PODS.defaults(replace(found, metadata=replace(meta, **metadata)))


def create_op(found: Pod) -> Op:
    return Op(PODS, found.metadata.namespace, found.metadata.name, found, expect="")


class Performed:
    """A `perform` that remembers, and fails as often as it is told to."""

    def __init__(self) -> None:
        self.decisions: list[Decision] = []
        self.passes = 0
        self.failures_left = 0

    async def __call__(self, decisions: Sequence[Decision]) -> int:
        self.passes += 1
        self.decisions += decisions
        if self.failures_left:
            self.failures_left -= 1
            return 1
        return 0
