"""Terms: everything that decides runs while this one leads, and reads are served all the time."""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator

import pytest

from orchestrator.runtime.announce import Announcer
from orchestrator.runtime.control_plane import ControlPlane
from orchestrator.settings import Settings
from orchestrator.store.memory import MemoryServer, MemoryStore
from proto.bus import Envelope
from proto.bus.memory import MemoryBus, Network
from proto.errors import NotLeader
from proto.kinds.namespace import NAMESPACES, Namespace
from proto.kinds.node import NODES
from proto.kinds.pod import PODS
from proto.meta import ObjectMeta
from tests import virtual_time
from tests.unit.runtime.spine import Spine, clock, leading, node, pod, until


def namespace(name: str) -> Namespace:
    return Namespace(metadata=ObjectMeta(name=name))


class Planes:
    """Orchestrators on one store and one bus."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.server = MemoryServer()
        self.network = Network()
        self.running: dict[str, asyncio.Task[None]] = {}
        self._tasks = tasks

    def start(self, name: str) -> ControlPlane:
        made = ControlPlane(
            Settings(),
            MemoryStore(self.server, name),
            MemoryBus(self.network, name),
            identity=name,
            clock=clock,
            chance=random.Random(name),
        )
        self.running[name] = self._tasks.create_task(made.run())
        return made


@contextlib.asynccontextmanager
async def planes() -> AsyncIterator[Planes]:
    async with asyncio.TaskGroup() as tasks:
        made = Planes(tasks)
        yield made
        for task in made.running.values():
            task.cancel()


def names(plane: ControlPlane) -> set[str]:
    return {found.metadata.name for found in plane.world.objects(NAMESPACES)}


INITIAL = {"default", "kube-node-lease", "kube-public", "kube-system"}


def test_the_first_leader_makes_what_every_cluster_has():
    async def main() -> None:
        async with planes() as made:
            plane = made.start("one")
            await until(lambda: names(plane) == INITIAL)
            assert plane.is_leading

    virtual_time.run(main())


def test_an_orchestrator_that_waits_serves_reads_and_refuses_writes():
    async def main() -> None:
        async with planes() as made:
            one = made.start("one")
            await until(lambda: names(one) == INITIAL)
            two = made.start("two")
            await one.verbs.create(NAMESPACES, namespace("a"))
            await until(lambda: names(two) == INITIAL | {"a"})
            assert not two.is_leading
            with pytest.raises(NotLeader):
                await two.verbs.create(NAMESPACES, namespace("b"))

    virtual_time.run(main())


def test_a_store_that_is_away_ends_the_term_and_a_new_one_begins_when_it_is_back():
    async def main() -> None:
        async with planes() as made:
            plane = made.start("one")
            await until(lambda: names(plane) == INITIAL)
            epoch = plane.writer.epoch
            made.server.is_up = False
            await until(lambda: not plane.is_leading)
            assert names(plane) == INITIAL
            await asyncio.sleep(60)
            made.server.is_up = True
            await until(lambda: plane.is_leading)
            assert plane.writer.epoch > epoch
            await plane.verbs.create(NAMESPACES, namespace("a"))

    virtual_time.run(main())


def test_a_leader_that_stops_hands_over_at_once():
    async def main() -> None:
        async with planes() as made:
            one, two = made.start("one"), made.start("two")
            await until(lambda: one.is_leading or two.is_leading)
            first, second = ("one", two) if one.is_leading else ("two", one)
            await asyncio.sleep(5)
            started = asyncio.get_running_loop().time()
            made.running[first].cancel()
            await until(lambda: second.is_leading)
            assert asyncio.get_running_loop().time() - started < 0.1

    virtual_time.run(main())


def test_a_leader_that_was_deposed_unawares_cannot_write_and_finds_out():
    async def main() -> None:
        async with planes() as made:
            plane = made.start("one")
            await until(lambda: names(plane) == INITIAL)
            usurper = Spine(made.server)
            usurper.depose()
            revision = made.server.revision
            with pytest.raises(NotLeader):
                await plane.verbs.create(NAMESPACES, namespace("a"))
            await until(lambda: not plane.is_leading)
            assert made.server.revision == revision

    virtual_time.run(main())


async def read(network: Network, into: list[Envelope]) -> None:
    subscription = await MemoryBus(network, "reader").subscribe("longshore.v1.event.>")
    while True:
        into.append(await subscription.get())


def test_changes_are_announced_while_leading_and_their_loss_costs_nothing_else():
    async def main() -> None:
        async with leading() as (spine, tasks):
            network, heard = Network(), list[Envelope]()
            announcer = Announcer(spine.world, MemoryBus(network, "one"), clock)
            spine.run(tasks, read(network, heard))
            await spine.create(PODS, pod("unheard"))  # nobody here leads yet
            spine.run(tasks, announcer.run())
            await asyncio.sleep(0.01)
            network.cut("one")
            await spine.create(PODS, pod("lost"))
            await asyncio.sleep(0.01)
            network.heal("one")
            made = await spine.create(NODES, node("n1.lan"))
            await until(lambda: len(heard) == 2)
            assert [one.subject.rpartition("event.")[2] for one in heard] == [
                "node._.n1_lan.created",
                "node._.n1_lan.ready",
            ]
            told = json.loads(heard[0].payload)
            assert told["subject"] == "/api/v1/nodes/n1.lan"
            assert told["id"] == f"{made.metadata.resource_version}-created"
            assert told["data"]["metadata"]["uid"] == made.metadata.uid

    virtual_time.run(main())
