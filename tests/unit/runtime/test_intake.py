"""What agents say: newest report by its fence, nobody believed about other nodes, garbage counted."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

from msgspec.structs import replace

from orchestrator.runtime.intake import ASK_EVERY_S, Intake
from proto import codec, subjects
from proto.bus.memory import MemoryBus, Network
from proto.kinds.event import EVENTS, Event
from proto.kinds.node import NODES
from proto.kinds.pod import PODS, Pod, PodStatus
from proto.messages import Heartbeat, NodeEvent, NodeFacts, NodeReport, PodReport, ReportRequest
from tests import virtual_time
from tests.unit.runtime.spine import NOW_MS, Spine, clock, leading, pod, until

EPOCH = 42


class Hearing:
    """An intake at work, and an agent's side of the bus."""

    def __init__(self, spine: Spine, network: Network) -> None:
        self.spine = spine
        self.network = network
        self.agent = MemoryBus(network, "n1")
        self.beats: list[Heartbeat] = []
        self.reports: list[NodeReport] = []
        self.asked: list[ReportRequest] = []
        self.intake = Intake(
            world=spine.world,
            bus=MemoryBus(network, "one"),
            recorder=spine.recorder,
            perform=spine.perform,
            clock=clock,
            on_beat=self.beats.append,
            on_report=self.reports.append,
        )

    async def tell(self, message: Any, subject: str = "") -> None:
        """Publish it, and let it be heard."""
        makers = {
            Heartbeat: subjects.heartbeat,
            NodeReport: subjects.report,
            NodeEvent: subjects.node_event,
        }
        subject = subject or makers[type(message)](message.node)
        await self.agent.publish(subject, codec.encode(message))
        await asyncio.sleep(0.01)

    async def note_requests(self) -> None:
        subscription = await self.agent.subscribe(subjects.report_request("n1"))
        while True:
            envelope = await subscription.get()
            self.asked.append(codec.decode(envelope.payload, ReportRequest))

    def phase(self, name: str) -> str:
        return self.spine.world.get(PODS, "default", name).status.phase


@contextlib.asynccontextmanager
async def hearing() -> AsyncIterator[Hearing]:
    async with leading() as (spine, tasks):
        found = Hearing(spine, Network())
        spine.run(tasks, spine.recorder.run())
        spine.run(tasks, found.intake.run(EPOCH))
        spine.run(tasks, found.note_requests())
        await asyncio.sleep(0.01)
        yield found


def report(
    version: int,
    *pods: PodReport,
    node: str = "n1",
    incarnation: int = 1,
    facts: NodeFacts | None = None,
) -> NodeReport:
    known = NodeFacts(capacity={"cpu": "4"}, allocatable={"cpu": "4"})
    return NodeReport(
        node=node,
        incarnation=incarnation,
        version=version,
        epoch=EPOCH,
        generation=1,
        facts=facts or known,
        pods=pods,
    )


def about(uid: str, phase: str, **more: Any) -> PodReport:
    status = PodStatus(phase=phase)
    return PodReport(uid=uid, namespace="default", name="a", status=status, **more)


def beat(version: int, *, node: str = "n1", incarnation: int = 1) -> Heartbeat:
    return Heartbeat(
        node=node, incarnation=incarnation, epoch=EPOCH, generation=1, report_version=version
    )


def event(uid: str, **changed: Any) -> NodeEvent:
    told = {"type": "Normal", "reason": "Started", "message": "it runs", "at_ms": NOW_MS}
    told |= {"node": "n1", "namespace": "default", "pod": "a", "pod_uid": uid}
    return NodeEvent(**(told | changed))


def test_a_node_joins_with_its_first_report():
    async def main() -> None:
        async with hearing() as found:
            await found.tell(report(1))
            node = await until(lambda: found.spine.world.get(NODES, "", "n1"))
            assert node.status.capacity == {"cpu": "4"}

    virtual_time.run(main())


