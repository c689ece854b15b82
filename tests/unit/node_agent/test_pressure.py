"""A node that runs low says so, and ends pods in the kubelet's order."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, strategies as st
from msgspec.structs import replace

from node_agent.core.actions import render
from node_agent.core.image_gc import Space
from node_agent.core.observed import Ended, State, by_pod
from node_agent.core.pressure import (
    CRITICAL,
    DISK,
    MEMORY,
    SIGNALS,
    THRESHOLDS,
    Candidate,
    Level,
    Met,
    conditions,
    evicted,
    judged,
    met,
    victim,
    wrong,
)
from node_agent.core.status import over, pod_status
from node_agent.core.usage import Sample
from node_agent.engine.fake import FakeEngine
from node_agent.host import Machine
from proto.kinds.container import Container, ResourceRequirements
from tests.unit.node_agent.given import (
    IMAGE,
    NODE,
    NOW_MS,
    container,
    key,
    observed,
    planned,
    pod as given_pod,
    sandbox,
    spec,
)
from tests.unit.node_agent.node import Node, pod
from tests.unit.node_agent.test_loop import now_ms, on_virtual_time

MIB = 1 << 20
LOW = Met("memory.available", 100 * MIB, 50 * MIB)
FIVE_MINUTES_MS = 300_000


def asking(memory: str = "", name: str = "c") -> Container:
    requests = {"memory": memory} if memory else {}
    return spec(name, resources=ResourceRequirements(requests=requests))


def candidate(uid: str, used_mib: int, memory: str = "", priority: int = 0) -> Candidate:
    return Candidate(uid, (asking(memory),), priority, {"c": used_mib * MIB})


# ------------------------------------------------------------------------ rules


def test_a_threshold_is_an_amount_or_a_share_and_memory_comes_first():
    levels = {
        "imagefs.available": Level(14, 100),
        "nodefs.available": Level(10, 100),
        "memory.available": Level(100 * MIB - 1, 1 << 30),
        "nodefs.inodesFree": Level(0, 0),  # btrfs counts none
    }
    assert [m.signal for m in met(levels, THRESHOLDS)] == ["memory.available", "imagefs.available"]
    assert met(levels, {"memory.available": "0", "nodefs.available": "0%"}) == []


@pytest.mark.parametrize(
    ("thresholds", "says"),
    [
        ({"memory": "1Mi"}, "memory is none of"),
        ({"nodefs.available": "much"}, "neither a quantity nor a percentage"),
        ({"nodefs.available": "x%"}, "neither a quantity nor a percentage"),
    ],
)
def test_thresholds_that_mean_nothing_are_refused(thresholds: dict[str, str], says: str):
    assert says in wrong(thresholds)[0]
    assert wrong(THRESHOLDS) == []


def test_a_condition_outlives_its_cause_by_five_minutes():
    first = judged({}, [], FIVE_MINUTES_MS, NOW_MS)
    assert [c.status for c in conditions(first)] == ["False"] * 3
    low = judged(first, [LOW], FIVE_MINUTES_MS, NOW_MS + 1000)
    memory, *others = conditions(low)
    assert (memory.type, memory.status) == ("MemoryPressure", "True")
    assert memory.reason == "KubeletHasInsufficientMemory"
    assert {c.status for c in others} == {"False"}
    later = judged(low, [], FIVE_MINUTES_MS, NOW_MS + 300_999)
    assert later["MemoryPressure"].holds
    over = judged(later, [], FIVE_MINUTES_MS, NOW_MS + 301_000)
    assert not over["MemoryPressure"].holds
    assert over["MemoryPressure"].since_ms == NOW_MS + 301_000


def test_who_uses_more_than_was_asked_for_goes_before_who_is_less_important():
    within = candidate("within", 90, "100Mi", priority=-5)
    over = candidate("over", 110, "100Mi", priority=7)
    assert victim([within, over], MEMORY) == over


def test_then_priority_decides_and_then_the_excess():
    low, high = candidate("low", 10, priority=1), candidate("high", 500, priority=2)
    assert victim([high, low], MEMORY) == low
    assert victim([low, replace(low, uid="more", used={"c": 20 * MIB})], MEMORY).uid == "more"


def test_nobody_critical_goes():
    assert victim([candidate("system", 1000, priority=CRITICAL)], MEMORY) is None


@given(
    st.lists(
        st.builds(
            candidate,
            st.uuids().map(str),
            st.integers(0, 300),
            st.sampled_from(["", "100Mi"]),
            st.integers(0, 3),
        ),
        unique_by=lambda c: c.uid,
    ),
    st.randoms(),
)
def test_who_goes_does_not_depend_on_the_order(candidates: list[Candidate], rng: random.Random):
    shuffled = list(candidates)
    rng.shuffle(shuffled)
    assert victim(candidates, MEMORY) == victim(shuffled, MEMORY)


def test_the_message_is_the_kubelets():
    found = Candidate(
        "u", (asking("1Mi", "main"), asking("1Gi", "idle")), 0, {"main": 2 * MIB, "idle": 0}
    )
    assert evicted(found, LOW, 1, NOW_MS).message == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. "
        "Container main was using 2Mi, request is 1Mi, has larger consumption of memory. "
    )


# -------------------------------------------------------- a pod that was ended


def test_a_pod_that_is_over_is_taken_down_and_never_started_again():
    over = {"uid-web": Ended("Evicted", "low", 1, NOW_MS)}
    seen = observed(sandbox(), container(), ended=over)
    assert render(planned([given_pod()], seen)).startswith("SIGTERM web/c")
    signalled = observed(
        sandbox(), container(), ended=over, signalled_at_ms={"web-c-0": NOW_MS - 1000}
    )
    assert render(planned([given_pod()], signalled)) == "kill web/c: deleted"
    dead = observed(sandbox(), container(state=State.EXITED, exit_code=137), ended=over)
    assert render(planned([given_pod()], dead)) == (
        "remove web-c-0: deleted\nremove sandbox box-web: deleted"
    )
    assert planned([given_pod()], observed(ended=over)).actions == ()


def test_its_status_says_so_once_nothing_of_it_runs():
    end = Ended("Evicted", "low", 1, NOW_MS)

    def status(*found: object) -> object:
        view = by_pod(observed(sandbox(), *found)).get(key())
        going = given_pod(delete_grace_s=1)
        found = pod_status(going, view, {}, host_ip="10.0.0.1", accepted_at_ms=NOW_MS)
        return over(found, end)

    assert (status(container()).phase, status(container()).reason) == ("Running", "")
    failed = status(container(state=State.EXITED, exit_code=137))
    assert (failed.phase, failed.reason, failed.message) == ("Failed", "Evicted", "low")
    assert failed.container_statuses[0].state.terminated.exit_code == 137
    gone = status()
    assert gone.phase == "Failed"
    assert gone.container_statuses[0].state.terminated.reason == "ContainerStatusUnknown"


# ------------------------------------------------------------------- the agent


class Scarce(Machine):
    """A machine whose levels a test sets."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, Level] = {}
        self.volumes: dict[str, int] = {}

    async def usage(self) -> Sample | None:
        return None

    async def space(self, path: str) -> Space | None:
        return None

    async def levels(self, node_path: str, image_path: str) -> dict[str, Level]:
        return dict(self.found)

    async def bytes_in(self, folder: str) -> int:
        return self.volumes.get(folder.rpartition("/")[2], 0)


