"""What nodes tell of their use: the newest holds for three periods, for what is in the world."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from msgspec.structs import replace

from orchestrator.runtime.usage import PERIODS_MAX, Usages
from proto import codec, subjects
from proto.bus.memory import MemoryBus, Network
from proto.kinds.node import NODES
from proto.kinds.pod import PODS, Pod, PodStatus
from proto.messages import NodeUsage, Usage
from tests import virtual_time
from tests.unit.runtime.spine import Spine, leading, node, pod

PERIOD_S = 10


def use(cpu_nano: int) -> Usage:
    return Usage(at_ms=1, window_ms=1, cpu_nano=cpu_nano, memory_bytes=1)


class Telling:
    """Somebody who listens, and a node's side of the bus."""

    def __init__(self, spine: Spine, network: Network) -> None:
        self.spine = spine
        self.usages = Usages(spine.world, MemoryBus(network, "one"))
        self.network = network
        self._agent = MemoryBus(network, "n1")

    async def tell(
        self,
        version: int,
        cpu_nano: int = 0,
        *,
        incarnation: int = 1,
        subject: str = "n1",
        **fields,
    ) -> None:
        """A whole usage, and time for it to be heard."""
        message = NodeUsage(
            **{
                "node": "n1",
                "incarnation": incarnation,
                "version": version,
                "period_ms": PERIOD_S * 1000,
                "total": use(cpu_nano),
                **fields,
            }
        )
        await self._agent.publish(subjects.usage(subject), codec.encode(message))
        await asyncio.sleep(0.01)

    @property
    def cpu_nano(self) -> int | None:
        found = self.usages.of_node("n1")
        return None if found is None else found.cpu_nano

    async def make(self, name: str, phase: str = "Running") -> Pod:
        found = await self.spine.create(PODS, pod(name, node="n1"))
        return replace(found, status=PodStatus(phase=phase))


@contextlib.asynccontextmanager
async def telling() -> AsyncIterator[Telling]:
    """The node ``n1`` is known."""
    async with leading() as (spine, tasks):
        found = Telling(spine, Network())
        await spine.create(NODES, node("n1"))
        spine.run(tasks, found.usages.run())
        await asyncio.sleep(0.01)
        yield found


def test_the_newest_message_counts_whatever_order_they_come_in():
    async def main() -> None:
        async with telling() as node:
            assert node.cpu_nano is None
            await node.tell(2, 20)
            await node.tell(1, 10)
            await node.tell(2, 30)
            assert node.cpu_nano == 20
            await node.tell(1, 40, incarnation=2)
            await node.tell(3, 50)
            assert node.cpu_nano == 40

    virtual_time.run(main())


def test_a_node_that_tells_no_more_is_forgotten_after_three_periods():
    async def main() -> None:
        async with telling() as node:
            await node.tell(1, 10)
            await asyncio.sleep(PERIODS_MAX * PERIOD_S - 1)
            assert node.cpu_nano == 10
            await node.tell(2, 20)
            await asyncio.sleep(PERIODS_MAX * PERIOD_S - 1)
            assert node.cpu_nano == 20
            await asyncio.sleep(2)
            assert node.cpu_nano is None

    virtual_time.run(main())


def test_only_nodes_of_the_world_have_a_usage_and_lose_it_with_their_object():
    async def main() -> None:
        async with telling() as node:
            await node.tell(1, 10, node="n9", subject="n9")
            assert node.usages.of_node("n9") is None
            await node.tell(1, 10)
            await node.spine.verbs.delete(NODES, "", "n1")
            assert node.cpu_nano is None
            assert node.usages._told == {}

    virtual_time.run(main())


def test_a_pods_usage_is_that_of_its_uid_on_its_node_while_it_runs():
    async def main() -> None:
        async with telling() as node:
            web = await node.make("web")
            await node.tell(1, pods={web.metadata.uid: {"c": use(7)}, "old": {"c": use(8)}})
            assert node.usages.of_pod(web) == {"c": use(7)}
            again = replace(web, metadata=replace(web.metadata, uid="another"))
            assert node.usages.of_pod(again) == {}
            done = replace(web, status=PodStatus(phase="Succeeded"))
            assert node.usages.of_pod(done) == {}
            moved = replace(web, spec=replace(web.spec, node_name="n2"))
            assert node.usages.of_pod(moved) == {}

    virtual_time.run(main())


def test_messages_that_make_no_sense_are_counted_and_change_nothing():
    async def main() -> None:
        async with telling() as node:
            await node.tell(1, 10)
            await node.tell(2, 20, subject="n2")
            await node.tell(3, -5)
            await MemoryBus(node.network, "n1").publish(subjects.usage("n1"), b"{")
            await asyncio.sleep(0.01)
            assert (node.cpu_nano, node.usages.rejected) == (10, 3)

    virtual_time.run(main())
