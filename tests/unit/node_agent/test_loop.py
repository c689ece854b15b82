"""The whole agent on virtual time, with an engine in memory that fails on request."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from msgspec.structs import replace

from node_agent.core.observed import State
from node_agent.engine.fake import FakeEngine
from proto import codec, subjects
from proto.messages import AssignedPod, NodeReport, ProbeReply, ProbeRequest, ReportRequest
from tests import virtual_time
from tests.unit.node_agent.given import IMAGE, NODE, pod as given_pod, spec
from tests.unit.node_agent.node import Node, is_running, pod, state_reason

START_MS = 1_700_000_000_000


def now_ms() -> int:
    return START_MS + int(asyncio.get_running_loop().time() * 1000)


class Wall:
    """A clock that somebody sets."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        return now_ms() + self.ahead_ms


@asynccontextmanager
async def a_node(
    seed: int = 1, clock: Callable[[], int] = now_ms, **settings: object
) -> AsyncIterator[tuple[Node, FakeEngine]]:
    engine = FakeEngine(NODE, clock, random.Random(seed), images=[IMAGE])
    async with asyncio.TaskGroup() as tasks:
        node = Node(engine, clock, tasks, **{"sandbox_pool": 2, **settings})
        await node.listen()
        await node.start()
        try:
            yield node, engine
        finally:
            engine.resume()
            await node.stop()


