"""What outlives processes: the store's server, the network, hosts with their engines and disks.

The parts are the product's own in-process ones. Around them: a request that is under way goes on
when whoever sent it dies, and everything that passes is shown to the invariants.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from node_agent.core.actions import ContainerConfig, SandboxConfig
from node_agent.core.observed import Container, Credential, Sandbox
from node_agent.core.usage import Sample
from node_agent.core.volume_actions import TmpfsConfig
from node_agent.engine import EngineInfo, EngineVolume, Image, Listed, LogOptions, Progress
from node_agent.engine.fake import FakeEngine
from node_agent.engine.fake_streams import FakeEvents, FakeLogs
from node_agent.host import MemoryDisk
from node_agent.storage.memory import MemoryStorage
from orchestrator.store import Compare, TxnResult, Write
from orchestrator.store.memory import MemoryServer, MemoryStore, MemoryWatch
from proto.bus import Envelope
from proto.bus.mailbox import Mailbox
from proto.bus.memory import Network, _Stream
from proto.errors import UnknownResult
from tests.simulation.loop import Process, SimLoop

T = TypeVar("T")

IMAGES = tuple(f"web:{version}" for version in range(1, 6))
IMAGES_HERE = IMAGES[:2]
"""The others must be pulled first."""

ENGINE_DEADLINE_S = 10.0
"""After which a hung engine's client gives up; the real one waits longer, to the same effect."""


class SimServer(MemoryServer):
    """The store's server. `on_commit` sees every transaction with its result."""

    on_commit: Callable[[Sequence[Compare], Sequence[Write], TxnResult], None]

    def apply(self, compares: Sequence[Compare], writes: Sequence[Write]) -> TxnResult:
        result = super().apply(compares, writes)
        if result.succeeded and writes:
            self.on_commit(compares, writes, result)
        return result


class SimNetwork(Network):
    """The bus's server. `on_publish` sees every message before it is carried."""

    on_publish: Callable[[str, Envelope], None]

    def carry(self, sender: str, envelope: Envelope) -> bool:
        self.on_publish(sender, envelope)
        return super().carry(sender, envelope)


ENVIRONMENT_TYPES = (SimServer, SimNetwork, MemoryStore, MemoryWatch, Mailbox, _Stream)
"""Whose callbacks run although the process that caused them is dead."""


class Host:
    """A machine: its engine and its disk survive the agent, its containers too.

    Attributes:
        healthy_since: Loop time from which it has been on and reachable; None while it is not.
    """

    def __init__(
        self, loop: SimLoop, name: str, ip: str, clock: Callable[[], int], rng: random.Random
    ) -> None:
        self.name = name
        self.ip = ip
        self.is_up = True
        self.is_cut_off = False
        self.healthy_since: float | None = loop.time()
        self.disk = MemoryDisk()
        self.storage = MemoryStorage()
        self.engine = FakeEngine(name, clock, rng, images=IMAGES_HERE)
        self.engine.registry |= set(IMAGES)
        self._loop = loop
        self.daemon = Process(loop, f"engine {name}")

    def power_off(self) -> None:
        """Containers end, untold; what the engine was about to do is not done."""
        self.is_up = False
        self.daemon.kill()
        self.engine.crash()
        self.storage.lose_power()
        self._note_health()

    def power_on(self) -> None:
        """The engine is back; what ran has ended."""
        self.is_up = True
        self.daemon = Process(self._loop, f"engine {self.name}")
        self.engine.resume()
        self._note_health()

    def cut_off(self, is_cut_off: bool) -> None:
        """Nobody reaches it, and it reaches nobody."""
        self.is_cut_off = is_cut_off
        self._note_health()

    def _note_health(self) -> None:
        is_healthy = self.is_up and not self.is_cut_off
        self.healthy_since = self._loop.time() if is_healthy else None


class EngineConnection:
    """An agent's connection to its host's engine; see `Engine`.

    What the engine was asked to do it does, though the agent dies or gives up waiting.
    """

    def __init__(self, loop: SimLoop, host: Host) -> None:
        self._loop = loop
        self._host = host
        self._engine = host.engine

    async def _ask(self, work: Coroutine[Any, Any, T], deadline_s: float = ENGINE_DEADLINE_S) -> T:
        try:
            async with asyncio.timeout(deadline_s):
                return await self._host.daemon.call(work)
        except TimeoutError as error:
            raise UnknownResult(f"the engine did not answer in {deadline_s} s") from error

    async def ping(self) -> None:
        await self._ask(self._engine.ping())

    async def info(self) -> EngineInfo:
        return await self._ask(self._engine.info())

    async def list(self) -> Sequence[Listed]:
        return await self._ask(self._engine.list())

    async def inspect(self, id: str) -> Sandbox | Container | None:
        return await self._ask(self._engine.inspect(id))

    async def images(self) -> Sequence[Image]:
        return await self._ask(self._engine.images())

    async def pull(
        self,
        image: str,
        credential: Credential | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        await self._ask(self._engine.pull(image, credential, on_progress), deadline_s=600.0)

    async def written(self) -> Mapping[str, int]:
        return await self._ask(self._engine.written())

    async def images_in_use(self) -> frozenset[str]:
        return await self._ask(self._engine.images_in_use())

    async def remove_image(self, image: Image) -> None:
        await self._ask(self._engine.remove_image(image))

    async def volumes(self) -> Sequence[EngineVolume]:
        return await self._ask(self._engine.volumes())

    async def create_volume(self, config: TmpfsConfig) -> None:
        await self._ask(self._engine.create_volume(config))

    async def remove_volume(self, name: str) -> None:
        await self._ask(self._engine.remove_volume(name))

    async def create_sandbox(self, config: SandboxConfig) -> str:
        return await self._ask(self._engine.create_sandbox(config))

    async def create_container(self, config: ContainerConfig) -> str:
        return await self._ask(self._engine.create_container(config))

    async def start(self, id: str, *, hostname: str = "") -> None:
        await self._ask(self._engine.start(id, hostname=hostname))

    async def signal(self, id: str, signal: str) -> None:
        await self._ask(self._engine.signal(id, signal))

    async def rename(self, id: str, name: str) -> None:
        await self._ask(self._engine.rename(id, name))

    async def remove(self, id: str) -> None:
        await self._ask(self._engine.remove(id))

    async def usage(self, id: str) -> Sample:
        return await self._ask(self._engine.usage(id))

    async def logs(self, id: str, options: LogOptions) -> FakeLogs:
        return await self._ask(self._engine.logs(id, options))

    async def events(self) -> FakeEvents:
        return await self._ask(self._engine.events())

    async def close(self) -> None:
        """Nothing to close."""
