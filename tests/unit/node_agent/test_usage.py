"""What is used: from two looks to a figure, each at its moment, told once in a period and when new."""

import asyncio
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from node_agent.core import usage
from node_agent.core.usage import AGAIN_MS, NODE, Sample, Track
from node_agent.engine.fake import FakeEngine
from node_agent.host import Machine
from proto import codec, subjects
from proto.messages import NodeUsage, Usage
from tests.unit.node_agent import given
from tests.unit.node_agent.node import Node
from tests.unit.node_agent.test_loop import a_node, on_virtual_time

PERIOD_MS = 15_000
SECOND_NS = 1_000_000_000


def sample(at_s: float, cpu_s: float, memory_bytes: int = 1) -> Sample:
    return Sample(int(at_s * SECOND_NS), int(cpu_s * SECOND_NS), memory_bytes)


def test_what_two_looks_differ_by_is_the_use_over_the_time_between_them():
    assert usage.between(sample(10, 4, 7), sample(12, 5, 9)) == Usage(
        at_ms=12_000, window_ms=2_000, cpu_nano=500_000_000, memory_bytes=9
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (sample(10, 4), sample(10, 4)),
        (sample(10, 4), sample(9, 5)),  # the clock was set back
        (sample(10, 4), sample(10.05, 5)),
        (sample(10, 4), sample(12, 3)),  # it was started again
    ],
)
def test_looks_that_say_nothing_make_no_figure(before: Sample, after: Sample):
    assert usage.between(before, after) is None


def test_what_is_new_is_looked_at_twice_in_a_row_and_then_once_in_each_period():
    track, now_ms, looks = Track(due_ms=500), 500, []
    for _ in range(6):
        looks.append(now_ms)
        track = usage.advance("id", track, sample(now_ms / 1000, now_ms / 4000), now_ms, PERIOD_MS)
        now_ms = track.due_ms
    assert looks[1] - looks[0] == AGAIN_MS
    assert PERIOD_MS / 2 <= looks[2] - looks[1] < PERIOD_MS * 1.5
    assert {b - a for a, b in pairwise(looks[2:])} == {PERIOD_MS}
    assert track.usage.cpu_nano == 250_000_000


