"""The loop of the controllers, and the carrying out of what they decide."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from orchestrator.core.decisions import Bind, Create, Emit, Plan, Remove, UpdateStatus
from orchestrator.runtime.reconcile import RETRY_MAX_S, RETRY_S, Reconciler
from orchestrator.store.memory import MemoryServer
from proto.kinds.event import EVENTS
from proto.kinds.pod import PODS
from proto.kinds.replicaset import REPLICASETS
from tests import virtual_time
from tests.unit.core import making
from tests.unit.runtime.spine import NOW_MS, Performed, Spine, clock, leading, pod, until

Key = tuple[str]


@contextlib.asynccontextmanager
async def running(
    plan: Callable[[Key, int], Plan], perform: Callable[[Any], Awaitable[int]] | None = None
) -> AsyncIterator[Reconciler[Key]]:
    reconciler: Reconciler[Key] = Reconciler("test", plan, perform or Performed(), clock)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(reconciler.run())
        yield reconciler
        task.cancel()


def now() -> float:
    return asyncio.get_running_loop().time()


def test_a_key_that_rings_often_is_looked_at_once():
    async def main() -> None:
        looked: list[Key] = []

        def plan(key: Key, now_ms: int) -> Plan:
            assert now_ms == clock()
            looked.append(key)
            return Plan()

        async with running(plan) as reconciler:
            for _ in range(50):
                reconciler.ring(("a",))
                reconciler.ring(("b",))
            await asyncio.sleep(1)
            assert sorted(looked) == [("a",), ("b",)]
            reconciler.ring(("a",))
            await asyncio.sleep(1)
            assert len(looked) == 3

    virtual_time.run(main())


def test_passes_of_one_key_never_overlap_and_passes_of_different_keys_do():
    async def main() -> None:
        at_work: list[str] = []
        most = 0
        plans: list[Key] = []

        def plan(key: Key, _now_ms: int) -> Plan:
            plans.append(key)
            return Plan((Emit(PODS, pod(key[0]), "Normal", "", ""),))

        async def perform(decisions: Any) -> int:
            nonlocal most
            (decision,) = decisions
            name = decision.object.metadata.name
            assert name not in at_work
            at_work.append(name)
            most = max(most, len(at_work))
            await asyncio.sleep(1)
            at_work.remove(name)
            return 0

        async with running(plan, perform) as reconciler:
            for key in "abc":
                reconciler.ring((key,))
            await asyncio.sleep(0.5)
            for _ in range(5):  # rung during its pass: one more follows
                reconciler.ring(("a",))
            await until(lambda: len(plans) == 4 and not at_work)
            await asyncio.sleep(10)
            assert most == 3
            assert plans.count(("a",)) == 2

    virtual_time.run(main())


def test_a_pass_that_failed_is_repeated_ever_more_slowly_until_it_succeeds():
    async def main() -> None:
        times: list[float] = []

        def plan(_key: Key, _now_ms: int) -> Plan:
            times.append(now())
            return Plan()

        perform = Performed()
        perform.failures_left = 10
        async with running(plan, perform) as reconciler:
            reconciler.ring(("a",))
            await until(lambda: perform.passes == 11)
            waits = [later - before for before, later in itertools.pairwise(times)]
            wanted = [min(RETRY_MAX_S, RETRY_S * 2**n) for n in range(10)]
            assert waits == pytest.approx(wanted, abs=0.001)
            await asyncio.sleep(100)
            assert len(times) == 11
            perform.failures_left = 1
            reconciler.ring(("a",))
            await until(lambda: perform.passes == 13)
            assert times[12] - times[11] == pytest.approx(RETRY_S, abs=0.001)

    virtual_time.run(main())


def test_a_poisonous_object_stops_nobody_else_whether_it_breaks_the_plan_or_its_carrying_out():
    async def main() -> None:
        seen: list[str] = []

        def plan(key: Key, _now_ms: int) -> Plan:
            if key == ("bad plan",):
                raise ZeroDivisionError
            return Plan((Emit(PODS, pod(key[0]), "Normal", "", ""),))

        async def perform(decisions: Any) -> int:
            (decision,) = decisions
            if decision.object.metadata.name == "bad deed":
                raise KeyError
            seen.append(decision.object.metadata.name)
            return 0

        async with running(plan, perform) as reconciler:
            for key in ("bad plan", "bad deed", "good"):
                reconciler.ring((key,))
            await asyncio.sleep(0.3)
            reconciler.ring(("late",))
            await asyncio.sleep(0.1)
            assert seen == ["good", "late"]
            assert reconciler._failures == {("bad plan",): 4, ("bad deed",): 4}

    virtual_time.run(main())


def test_a_key_is_looked_at_when_its_plan_says_and_not_when_an_earlier_one_said():
    async def main() -> None:
        times: list[int] = []
        wakes = iter([NOW_MS + 5_000, NOW_MS + 9_000, NOW_MS + 30_000, None])

        def plan(_key: Key, now_ms: int) -> Plan:
            times.append(now_ms - NOW_MS)
            return Plan(wake_at_ms=next(wakes))

        async with running(plan) as reconciler:
            reconciler.ring(("a",))
            await asyncio.sleep(2)
            reconciler.ring(("a",))
            await asyncio.sleep(8)
            reconciler.ring(("a",))
            await asyncio.sleep(100)
            assert times == pytest.approx([0, 2_000, 9_000, 10_000], abs=2)

    virtual_time.run(main())


def test_the_next_term_takes_up_what_this_one_left():
    async def main() -> None:
        seen: list[Key] = []

        def plan(key: Key, _now_ms: int) -> Plan:
            seen.append(key)
            return Plan((Emit(PODS, pod("a"), "Normal", "", ""),))

        async def perform(_decisions: Any) -> int:
            await asyncio.sleep(10)
            return 0

        reconciler: Reconciler[Key] = Reconciler("test", plan, perform, clock)
        for expected in (1, 2):
            async with asyncio.TaskGroup() as tasks:
                task = tasks.create_task(reconciler.run())
                reconciler.ring(("a",))
                await asyncio.sleep(1)
                assert len(seen) == expected
                task.cancel()
        reconciler.ring(("a",))  # between two terms
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(reconciler.run())
            await asyncio.sleep(1)
            assert len(seen) == 3
            task.cancel()

    virtual_time.run(main())


def test_decisions_are_carried_out_in_one_transaction_each_failing_on_its_own():
    async def main() -> None:
        async with leading() as (spine, _):
            stale = await spine.create(PODS, pod("stale"))
            doomed = await spine.create(PODS, pod("doomed"))
            bare = await spine.create(PODS, pod("bare"))
            await spine.verbs.delete(PODS, "default", "stale")
            await spine.create(PODS, pod("stale"))
            before = spine.server.revision
            failed = await spine.perform(
                (
                    Create(PODS, pod("new"), "wanted"),
                    Create(PODS, pod("bare"), "there already"),
                    Create(PODS, pod("Bad Name"), "invalid"),
                    Remove(PODS, doomed, "unwanted"),
                    Remove(PODS, stale, "another by now"),
                    Bind(PODS, making.bound(bare, "n1"), "to n1"),
                    UpdateStatus(PODS, bare, "as it is"),
                )
            )
            assert failed == 3
            assert spine.server.revision == before + 1
            assert [found.metadata.name for found in spine.world.objects(PODS)] == [
                "bare",
                "new",
                "stale",
            ]
            assert [found.metadata.name for found in spine.world.pods_on("n1")] == ["bare"]

    virtual_time.run(main())


def test_a_creation_is_announced_under_its_generated_name_once_it_is_made():
    async def main() -> None:
        async with leading() as (spine, tasks):
            spine.run(tasks, spine.recorder.run())
            owner = making.replicaset()
            told = Emit(REPLICASETS, owner, "Normal", "SuccessfulCreate", "Created pod: {name}")
            invalid = making.replace(pod("x"), spec=making.replace(pod("x").spec, containers=()))
            generated = making.replace(
                pod(""),
                metadata=making.replace(pod("").metadata, generate_name="web-"),
            )
            await spine.perform(
                (
                    Create(PODS, generated, "", announce=told),
                    Create(PODS, invalid, "", announce=told),
                )
            )
            (made,) = spine.world.objects(PODS)
            await until(lambda: spine.world.count(EVENTS))
            (event,) = spine.world.objects(EVENTS)
            assert event.message == f"Created pod: {made.metadata.name}"
            assert event.count == 1

    virtual_time.run(main())


def test_when_nobody_leads_every_decision_fails_and_none_breaks_the_loop():
    async def main() -> None:
        spine = Spine(MemoryServer())
        decisions = [Remove(PODS, making.pod(name), "") for name in "ab"]
        assert await spine.perform(decisions) == 2

    virtual_time.run(main())