@asynccontextmanager
async def a_node(machine: Machine, **settings: object) -> AsyncIterator[tuple[Node, FakeEngine]]:
    engine = FakeEngine(NODE, now_ms, random.Random(1), images=[IMAGE])
    async with asyncio.TaskGroup() as tasks:
        node = Node(engine, now_ms, tasks, machine=machine, sandbox_pool=0, **settings)
        await node.listen()
        await node.start()
        try:
            yield node, engine
        finally:
            await node.stop()


def statuses(node: Node) -> list[str]:
    return [c.status for c in node.reports[-1].facts.conditions]


def failed(node: Node, names: Iterable[str]) -> list[str]:
    return [n for n in names if pod(node.reports[-1], n).status.phase == "Failed"]


@on_virtual_time
async def test_pods_go_one_by_one_until_there_is_enough_and_stay_gone_in_another_agent():
    machine = Scarce()
    async with a_node(machine, usage_period_s=1) as (node, engine):
        pods = [
            given_pod("modest", asking("64Mi")),
            given_pod("greedy", asking("64Mi")),
            given_pod("wild"),
        ]
        uses = {"modest": 32, "greedy": 80, "wild": 64}

        def measure() -> None:
            running = [c.pod.name for c in engine.containers if c.state is State.RUNNING]
            free = 200 - sum(uses[name] for name in running)
            machine.found = {"memory.available": Level(free * MIB, 200 * MIB)}

        engine.burns = lambda c: (1, uses[c.pod.name] * MIB)
        engine.on_start = lambda _: measure()
        await node.assign(*pods)
        await node.running("modest", "greedy", "wild")
        measure()
        await node.until(lambda r: pod(r, "wild").status.phase == "Failed", 60)
        measure()
        assert failed(node, uses) == ["wild"]  # 64 MiB more than it asked for
        status = pod(node.reports[-1], "wild").status
        assert status.reason == "Evicted"
        assert status.message.endswith(
            "Container c was using 64Mi, request is 0, has larger consumption of memory. "
        )
        await node.until(lambda r: pod(r, "greedy").status.phase == "Failed", 60)
        measure()
        await asyncio.sleep(60)
        assert failed(node, uses) == ["greedy", "wild"]
        assert statuses(node) == ["True", "False", "False"]
        await node.kill()
        await node.start()
        await asyncio.sleep(30)
        assert failed(node, uses) == ["greedy", "wild"]
        assert [c.pod.name for c in engine.containers] == ["modest"]
        assert {"Evicted", "EvictionThresholdMet", "NodeHasInsufficientMemory"} <= set(
            node.reasons()
        )
        await asyncio.sleep(300)
        assert statuses(node) == ["False"] * 3