def test_only_the_newest_report_of_the_newest_incarnation_counts():
    async def main() -> None:
        async with hearing() as found:
            made = await found.spine.create(PODS, pod("a", node="n1"))
            uid = made.metadata.uid
            for incarnation, version, phase, expected in (
                (5, 3, "Pending", "Pending"),
                (5, 4, "Running", "Running"),
                (5, 4, "Pending", "Running"),  # doubled
                (5, 3, "Pending", "Running"),  # late
                (4, 9, "Pending", "Running"),  # of an earlier run of the agent
                (6, 1, "Pending", "Pending"),
            ):
                told = report(version, about(uid, phase), incarnation=incarnation)
                await found.tell(told)
                assert found.phase("a") == expected
            assert [(r.incarnation, r.version) for r in found.reports] == [(5, 3), (5, 4), (6, 1)]

    virtual_time.run(main())


def test_a_node_speaks_for_its_own_pods_only():
    async def main() -> None:
        async with hearing() as found:
            made = await found.spine.create(PODS, pod("a", node="n2"))
            await found.tell(report(1, about(made.metadata.uid, "Running")))
            assert found.phase("a") == "Pending"
            await found.tell(report(2, about("another uid", "Running", is_gone=True)))
            assert found.phase("a") == "Pending"

    virtual_time.run(main())


def test_a_deleted_pod_goes_when_its_node_says_that_nothing_is_left_of_it():
    async def main() -> None:
        async with hearing() as found:
            made = await found.spine.create(PODS, pod("a", node="n1"))
            gone = about(made.metadata.uid, "Running", is_gone=True)
            await found.tell(report(1, gone))
            assert found.phase("a") == "Running"  # nobody asked for its end
            await found.spine.verbs.delete(PODS, "default", "a")
            await found.tell(report(2, gone))
            assert found.spine.world.count(PODS) == 0

    virtual_time.run(main())


def test_a_report_that_came_while_the_store_was_away_takes_effect_when_it_is_back():
    async def main() -> None:
        async with hearing() as found:
            made = await found.spine.create(PODS, pod("a", node="n1"))
            await found.tell(report(1, about(made.metadata.uid, "Pending")))
            found.spine.server.is_up = False
            await found.tell(report(2, about(made.metadata.uid, "Running")))
            await asyncio.sleep(3)
            assert found.phase("a") == "Pending"
            found.spine.server.is_up = True
            await until(lambda: found.phase("a") == "Running")

    virtual_time.run(main())


def test_a_report_that_got_lost_is_asked_for_but_not_at_every_beat():
    async def main() -> None:
        async with hearing() as found:
            for _ in range(10):
                await found.tell(beat(3))
            assert [request.epoch for request in found.asked] == [EPOCH]
            await asyncio.sleep(ASK_EVERY_S)
            await found.tell(beat(3))
            assert len(found.asked) == 2
            await found.tell(report(3))
            await asyncio.sleep(ASK_EVERY_S)
            await found.tell(beat(3))
            assert len(found.asked) == 2
            await asyncio.sleep(ASK_EVERY_S)
            await found.tell(beat(0, incarnation=2))  # it started again
            assert len(found.asked) == 3
            assert len(found.beats) == 13

    virtual_time.run(main())


def test_a_node_that_was_forgotten_is_asked_again_when_it_is_back():
    async def main() -> None:
        async with hearing() as found:
            await found.tell(report(3))
            await found.tell(beat(3))
            assert found.asked == []
            found.intake.forget("n1")
            await found.tell(beat(3))
            assert len(found.asked) == 1

    virtual_time.run(main())


def test_nobody_speaks_on_the_subject_of_another_node():
    async def main() -> None:
        async with hearing() as found:
            made = await found.spine.create(PODS, pod("a", node="n1"))
            elsewhere = {
                subjects.heartbeat("n2"): beat(1),
                subjects.report("n2"): report(1, about(made.metadata.uid, "Failed")),
                subjects.node_event("n2"): event(made.metadata.uid),
            }
            for subject, message in elsewhere.items():
                await found.tell(message, subject)
            assert found.intake.rejected == 3
            assert not (found.beats or found.reports or found.spine.world.count(EVENTS))
            assert found.phase("a") == "Pending"

    virtual_time.run(main())


def test_a_node_whose_name_has_dots_is_heard():
    async def main() -> None:
        async with hearing() as found:
            await found.tell(beat(0, node="n1.example.com"))
            assert found.intake.rejected == 0
            assert [one.node for one in found.beats] == ["n1.example.com"]

    virtual_time.run(main())


