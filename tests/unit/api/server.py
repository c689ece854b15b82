"""The API over a store in memory, on a real port."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import aiohttp

from orchestrator.api.app import Api
from orchestrator.api.server import serving
from orchestrator.runtime.verbs import Verbs
from orchestrator.runtime.writer import Writer
from orchestrator.store import Put, Store, keys
from orchestrator.store.memory import MemoryServer, MemoryStore
from orchestrator.world import World
from proto.errors import Unavailable
from proto.kinds.namespace import NAMESPACES, Namespace
from proto.messages import LogRequest
from proto.meta import ObjectMeta


class Log:
    """A log of two chunks."""

    def __init__(self, *, breaks: bool) -> None:
        self._chunks = [b"one\n", b"two\n", b""]
        self._breaks = breaks

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def read(self) -> bytes:
        if self._breaks and len(self._chunks) == 1:
            raise Unavailable("the agent went away")
        return self._chunks.pop(0)


class Logs:
    """Logs of every node but ``dead``, whole but for ``breaking``; remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, LogRequest]] = []

    async def logs(self, node: str, request: LogRequest) -> Log:
        if node == "dead":
            raise Unavailable("the agent of node dead does not answer")
        self.asked.append((node, request))
        return Log(breaks=node == "breaking")


@dataclass
class Running:
    """A server that answers, and a client of it."""

    url: str
    world: World
    verbs: Verbs
    writer: Writer
    logs: Logs
    http: aiohttp.ClientSession
    stop: Callable[[], Awaitable[None]]
    """Stop answering, as at the orchestrator's end."""

    async def ask(self, method: str, path: str, body: Any = None, **kwargs: Any) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        if body is not None:
            kwargs["json"] = body
        async with self.http.request(method, self.url + path, **kwargs) as response:
            return response.status, await response.json(content_type=None)


def clock() -> int:
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def running(store: Store | None = None, port: int = 0) -> AsyncIterator[Running]:
    """An API whose orchestrator leads, with the namespace ``default``."""
    store = store or MemoryStore(MemoryServer())
    await store.txn([], [Put(keys.LEADER, b"test")])
    leader = await store.get(keys.LEADER)
    assert leader is not None
    world = World()
    writer = Writer(store, world)
    verbs = Verbs(world, writer, clock, random.Random(1))
    logs = Logs()
    api = Api(world, verbs, logs, clock)
    async with asyncio.TaskGroup() as tasks:
        lead = tasks.create_task(writer.run(leader.create_revision))
        await writer.ready.wait()
        if world.get(NAMESPACES, "", "default") is None:
            await verbs.create(NAMESPACES, Namespace(metadata=ObjectMeta(name="default")))
        async with AsyncExitStack() as stack, aiohttp.ClientSession() as http:
            chosen = await stack.enter_async_context(serving(api, "127.0.0.1", port))
            url = f"http://127.0.0.1:{chosen}"
            yield Running(url, world, verbs, writer, logs, http, stack.aclose)
        lead.cancel()
