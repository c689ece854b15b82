"""Evictions against budgets that several ask at once."""

import asyncio

from msgspec.structs import replace

from orchestrator.runtime.controllers import Controllers
from orchestrator.runtime.evictions import Evictions
from proto.errors import NotNow
from proto.kinds.disruption import (
    DISRUPTION_BUDGETS,
    PodDisruptionBudget,
    PodDisruptionBudgetSpec,
)
from proto.kinds.node import NODES
from proto.kinds.pod import PODS
from proto.kinds.replicaset import REPLICASETS
from proto.meta import Condition, LabelSelector, ObjectMeta, condition
from tests import virtual_time
from tests.unit.core.making import replicaset
from tests.unit.runtime.spine import Spine, clock, leading, node, pod, until

READY = (Condition(type="Ready", status="True"),)


def budget(**spec):
    selector = LabelSelector(match_labels={"app": "web"})
    return PodDisruptionBudget(
        metadata=ObjectMeta(name="b", namespace="default"),
        spec=PodDisruptionBudgetSpec(selector=selector, **spec),
    )


def allowed(spine: Spine) -> int:
    found = spine.world.get(DISRUPTION_BUDGETS, "default", "b")
    assert found is not None
    return found.status.disruptions_allowed


async def make_ready(spine: Spine, *names: str, owner: str = "") -> None:
    await spine.create(NODES, node("n1"))
    for name in names:
        await spine.create(PODS, pod(name, owner=owner, node="n1"))
        await spine.verbs.modify(
            PODS,
            "default",
            name,
            lambda found: replace(
                found, status=replace(found.status, phase="Running", conditions=READY)
            ),
            subresource="status",
        )


async def outcome(evictions: Evictions, name: str) -> str:
    try:
        await evictions.evict("default", name)
    except NotNow:
        return "refused"
    return "evicted"


def test_a_budget_of_one_lets_one_of_many_go_however_many_ask_and_where():
    async def scene() -> None:
        async with leading() as (spine, tasks):
            names = [f"p{index}" for index in range(8)]
            await make_ready(spine, *names)
            await spine.create(DISRUPTION_BUDGETS, budget(min_available=7))
            controllers = Controllers(spine.world, spine.perform, clock)
            looking = spine.run(tasks, controllers.run())
            await until(lambda: allowed(spine) == 1, "it is counted")
            looking.cancel()  # nobody counts anew: the races are for what one count allows
            doors = [Evictions(spine.world, spine.verbs, clock) for _ in names]
            async with asyncio.TaskGroup() as asking:
                asked = [
                    asking.create_task(outcome(door, name))
                    for door, name in zip(doors, names, strict=True)
                ]
            assert sorted(task.result() for task in asked) == ["evicted", *["refused"] * 7]
            going = [
                found for found in spine.world.objects(PODS) if found.metadata.deletion_timestamp
            ]
            assert len(going) == 1
            assert condition(going[0].status.conditions, "DisruptionTarget") is not None
            left = spine.world.get(DISRUPTION_BUDGETS, "default", "b")
            assert list(left.status.disrupted_pods) == [going[0].metadata.name]
            # Both were written by one transaction.
            versions = [int(f.metadata.resource_version) for f in (left, going[0])]
            assert versions[0] // 128 == versions[1] // 128

    virtual_time.run(scene())


def test_a_drain_of_many_is_served_in_turn_while_the_budget_lasts():
    async def scene() -> None:
        async with leading() as (spine, tasks):
            names = [f"p{index:02}" for index in range(30)]
            await make_ready(spine, *names)
            await spine.create(DISRUPTION_BUDGETS, budget(min_available=10))
            spine.run(tasks, Controllers(spine.world, spine.perform, clock).run())
            await until(lambda: allowed(spine) == 20, "it is counted")
            evictions = Evictions(spine.world, spine.verbs, clock)
            async with asyncio.TaskGroup() as asking:
                asked = [asking.create_task(outcome(evictions, name)) for name in names]
            found = [task.result() for task in asked]
            assert (found.count("evicted"), found.count("refused")) == (20, 10)

    virtual_time.run(scene())


def test_what_a_dry_run_would_do_is_counted_by_nobody():
    async def scene() -> None:
        async with leading() as (spine, tasks):
            await make_ready(spine, "a", "b")
            await spine.create(DISRUPTION_BUDGETS, budget(min_available=1))
            spine.run(tasks, Controllers(spine.world, spine.perform, clock).run())
            await until(lambda: allowed(spine) == 1, "it is counted")
            evictions = Evictions(spine.world, spine.verbs, clock)
            await evictions.evict("default", "a", dry_run=True)
            assert allowed(spine) == 1
            assert not any(p.metadata.deletion_timestamp for p in spine.world.objects(PODS))
            await evictions.evict("default", "a")
            await until(lambda: allowed(spine) == 0)
            assert await outcome(evictions, "b") == "refused"

    virtual_time.run(scene())


def test_a_share_follows_the_replica_set_that_owns_the_pods():
    async def scene() -> None:
        async with leading() as (spine, tasks):
            made = await spine.create(REPLICASETS, replicaset(2))
            await make_ready(spine, "a", "b", owner=made.metadata.uid)
            await spine.create(DISRUPTION_BUDGETS, budget(max_unavailable="50%"))
            spine.run(tasks, Controllers(spine.world, spine.perform, clock).run())
            await until(lambda: allowed(spine) == 1, "it is counted")
            found = spine.world.get(DISRUPTION_BUDGETS, "default", "b")
            assert (found.status.expected_pods, found.status.desired_healthy) == (2, 1)

    virtual_time.run(scene())