def test_events_of_agents_are_recorded_under_their_time_if_they_are_about_their_own_pods():
    async def main() -> None:
        async with hearing() as found:
            made = await found.spine.create(PODS, pod("a", node="n1"))
            uid = made.metadata.uid
            await found.tell(event(uid, field_path="spec.containers{main}", at_ms=NOW_MS - 5_000))
            await found.tell(event("of an earlier pod", message="1"))
            await found.tell(event(uid, pod="missing", message="2"))
            await found.tell(event(uid, node="n2", message="3"))
            await asyncio.sleep(1)
            (told,) = found.spine.world.objects(EVENTS)
            assert (told.message, told.source.host) == ("it runs", "n1")
            assert told.involved_object.field_path == "spec.containers{main}"
            assert told.first_timestamp == "2023-11-14T22:13:15.000Z"
            assert found.intake.rejected == 0

    virtual_time.run(main())


def test_random_bytes_are_counted_and_change_nothing():
    async def main() -> None:
        chance = random.Random(11)
        async with hearing() as found:
            made = await found.spine.create(PODS, pod("a", node="n1"))
            valid = [beat(1), report(1), event(made.metadata.uid)]
            revision = found.spine.server.revision
            sent = 0
            for subject in (
                subjects.heartbeat("n1"),
                subjects.report("n1"),
                subjects.node_event("n1"),
            ):
                for size in (0, 1, 10, 1_000):
                    await found.agent.publish(subject, chance.randbytes(size))
                    sent += 1
                for text in (b"{}", b"[]", b"null", b'{"node": 5}', b"[" * 100_000):
                    await found.agent.publish(subject, text)
                    sent += 1
                for message in valid:  # cut short
                    await found.agent.publish(subject, codec.encode(message)[:-2])
                    sent += 1
            await asyncio.sleep(1)
            assert found.intake.rejected == sent
            assert found.spine.server.revision == revision
            await found.tell(beat(1))
            assert len(found.beats) == 1

    virtual_time.run(main())


def test_numbers_and_texts_that_no_agent_would_send_do_no_harm():
    async def main() -> None:
        async with hearing() as found:
            made = await found.spine.create(PODS, pod("a", node="n1"))
            uid = made.metadata.uid
            for at_ms in (10**18, -1, 2**63):
                await found.tell(event(uid, at_ms=at_ms))
            assert found.intake.rejected == 3
            await found.tell(event(uid, message="x" * 2_000_000))
            await found.tell(report(1, node="Not A Node"), subjects.report("not"))
            strange = NodeFacts(capacity={"cpu": "many"}, internal_ip="nowhere\x00")
            await found.tell(report(2, facts=strange))
            await found.tell(report(3, about(uid, "Running\n" * 1000)))
            await found.tell(report(4, about(uid, "Running")))
            await until(lambda: found.phase("a") == "Running")
            assert found.spine.world.get(NODES, "", "n1").status.capacity == {"cpu": "4"}

    virtual_time.run(main())


def bound(found: Pod) -> Pod:
    return replace(found, spec=replace(found.spec, node_name="n1"))


def events(found: Hearing) -> list[Event]:
    return found.spine.world.objects(EVENTS)


def test_what_an_agent_goes_on_telling_of_is_one_event_with_its_last_words():
    async def main() -> None:
        async with hearing() as found:
            made = await found.spine.create(PODS, bound(pod("a")))
            for text in ("1 of 3 MiB", "2 of 3 MiB"):
                await found.tell(event(made.metadata.uid, message=text, series="web:1"))
                await until(lambda t=text: [e.message for e in events(found)] == [t])
            assert events(found)[0].count == 2

    virtual_time.run(main())


def test_what_happens_to_a_node_is_told_of_the_node():
    async def main() -> None:
        async with hearing() as found:
            await found.tell(event("", namespace="", pod="", reason="FreeDiskSpaceFailed"))
            await until(lambda: events(found))
            about = events(found)[0].involved_object
            assert (about.kind, about.name) == ("Node", "n1")

    virtual_time.run(main())