def test_the_moments_of_many_spread_over_the_period():
    due = [
        usage.advance(str(n), Track(0, sample(0, 0)), sample(1, 0), 1_000, PERIOD_MS).due_ms
        for n in range(300)
    ]
    by_second = [sum(at // 1_000 == second for at in due) for second in range(8, 24)]
    assert sum(by_second) == 300
    assert max(by_second) < 40


def test_who_could_not_be_looked_at_has_no_figure_until_it_could_twice():
    known = Track(0, sample(0, 0), Usage(at_ms=0, window_ms=1, cpu_nano=1, memory_bytes=1))
    failed = usage.advance("id", known, None, 1_000, PERIOD_MS)
    assert (failed.sample, failed.usage) == (None, None)
    assert failed.due_ms >= 1_000 + PERIOD_MS / 2  # no sooner than the others
    once = usage.advance("id", failed, sample(20, 1), 20_000, PERIOD_MS)
    assert once.usage is None
    assert usage.advance("id", once, sample(21, 1), 21_000, PERIOD_MS).usage is not None


def test_what_is_due_longest_comes_first_and_what_has_gone_is_forgotten():
    tracks = usage.follow({"a": Track(50), "gone": Track(1)}, ["a", "b", "c"], 40)
    assert tracks == {"a": Track(50), "b": Track(40), "c": Track(40)}
    assert usage.due(tracks, 39) == []
    assert usage.due(tracks, 40) == ["b", "c"]
    assert usage.due(tracks, 60) == ["b", "c", "a"]


def figure(at_ms: int, cpu_nano: int, memory_bytes: int) -> Track:
    return Track(
        0,
        Sample(0, 0, 0),
        Usage(at_ms=at_ms, window_ms=at_ms, cpu_nano=cpu_nano, memory_bytes=memory_bytes),
    )


def test_a_machine_that_cannot_be_seen_uses_what_its_containers_do():
    containers = {"a": figure(2_000, 3, 10), "b": figure(1_000, 4, 20)}
    assert usage.total({NODE: Track(0), **containers}) == Usage(
        at_ms=1_000, window_ms=1_000, cpu_nano=7, memory_bytes=30
    )
    assert usage.total({NODE: figure(5, 6, 7), **containers}).cpu_nano == 6
    assert usage.total({NODE: Track(0, Sample(0, 0, 0)), **containers}) is None  # soon
    assert usage.total({NODE: Track(0)}) is None


def test_figures_are_told_by_pod_and_container_and_nothing_of_what_has_none():
    containers = [
        given.container("web", id="1"),
        given.container("web", given.spec("d"), id="2"),
        given.container("db", id="3"),
    ]
    tracks = {"1": figure(1, 1, 1), "2": Track(0), "3": figure(1, 3, 3)}
    found = usage.by_pod(containers, tracks)
    assert {uid: set(pods) for uid, pods in found.items()} == {"uid-web": {"c"}, "uid-db": {"c"}}
    assert found["uid-db"]["c"].cpu_nano == 3


async def heard(node: Node) -> Callable[[], list[NodeUsage]]:
    """What is told from now on."""
    subscription = await node.control.subscribe(subjects.usage("node-1"))
    told: list[NodeUsage] = []

    async def hear() -> None:
        while True:
            told.append(codec.decode((await subscription.get()).payload, NodeUsage))

    node._listeners.append(node._tasks.create_task(hear()))
    return lambda: told


@on_virtual_time
async def test_a_new_container_has_a_figure_within_two_seconds_and_one_in_each_period():
    async with a_node() as (node, engine):
        engine.burns = lambda _: (250, 5 << 20)
        told = await heard(node)
        web = given.pod("web")
        await node.assign(web)
        await node.running("web")
        await asyncio.sleep(2)
        assert [message.period_ms for message in told()] == [PERIOD_MS] * len(told())
        (found,) = [m.pods["uid-web"]["c"] for m in told() if m.pods]
        assert (found.cpu_nano, found.memory_bytes) == (250_000_000, 5 << 20)
        assert found.window_ms == pytest.approx(AGAIN_MS, rel=0.1)
        assert told()[-1].total.cpu_nano == 250_000_000  # no machine: the containers together
        before = len(told())
        await asyncio.sleep(150)
        assert 10 <= len(told()) - before <= 11
        assert told()[-1].pods["uid-web"]["c"].window_ms == pytest.approx(PERIOD_MS, rel=0.01)
        fences = [(message.incarnation, message.version) for message in told()]
        assert fences == sorted(set(fences))


@on_virtual_time
async def test_what_has_ended_is_told_of_no_more():
    async with a_node() as (node, engine):
        told = await heard(node)
        await node.assign(given.pod("web"), given.pod("job", policy="Never"))
        await node.running("web", "job")
        await asyncio.sleep(20)
        assert set(told()[-1].pods) == {"uid-web", "uid-job"}
        engine.end(next(c.id for c in engine.containers if c.pod.name == "job"))
        await asyncio.sleep(20)
        assert set(told()[-1].pods) == {"uid-web"}


@on_virtual_time
async def test_an_engine_that_hangs_leaves_containers_without_figures_and_the_agent_at_work():
    async with a_node(sandbox_pool=0) as (node, engine):
        told = await heard(node)
        await node.assign(given.pod("web"))
        await node.running("web")
        await asyncio.sleep(20)
        assert told()[-1].pods
        engine.hang()
        beats = len(node.beats)
        await asyncio.sleep(40)
        assert not told()[-1].pods
        assert len(node.beats) - beats > 150
        engine.resume()
        await asyncio.sleep(40)
        assert told()[-1].pods


@on_virtual_time
async def test_few_are_looked_at_at_once():
    async with a_node(engine_concurrency=8) as (node, engine):
        looking, most, look = 0, 0, engine.usage

        async def usage_of(id: str) -> Sample:
            nonlocal looking, most
            looking += 1
            most = max(most, looking)
            try:
                return await look(id)
            finally:
                looking -= 1

        engine.usage = usage_of
        pods = [given.pod(f"web-{n}") for n in range(40)]
        told = await heard(node)
        await node.assign(*pods)
        await node.running(*(found.name for found in pods))
        await asyncio.sleep(20)
        assert len(told()[-1].pods) == 40
        assert 1 < most <= 8


@on_virtual_time
async def test_no_period_means_no_looks():
    async with a_node(usage_period_s=0) as (node, _):
        told = await heard(node)
        await node.assign(given.pod("web"))
        await node.running("web")
        await asyncio.sleep(60)
        assert told() == []


async def test_a_node_tells_what_its_machine_uses(tmp_path: Path):
    (tmp_path / "stat").write_text("cpu  100 0 100 800 0 0 0 0 0 0\n")
    (tmp_path / "meminfo").write_text("MemTotal: 1000 kB\nMemAvailable: 400 kB\n")
    engine = FakeEngine("node-1", lambda: given.NOW_MS, random.Random(1))
    async with asyncio.TaskGroup() as tasks:
        node = Node(
            engine, lambda: given.NOW_MS, tasks, machine=Machine(tmp_path), usage_period_s=0.3
        )
        told = await heard(node)
        await node.start()
        async with asyncio.timeout(20):
            while not (told() and told()[-1].total):
                await asyncio.sleep(0.02)
        await node.stop()
    assert (told()[-1].total.cpu_nano, told()[-1].total.memory_bytes) == (0, 600 * 1024)
