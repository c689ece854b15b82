"""Assignments: one whole one for each node, when it changes, and again when it got lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from orchestrator.runtime.dispatch import COALESCE_S, RESEND_S, Dispatcher
from proto import codec, subjects
from proto.bus.memory import MemoryBus, Network
from proto.kinds.node import NODES
from proto.kinds.pod import PODS
from proto.messages import Assignment, Heartbeat
from tests import virtual_time
from tests.unit.core import making
from tests.unit.runtime.spine import Spine, leading, node, pod, until

EPOCH = 42


class Agent:
    """Hears what is published for a node, at the times it is."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.heard: list[Assignment] = []

    async def listen(self, network: Network) -> None:
        subscription = await MemoryBus(network, self.name).subscribe(subjects.assignment(self.name))
        while True:
            payload = (await subscription.get()).payload
            self.heard.append(codec.decode(payload, Assignment))

    @property
    def pods(self) -> list[str]:
        return [found.name for found in self.heard[-1].pods]

    def beat(self, follows: Assignment | None) -> Heartbeat:
        fence = (follows.epoch, follows.generation) if follows else (0, 0)
        return Heartbeat(
            node=self.name, incarnation=1, epoch=fence[0], generation=fence[1], report_version=0
        )


@contextlib.asynccontextmanager
async def dispatching() -> AsyncIterator[tuple[Spine, Dispatcher, Agent, Network]]:
    """The node ``n1`` has its first, empty assignment."""
    async with leading() as (spine, tasks):
        network = Network()
        agent = Agent("n1")
        spine.run(tasks, agent.listen(network))
        await spine.create(NODES, node("n1"))
        dispatcher = Dispatcher(spine.world, MemoryBus(network, "one"))
        spine.run(tasks, dispatcher.run(EPOCH))
        await until(lambda: agent.heard)
        yield spine, dispatcher, agent, network


def test_a_term_begins_by_telling_every_node_what_it_should_run():
    async def main() -> None:
        async with dispatching() as (_, _, agent, _):
            (first,) = agent.heard
            assert (first.node, first.epoch, first.pods) == ("n1", EPOCH, ())

    virtual_time.run(main())


def test_a_burst_of_changes_is_one_message():
    async def main() -> None:
        async with dispatching() as (spine, _, agent, _):
            for n in range(20):
                await spine.create(PODS, pod(f"p{n}", node="n1"))
            await asyncio.sleep(2 * COALESCE_S)
            assert len(agent.heard) == 2
            assert len(agent.pods) == 20
            before, after = agent.heard
            assert before.generation < after.generation == spine.world.version

    virtual_time.run(main())


def test_what_does_not_change_what_a_node_should_run_is_not_sent():
    async def main() -> None:
        async with dispatching() as (spine, _, agent, _):
            made = await spine.create(PODS, pod("a", node="n1"))
            await until(lambda: len(agent.heard) == 2)
            running = making.replace(made, status=making.replace(made.status, phase="Running"))
            await spine.verbs.modify(PODS, "default", "a", lambda _: running, subresource="status")
            await spine.create(PODS, pod("b", node="n2"))
            await spine.create(PODS, pod("c"))
            await asyncio.sleep(10)
            assert len(agent.heard) == 2

    virtual_time.run(main())


def test_a_deletion_is_told_with_its_grace_and_again_when_the_pod_is_gone():
    async def main() -> None:
        async with dispatching() as (spine, _, agent, _):
            await spine.create(PODS, pod("a", node="n1"))
            await until(lambda: len(agent.heard) == 2)
            await spine.verbs.delete(PODS, "default", "a", grace_s=7)
            await until(lambda: len(agent.heard) == 3)
            assert [found.delete_grace_s for found in agent.heard[1].pods] == [None]
            assert [found.delete_grace_s for found in agent.heard[2].pods] == [7]
            await spine.verbs.delete(PODS, "default", "a", grace_s=0)
            await until(lambda: len(agent.heard) == 4)
            assert agent.pods == []
            generations = [found.generation for found in agent.heard]
            assert generations == sorted(set(generations))

    virtual_time.run(main())


def test_an_agent_that_lags_is_told_again_but_not_at_every_beat():
    async def main() -> None:
        async with dispatching() as (spine, dispatcher, agent, network):
            network.faults = lambda _sender, _receiver, _subject: ()  # all of them get lost
            await spine.create(PODS, pod("a", node="n1"))
            await asyncio.sleep(1)
            (old,) = agent.heard
            network.faults = lambda _sender, _receiver, _subject: (RESEND_S * 0.9,)
            for _ in range(10):
                dispatcher.heard_from(agent.beat(old))
                await asyncio.sleep(RESEND_S / 20)
            await until(lambda: len(agent.heard) == 2)
            assert agent.pods == ["a"]
            for _ in range(10):
                dispatcher.heard_from(agent.beat(agent.heard[-1]))
            await asyncio.sleep(10)
            assert len(agent.heard) == 2

    virtual_time.run(main())


def test_an_agent_that_forgot_everything_or_follows_an_earlier_leader_is_told_again():
    async def main() -> None:
        async with dispatching() as (_, dispatcher, agent, _):
            (sent,) = agent.heard
            for count, held in enumerate((None, making.replace(sent, epoch=EPOCH - 1)), start=2):
                await asyncio.sleep(1)
                dispatcher.heard_from(agent.beat(held))
                await until(lambda count=count: len(agent.heard) == count)

    virtual_time.run(main())


def test_a_bus_that_is_away_costs_nothing_but_time():
    async def main() -> None:
        async with dispatching() as (spine, dispatcher, agent, network):
            network.cut("one")
            await spine.create(PODS, pod("a", node="n1"))
            await asyncio.sleep(1)
            assert len(agent.heard) == 1
            network.heal("one")
            dispatcher.heard_from(agent.beat(agent.heard[0]))
            await until(lambda: len(agent.heard) == 2)
            assert agent.pods == ["a"]

    virtual_time.run(main())


def test_a_beat_of_a_node_that_is_not_known_is_of_no_consequence():
    async def main() -> None:
        async with dispatching() as (spine, dispatcher, _, network):
            stranger = Agent("stranger")
            async with asyncio.TaskGroup() as tasks:
                listening = tasks.create_task(stranger.listen(network))
                dispatcher.heard_from(stranger.beat(None))
                await asyncio.sleep(1)
                assert stranger.heard == []
                await spine.create(NODES, node("stranger"))
                dispatcher.heard_from(stranger.beat(None))
                await until(lambda: stranger.heard)
                listening.cancel()

    virtual_time.run(main())


def test_a_node_that_was_deleted_and_joins_again_is_told_again():
    async def main() -> None:
        async with dispatching() as (spine, dispatcher, agent, _):
            await spine.verbs.delete(NODES, "", "n1")
            await spine.create(NODES, node("n1"))
            dispatcher.heard_from(agent.beat(agent.heard[0]))
            await until(lambda: len(agent.heard) == 2)

    virtual_time.run(main())