def on_virtual_time(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    def run() -> None:
        virtual_time.run(test())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


async def settled(node: Node, *pods: AssignedPod) -> NodeReport:
    """The report once these pods run and no others exist."""
    await node.running(*(p.name for p in pods), within_s=1200)
    async with asyncio.timeout(1200):
        while True:
            containers, sandboxes = await node.existing()
            alive = [c.pod.uid for c in containers if c.state is State.RUNNING]
            owners = [s.pod.uid for s in sandboxes]
            if sorted(alive) == sorted(owners) == sorted(p.uid for p in pods):
                return node.reports[-1]
            await asyncio.sleep(0.1)


@on_virtual_time
async def test_heartbeats_go_on_while_the_engine_hangs():
    async with a_node() as (node, engine):
        await node.assign(given_pod("a"))
        await node.running("a")
        engine.hang()
        await node.assign(given_pod("a"), given_pod("b"))
        await asyncio.sleep(1)
        beats = len(node.beats)
        await asyncio.sleep(10)
        assert 39 <= len(node.beats) - beats <= 41
        assert node.beats[-1].generation == 2
        engine.resume()
        await node.running("a", "b")


@on_virtual_time
async def test_an_engine_that_is_away_is_reported_and_waited_for():
    async with a_node() as (node, engine):
        await node.assign(given_pod("a"))
        (before,) = await node.running("a")
        engine.stop()
        report = await node.until(lambda r: r.facts.engine_error)
        assert pod(report, "a").status == before.status
        await asyncio.sleep(60)
        engine.resume()
        await node.until(lambda r: not r.facts.engine_error and is_running(pod(r, "a")))
        assert engine.containers[0].attempt == 0


@on_virtual_time
async def test_a_stale_assignment_is_refused():
    async with a_node() as (node, engine):
        await node.assign(given_pod("a"), epoch=2, generation=5)
        await node.running("a")
        await node.assign(epoch=1, generation=9)
        await node.assign(epoch=2, generation=4)
        await asyncio.sleep(5)
        assert [c.state for c in engine.containers] == [State.RUNNING]
        assert (node.beats[-1].epoch, node.beats[-1].generation) == (2, 5)


@on_virtual_time
async def test_the_last_assignment_is_followed_without_control_plane_or_bus():
    async with a_node() as (node, engine):
        await node.assign(given_pod("a"))
        await node.running("a")
        await node.kill()
        node.network.cut("agent-1")
        engine.end(engine.containers[0].id, exit_code=1)
        await node.start()
        async with asyncio.timeout(5):
            while not any(c.attempt == 1 and c.state is State.RUNNING for c in engine.containers):
                await asyncio.sleep(0.1)


@on_virtual_time
async def test_nothing_is_removed_before_the_first_assignment():
    async with a_node() as (node, engine):
        await node.assign(given_pod("a"))
        await node.running("a")
        await node.kill()
        node.disk.content = None
        await node.start()
        await asyncio.sleep(60)
        assert [c.state for c in engine.containers] == [State.RUNNING]


@on_virtual_time
async def test_an_unreadable_disk_is_no_reason_to_stop_anything():
    async with a_node() as (node, engine):
        await node.assign(given_pod("a"))
        await node.running("a")
        await node.kill()
        node.disk.content = b'{"assignment": '
        await node.start()
        await asyncio.sleep(60)
        assert [c.state for c in engine.containers] == [State.RUNNING]
        await node.assign(given_pod("a"), given_pod("b"))
        await node.running("a", "b")
        assert [c.attempt for c in engine.containers] == [0, 0]


@on_virtual_time
async def test_a_crash_loop_is_slowed_down_to_five_minutes_and_survives_agent_restarts():
    async with a_node() as (node, engine):
        starts: list[int] = []
        loop = asyncio.get_running_loop()

        def crash_soon(container) -> None:
            starts.append(now_ms())
            loop.call_later(1, lambda: engine.end(container.id, exit_code=1))

        engine.on_start = crash_soon
        await node.assign(given_pod("a"))
        for _ in range(10):
            await asyncio.sleep(150)
            await node.kill()
            await node.start()
        gaps = [round((b - a) / 1000 - 1) for a, b in pairwise(starts)]
        assert gaps[:7] == [0, 10, 20, 40, 80, 160, 300]
        assert len(engine.containers) == 2  # the last two attempts
        report = node.reports[-1]
        assert state_reason(pod(report, "a")) == "CrashLoopBackOff"
        assert pod(report, "a").status.phase == "Running"
        assert node.reasons().count("BackOff") >= 5


@pytest.mark.parametrize("jump_s", [-7200, 7200])
def test_a_clock_that_is_set_changes_no_back_off_and_no_grace(jump_s: int):
    async def test() -> None:
        wall = Wall()
        async with a_node(clock=wall) as (node, engine):
            loop = asyncio.get_running_loop()
            starts: list[float] = []
            engine.on_start = lambda _: starts.append(loop.time())
            await node.assign(given_pod("a"))
            for number in range(3):
                await node.running("a")
                wall.ahead_ms += jump_s * 1000
                engine.end(engine.containers[-1].id, exit_code=1)
                await asyncio.sleep(0.1)  # in which its end is seen
                wall.ahead_ms += jump_s * 1000
                async with asyncio.timeout(60):
                    while len(starts) < number + 2:
                        await asyncio.sleep(0.1)
            assert [round(b - a) for a, b in pairwise(starts)] == [0, 10, 20]
            engine.ignores_signals = lambda _: True
            began = loop.time()
            await node.assign(given_pod("a", delete_grace_s=8))
            await asyncio.sleep(1)
            wall.ahead_ms += jump_s * 1000
            await node.until(lambda r: (found := pod(r, "a")) and found.is_gone)
            assert 8 <= loop.time() - began < 10

    virtual_time.run(test())


@on_virtual_time
async def test_an_image_is_pulled_once_for_many_pods_and_holds_up_no_other():
    async with a_node() as (node, engine):
        engine.registry.add("demo/slow:1")
        slow = [given_pod(f"slow-{n}", spec(image="demo/slow:1")) for n in range(5)]
        await node.assign(*slow, given_pod("quick"))
        await node.running("quick", within_s=5)
        await node.running(*(p.name for p in slow))
        assert engine.pulls == ["demo/slow:1"]


@on_virtual_time
async def test_what_is_told_of_a_pod_is_in_the_order_of_its_times():
    async with a_node() as (node, _):
        await node.assign(given_pod("a"))
        await node.running("a")
        times = [event.at_ms for event in node.events]
        assert node.reasons() == ["Pulled", "Created", "Started"]
        assert times == sorted(set(times))


@on_virtual_time
async def test_an_unreachable_registry_does_not_keep_a_local_image_from_running():
    async with a_node() as (node, engine):
        engine.is_registry_reachable = False
        await node.assign(given_pod("a", spec(image_pull_policy="Always")))
        await node.running("a")
        assert "RegistryUnavailable" in node.reasons()


@on_virtual_time
async def test_a_missing_image_is_asked_for_again_until_it_is_there():
    async with a_node() as (node, engine):
        await node.assign(given_pod("a", spec(image="demo/late:1")))
        await node.until(lambda r: state_reason(pod(r, "a")) == "ImagePullBackOff")
        await asyncio.sleep(100)
        engine.registry.add("demo/late:1")
        await node.running("a", within_s=120)
        assert len(engine.pulls) == 5  # at 0, 10, 30, 70 and 150 s


@on_virtual_time
async def test_what_docker_refuses_is_tried_again_ever_more_slowly():
    async with a_node() as (node, engine):
        tries: list[int] = []

        def refuse(verb: str, name: str) -> str:
            if verb == "create" and "_c_a_" in name:
                tries.append(now_ms())
                return "no space left on device"
            return ""

        engine.fails = refuse
        await node.assign(given_pod("a"), given_pod("b"))
        await node.running("b")
        report = await node.until(lambda r: state_reason(pod(r, "a")) == "CreateContainerError")
        await asyncio.sleep(120)
        assert 6 <= len(tries) <= 10
        waiting = pod(report, "a").status.container_statuses[0].state.waiting
        assert waiting.message == "no space left on device"
        engine.fails = lambda _verb, _name: ""
        await node.running("a", within_s=31)


@pytest.mark.parametrize("what", ["_c_a_", "_POD_a_"])
def test_what_docker_cannot_remove_is_tried_again_ever_more_slowly_and_told(what: str):
    async def test() -> None:
        async with a_node() as (node, engine):
            await node.assign(given_pod("a"), given_pod("b"))
            await node.running("a", "b")
            tries: list[int] = []

            def refuse(verb: str, name: str) -> str:
                if verb == "remove" and what in name:
                    tries.append(now_ms())
                    return "device or resource busy"
                return ""

            engine.fails = refuse
            await node.assign(given_pod("a", delete_grace_s=0), given_pod("b"))
            await asyncio.sleep(120)
            assert 6 <= len(tries) <= 10
            assert node.reasons().count("FailedKillPod") == len(tries)
            engine.fails = lambda _verb, _name: ""
            await node.until(lambda r: (found := pod(r, "a")) and found.is_gone, within_s=31)
            assert [c.pod.name for c in engine.containers] == ["b"]

    virtual_time.run(test())


@on_virtual_time
async def test_the_pool_is_filled_and_refilled():
    async with a_node(sandbox_pool=3) as (node, engine):

        async def stock() -> int:
            return sum(s.pod is None and s.state is State.RUNNING for s in engine.sandboxes)

        await asyncio.sleep(5)
        assert await stock() == 3
        await node.assign(*(given_pod(f"p{n}") for n in range(5)))
        await node.running(*(f"p{n}" for n in range(5)))
        await asyncio.sleep(5)
        assert await stock() == 3
        await node.kill()
        await node.start()
        await asyncio.sleep(5)
        assert await stock() == 3  # adopted, not made again


@on_virtual_time
async def test_a_report_is_sent_again_when_it_is_asked_for():
    async with a_node() as (node, _engine):
        await node.assign(given_pod("a"))
        await node.running("a")
        await asyncio.sleep(5)
        count, version = len(node.reports), node.reports[-1].version
        await asyncio.sleep(60)
        assert len(node.reports) == count  # nothing changed
        await node.control.publish(
            subjects.report_request(NODE), codec.encode(ReportRequest(epoch=1))
        )
        await node.until(lambda r: r.version > version, within_s=1)
        assert node.reports[-1].pods == node.reports[-2].pods
        await asyncio.sleep(1)
        assert node.beats[-1].report_version == node.reports[-1].version


@on_virtual_time
async def test_the_agent_says_goodbye_and_leaves_its_containers():
    async with a_node() as (node, engine):
        await node.assign(given_pod("a"))
        await node.running("a")
        await node.agent.say_goodbye()
        await node.kill()
        await node.until(lambda r: r.is_leaving, within_s=1)
        assert [c.state for c in engine.containers] == [State.RUNNING]


@on_virtual_time
async def test_another_host_is_knocked_at_when_the_control_plane_asks():
    async with a_node() as (node, _engine):
        for address, is_alive in (("10.0.0.2:9", True), ("10.0.0.3:9", False)):
            request = ProbeRequest(node="other", address=address)
            answer = await node.control.request(
                subjects.probe(NODE), codec.encode(request), timeout_s=1
            )
            found = codec.decode(answer, ProbeReply)
            assert (found.node, found.by, found.is_reachable) == ("other", NODE, is_alive)


@on_virtual_time
async def test_random_bytes_on_any_subject_are_counted_and_otherwise_ignored():
    async with a_node() as (node, engine):
        await node.assign(given_pod("a"))
        await node.running("a")
        rng = random.Random(7)
        for subject in (
            subjects.assignment,
            subjects.report_request,
            subjects.probe,
            subjects.open_stream,
        ):
            for size in (0, 1, 20, 2000):
                await node.control.publish(subject(NODE), rng.randbytes(size))
            await node.control.publish(subject(NODE), b'{"node": 7}')
            await node.control.publish(subject(NODE), b"[" * 100_000)
        await asyncio.sleep(5)
        assert node.agent.rejected >= 12
        assert [c.state for c in engine.containers] == [State.RUNNING]
        await node.assign()
        async with asyncio.timeout(120):
            while engine.containers:
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("seed", range(25))
def test_the_node_ends_up_as_assigned_whatever_goes_wrong_on_the_way(seed: int):
    async def test() -> None:
        rng = random.Random(seed)
        async with a_node(seed, sandbox_pool=rng.randrange(4), resync_s=5.0) as (node, engine):
            names = [f"p{n}" for n in range(6)]
            pods: dict[str, AssignedPod] = {}
            serial = 0
            for _ in range(40):
                match rng.randrange(11):
                    case 0 | 1 | 2:
                        name = rng.choice(names)
                        serial += 1
                        pods[name] = replace(given_pod(name), uid=f"uid-{serial}")
                    case 3 if pods:
                        del pods[rng.choice(sorted(pods))]
                    case 4:
                        await node.kill()
                        await asyncio.sleep(rng.uniform(0, 1))
                        await node.start()
                    case 5:
                        engine.hang()
                        asyncio.get_running_loop().call_later(rng.uniform(0, 90), engine.resume)
                    case 6:
                        engine.stop()
                        asyncio.get_running_loop().call_later(rng.uniform(0, 20), engine.resume)
                    case 7 if running := [c for c in engine.containers if c.state is State.RUNNING]:
                        engine.end(rng.choice(running).id, exit_code=rng.randrange(2))
                    case 8 if engine.containers:
                        engine.vanish(rng.choice(engine.containers).id)
                    case 9 if engine.sandboxes:
                        engine.vanish(rng.choice(engine.sandboxes).id)
                    case 10:
                        engine.crash()
                chance = rng.choice((0.0, 0.0, 0.3))
                engine.fails = lambda verb, _name, chance=chance: (
                    "out of luck" if verb != "look" and rng.random() < chance else ""
                )
                await node.assign(*pods.values())
                await asyncio.sleep(rng.expovariate(1 / 3))
            engine.fails = lambda _verb, _name: ""
            engine.resume()
            await asyncio.sleep(90)
            engine.resume()
            await node.assign(*pods.values())
            report = await settled(node, *pods.values())
            assert {p.uid for p in report.pods} == {p.uid for p in pods.values()}
            attempts = [c.attempt for c in engine.containers]
            await asyncio.sleep(700)
            assert [c.attempt for c in engine.containers] == attempts  # and stays so

    virtual_time.run(test())
