"""Silent nodes: peers are asked, and what they say decides what becomes of the pods."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from msgspec.structs import replace

from orchestrator.core.node_lifecycle import Timing
from orchestrator.core.reports import PROBE_ANNOTATION
from orchestrator.runtime.detector import Detector
from proto import codec, subjects
from proto.bus.memory import MemoryBus, Network
from proto.kinds.node import NODES, Node
from proto.kinds.pod import PODS
from proto.messages import Heartbeat, NodeFacts, NodeReport, ProbeReply, ProbeRequest
from proto.meta import condition
from tests import virtual_time
from tests.unit.runtime.spine import Spine, clock, leading, node, pod, until

BEAT_S = 0.25
NAMES = ("n1", "n2", "n3", "n4")


class Watch:
    """A detector at work, and nodes that beat, and answer for one another, as long as they live.

    Attributes:
        beating: Nodes whose agents live.
        reachable: Hosts that answer a probe.
        asked: Who was asked after whom.
    """

    def __init__(self, spine: Spine) -> None:
        self.spine = spine
        self.network = Network()
        self.beating = set(NAMES)
        self.reachable = set(NAMES)
        self.asked: list[tuple[str, str]] = []
        self.silent: list[str] = []
        self.detector = Detector(
            world=spine.world,
            bus=MemoryBus(self.network, "one"),
            perform=spine.perform,
            clock=clock,
            timing=Timing(),
            on_silent=self.silent.append,
        )

    async def beat(self) -> None:
        while True:
            for name in NAMES:
                if name in self.beating:
                    self.detector.heard_beat(
                        Heartbeat(node=name, incarnation=1, epoch=1, generation=1, report_version=1)
                    )
            await asyncio.sleep(BEAT_S)

    async def answer(self, name: str) -> None:
        bus = MemoryBus(self.network, name)
        subscription = await bus.subscribe(subjects.probe(name))
        while True:
            envelope = await subscription.get()
            request = codec.decode(envelope.payload, ProbeRequest)
            self.asked.append((name, request.node))
            is_reachable = request.node in self.reachable
            reply = ProbeReply(node=request.node, by=name, is_reachable=is_reachable)
            await bus.publish(envelope.reply, codec.encode(reply))

    def reason(self, name: str) -> str:
        ready = condition(self.spine.world.get(NODES, "", name).status.conditions, "Ready")
        return ready.reason if ready else ""

    def taints(self, name: str) -> set[str]:
        return {taint.effect for taint in self.spine.world.get(NODES, "", name).spec.taints}

    @property
    def pods(self) -> set[str]:
        return {found.metadata.name for found in self.spine.world.objects(PODS)}


def probed(name: str) -> Node:
    found = node(name)
    return replace(
        found, metadata=replace(found.metadata, annotations={PROBE_ANNOTATION: f"{name}:9"})
    )


@contextlib.asynccontextmanager
async def watching() -> AsyncIterator[Watch]:
    """Four ready nodes; on n1 the pods ``owned`` and ``bare``."""
    async with leading() as (spine, tasks):
        found = Watch(spine)
        for name in NAMES:
            await spine.create(NODES, probed(name))
            spine.run(tasks, found.answer(name))
        await spine.create(PODS, pod("owned", node="n1", owner="rs1"))
        await spine.create(PODS, pod("bare", node="n1"))
        spine.run(tasks, found.beat())
        spine.run(tasks, found.detector.run())
        await until(lambda: {found.reason(name) for name in NAMES} == {"AgentReady"})
        await asyncio.sleep(1)
        yield found


def test_a_node_that_beats_stays_ready_and_nobody_is_asked_about_it():
    async def main() -> None:
        async with watching() as found:
            revision = found.spine.server.revision
            await asyncio.sleep(60)
            assert found.asked == []
            assert found.spine.server.revision == revision

    virtual_time.run(main())


def test_the_pods_of_a_host_that_nobody_reaches_are_moved_within_the_budget():
    async def main() -> None:
        async with watching() as found:
            found.beating.remove("n1")
            found.reachable.remove("n1")
            started = asyncio.get_running_loop().time()
            await until(lambda: found.pods == {"bare"})
            assert asyncio.get_running_loop().time() - started < 1.5
            assert found.silent[0] == "n1"
            await until(lambda: found.taints("n1") == {"NoSchedule", "NoExecute"})
            assert found.reason("n1") == "HostUnreachable"
            assert {about for _, about in found.asked} == {"n1"}
            assert all(by != "n1" for by, _ in found.asked)
            bare = found.spine.world.get(PODS, "default", "bare")
            assert bare.status.reason == "NodeLost"

    virtual_time.run(main())


def test_a_dead_agent_on_a_living_host_keeps_its_pods():
    async def main() -> None:
        async with watching() as found:
            found.beating.remove("n1")
            await until(lambda: found.reason("n1") == "AgentDown")
            await asyncio.sleep(30)
            assert found.pods == {"owned", "bare"}
            assert found.taints("n1") == {"NoSchedule"}
            assert len(found.asked) > 10  # its host is asked after again and again
            found.beating.add("n1")
            await until(lambda: found.reason("n1") == "AgentReady" and not found.taints("n1"))

    virtual_time.run(main())


def test_a_host_that_dies_after_its_agent_is_lost_too():
    async def main() -> None:
        async with watching() as found:
            found.beating.remove("n1")
            await until(lambda: found.reason("n1") == "AgentDown")
            found.reachable.remove("n1")
            await until(lambda: found.pods == {"bare"})

    virtual_time.run(main())


def test_one_peer_that_reaches_the_host_outweighs_all_that_do_not():
    async def main() -> None:
        async with watching() as found:
            answers = iter([False, True, False])

            class Once(set[str]):
                def __contains__(self, name: object) -> bool:
                    return next(answers, True)

            found.beating.remove("n1")
            found.reachable = Once()
            await until(lambda: found.reason("n1") == "AgentDown")
            await asyncio.sleep(10)
            assert found.pods == {"owned", "bare"}

    virtual_time.run(main())


def test_when_most_nodes_fall_silent_together_nothing_moves_until_they_are_back():
    async def main() -> None:
        async with watching() as found:
            found.beating.clear()
            found.reachable.clear()
            await asyncio.sleep(30)
            assert found.pods == {"owned", "bare"}
            found.beating = set(NAMES) - {"n1"}  # the link is back, one host is really gone
            await until(lambda: found.pods == {"bare"})

    virtual_time.run(main())


def test_a_node_that_returns_in_time_is_not_lost():
    async def main() -> None:
        async with watching() as found:
            found.network.faults = lambda _sender, _receiver, _subject: ()
            found.beating.remove("n1")
            await asyncio.sleep(0.7)
            found.beating.add("n1")
            await asyncio.sleep(5)
            assert found.pods == {"owned", "bare"}
            assert found.reason("n1") == "AgentReady"

    virtual_time.run(main())


def test_an_engine_that_does_not_answer_makes_its_node_not_ready_and_moves_nothing():
    async def main() -> None:
        async with watching() as found:
            facts = NodeFacts(engine_error="no such socket", probe_address="n1:9")
            told = NodeReport(
                node="n1", incarnation=1, version=2, epoch=1, generation=1, facts=facts
            )
            found.detector.heard_report(told)
            await until(lambda: found.reason("n1") == "EngineDown")
            await asyncio.sleep(10)
            assert found.pods == {"owned", "bare"}
            found.detector.heard_report(replace(told, facts=replace(facts, engine_error="")))
            await until(lambda: found.reason("n1") == "AgentReady")

    virtual_time.run(main())


def test_a_pod_that_arrives_on_a_lost_node_is_moved_as_well():
    async def main() -> None:
        async with watching() as found:
            found.beating.remove("n1")
            found.reachable.remove("n1")
            await until(lambda: found.reason("n1") == "HostUnreachable")
            await found.spine.create(PODS, pod("late", node="n1", owner="rs1"))
            await until(lambda: found.pods == {"bare"})

    virtual_time.run(main())


def test_a_new_leader_gives_nodes_that_it_has_not_heard_their_grace():
    async def main() -> None:
        async with leading() as (spine, tasks):
            await spine.create(NODES, probed("n1"))
            await spine.create(PODS, pod("owned", node="n1", owner="rs1"))
            found = Watch(spine)
            found.beating.clear()
            spine.run(tasks, found.detector.run())
            await asyncio.sleep(Timing().first_beat_ms / 1000 - 0.1)
            assert found.pods == {"owned"}
            assert found.silent == []

    virtual_time.run(main())


def test_a_deleted_node_is_watched_no_more():
    async def main() -> None:
        async with watching() as found:
            await found.spine.verbs.delete(NODES, "", "n4")
            found.beating.remove("n4")
            await asyncio.sleep(10)
            assert found.asked == []
            assert found.silent == []

    virtual_time.run(main())