@on_virtual_time
async def test_a_full_disk_takes_the_pod_that_filled_it():
    machine = Scarce()
    async with a_node(machine) as (node, engine):
        await node.assign(*(given_pod(name) for name in ("log", "room", "idle")))
        await node.running("log", "room", "idle")
        engine.writes = lambda found: 5 * MIB if found.pod.name == "log" else 0
        machine.volumes = {"uid-room": 50 * MIB}
        machine.found = {"nodefs.available": Level(9, 100)}
        await node.until(lambda r: pod(r, "room").status.phase == "Failed", 60)
        machine.found = {"nodefs.available": Level(50, 100)}
        await asyncio.sleep(60)
        assert failed(node, ("log", "room", "idle")) == ["room"]
        assert "The node was low on resource: ephemeral-storage." in (
            pod(node.reports[-1], "room").status.message
        )


def test_what_is_measured_is_what_thresholds_are_for():
    assert SIGNALS.keys() == THRESHOLDS.keys()
    assert set(SIGNALS.values()) >= {MEMORY, DISK}


async def test_a_real_machine_tells_all_levels(tmp_path):
    levels = await Machine().levels(str(tmp_path), str(tmp_path))
    assert levels.keys() == SIGNALS.keys()
    for level in levels.values():
        assert 0 <= level.available <= level.capacity
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(b"x" * 100_000)
    assert 100_000 <= await Machine().bytes_in(str(tmp_path)) < 200_000


@on_virtual_time
async def test_a_host_that_goes_off_ends_its_pods_within_the_period_and_they_stay_over():
    async with a_node(Scarce(), shutdown_grace_period_s=20) as (node, engine):
        engine.ignores_signals = lambda c: c.pod.name == "deaf"
        await node.assign(given_pod("web"), given_pod("deaf"))
        await node.running("web", "deaf")
        began_ms = now_ms()
        await node.agent.shut_down()
        assert 20_000 <= now_ms() - began_ms < 25_000
        await node.until(lambda r: not engine.containers and r.facts.is_shutting_down, 30)
        assert failed(node, ("web", "deaf")) == ["web", "deaf"]
        status = pod(node.reports[-1], "web").status
        assert status.reason == "Terminated"
        assert status.message == "Pod was terminated in response to imminent node shutdown."
        await node.kill()
        await node.start()
        await node.until(lambda r: not r.facts.is_shutting_down, 30)
        await asyncio.sleep(10)
        assert engine.containers == ()
