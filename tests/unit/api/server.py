"""The API over a store in memory, on a real port."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from orchestrator.api.app import Api
from orchestrator.api.server import serving
from orchestrator.runtime.streams import Streams
from orchestrator.runtime.tokens import Tokens
from orchestrator.runtime.verbs import Verbs
from orchestrator.runtime.writer import Writer
from orchestrator.store import Put, Store, keys
from orchestrator.store.memory import MemoryServer, MemoryStore
from orchestrator.world import World
from proto import codec, subjects
from proto.bus import Envelope
from proto.bus.memory import MemoryBus, Network
from proto.bus.stream import Stream, open_end
from proto.errors import Unavailable
from proto.frames import Channel
from proto.kinds.namespace import NAMESPACES, Namespace
from proto.messages import StreamOutcome, StreamRequest, StreamStarted
from proto.meta import ObjectMeta

Serve = Callable[[StreamRequest, Stream], Awaitable[StreamOutcome]]
"""What a node does with a stream."""


class Node:
    """A node's end of the streams; what it serves is for each test to say."""

    def __init__(self, bus: MemoryBus, name: str, serve: Serve) -> None:
        self.asked: list[StreamRequest] = []
        self._bus = bus
        self._name = name
        self._serve = serve

    async def run(self) -> None:
        """Until cancelled."""
        requests = await self._bus.subscribe(subjects.open_stream(self._name))
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(self._answer(await requests.get()))

    async def _answer(self, envelope: Envelope) -> None:
        request = codec.decode(envelope.payload, StreamRequest)
        self.asked.append(request)
        async with open_end(
            self._bus,
            hears=subjects.stream_to_node(request.stream),
            speaks=subjects.stream_from_node(request.stream),
        ) as stream:
            await self._bus.publish(envelope.reply, codec.encode(StreamStarted()))
            try:
                outcome = await self._serve(request, stream)
                await stream.send(Channel.OUTCOME, codec.encode(outcome))
            except Unavailable:
                pass  # the reader has gone


async def serve_log(_request: StreamRequest, stream: Stream) -> StreamOutcome:
    """A log of two lines."""
    await stream.send(Channel.STDOUT, b"one\n")
    await stream.send(Channel.STDOUT, b"two\n")
    return StreamOutcome()


async def break_off(_request: StreamRequest, stream: Stream) -> StreamOutcome:
    """A log that cannot be read to its end."""
    await stream.send(Channel.STDOUT, b"one\n")
    return StreamOutcome(error="the log's stream broke")


@dataclass
class Running:
    """A server that answers, and a client of it."""

    url: str
    world: World
    verbs: Verbs
    tokens: Tokens
    writer: Writer
    nodes: dict[str, Node]
    http: aiohttp.ClientSession
    stop: Callable[[], Awaitable[None]]
    """Stop answering, as at the orchestrator's end."""
    network: Network
    """The bus; the API's client of it is ``orchestrator``."""

    async def ask(self, method: str, path: str, body: Any = None, **kwargs: Any) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        if body is not None:
            kwargs["json"] = body
        async with self.http.request(method, self.url + path, **kwargs) as response:
            return response.status, await response.json(content_type=None)


def clock() -> int:
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def running(
    store: Store | None = None, port: int = 0, *, nodes: Mapping[str, Serve] | None = None
) -> AsyncIterator[Running]:
    """An API whose orchestrator leads, with the namespace ``default``.

    Args:
        store: Where objects are kept; one of its own.
        port: Where it answers; a free one.
        nodes: What nodes do with streams, besides ``n1`` and ``breaking``, which have logs.
    """
    store = store or MemoryStore(MemoryServer())
    await store.txn([], [Put(keys.LEADER, b"test")])
    leader = await store.get(keys.LEADER)
    assert leader is not None
    world = World()
    writer = Writer(store, world)
    verbs = Verbs(world, writer, clock, random.Random(1))
    network = Network()
    agents = MemoryBus(network, "agents")
    served = {"n1": serve_log, "breaking": break_off, **(nodes or {})}
    made = {name: Node(agents, name, serve) for name, serve in served.items()}
    tokens = Tokens(store, writer, world, clock, verbs.new_uid)
    streams = Streams(MemoryBus(network, "orchestrator"), verbs.new_uid)
    api = Api(world, verbs, tokens, streams, clock)
    async with asyncio.TaskGroup() as tasks:
        lead = tasks.create_task(writer.run(leader.create_revision))
        working = [tasks.create_task(node.run()) for node in made.values()]
        await writer.ready.wait()
        if world.get(NAMESPACES, "", "default") is None:
            await verbs.create(NAMESPACES, Namespace(metadata=ObjectMeta(name="default")))
        async with AsyncExitStack() as stack, aiohttp.ClientSession() as http:
            chosen = await stack.enter_async_context(serving(api, "127.0.0.1", port))
            url = f"http://127.0.0.1:{chosen}"
            yield Running(url, world, verbs, tokens, writer, made, http, stack.aclose, network)
        for task in (lead, *working):
            task.cancel()
