"""Quotas where they are kept: in the writer, and in what replica sets say of refusals."""

import asyncio

from hypothesis import given, settings, strategies as st
from msgspec.structs import replace

from orchestrator.runtime.controllers import Controllers
from proto.errors import Forbidden
from proto.kinds.event import EVENTS
from proto.kinds.pod import PODS
from proto.kinds.quota import (
    PRIORITY_CLASSES,
    RESOURCE_QUOTAS,
    SYSTEM_CLASSES,
    ResourceQuota,
    ResourceQuotaSpec,
)
from proto.kinds.replicaset import REPLICASETS
from proto.meta import ObjectMeta, condition
from tests import virtual_time
from tests.unit.core.making import replicaset
from tests.unit.runtime.spine import Spine, clock, leading, pod, until

ONLY_PODS = "exceeded quota: few, requested: pods=1, used: pods={used}, limited: pods={hard}"


def few(count: int) -> ResourceQuota:
    meta = ObjectMeta(name="few", namespace="default")
    return ResourceQuota(metadata=meta, spec=ResourceQuotaSpec(hard={"pods": str(count)}))


async def attempt(spine: Spine, name: str) -> str:
    try:
        await spine.create(PODS, pod(name))
    except Forbidden as error:
        return str(error)
    return ""


@settings(max_examples=20, deadline=None)
@given(hard=st.integers(0, 6), bursts=st.lists(st.integers(1, 8), min_size=1, max_size=4))
def test_a_quota_is_used_up_and_never_exceeded_however_writes_meet(hard, bursts):
    async def main() -> None:
        async with leading() as (spine, _):
            await spine.create(RESOURCE_QUOTAS, few(hard))
            wanted = 0
            for number, burst in enumerate(bursts):
                names = [f"p{number}-{index}" for index in range(burst)]
                async with asyncio.TaskGroup() as group:
                    tried = [group.create_task(attempt(spine, name)) for name in names]
                wanted += burst
                assert spine.world.count(PODS) == min(hard, wanted)
                said = [task.result() for task in tried if task.result()]
                expected = ONLY_PODS.format(used=hard, hard=hard)
                assert all(text.endswith(expected) for text in said)

    virtual_time.run(main())


def test_a_dry_run_hears_of_the_quota():
    async def main() -> None:
        async with leading() as (spine, _):
            await spine.create(RESOURCE_QUOTAS, few(0))
            try:
                await spine.verbs.create(PODS, pod("a"), dry_run=True)
            except Forbidden as error:
                assert str(error).endswith(ONLY_PODS.format(used=0, hard=0))
            else:
                raise AssertionError("it passed")

    virtual_time.run(main())


def test_a_replica_set_that_may_not_make_its_pods_says_so_until_it_may():
    async def main() -> None:
        async with leading() as (spine, tasks):
            controllers = Controllers(spine.world, spine.perform, clock)
            await spine.create(RESOURCE_QUOTAS, few(2))
            spine.run(tasks, controllers.run())
            spine.run(tasks, spine.recorder.run())
            await spine.create(REPLICASETS, replicaset(3))

            def failure():
                found = spine.world.get(REPLICASETS, "default", "web")
                return condition(found.status.conditions, "ReplicaFailure")

            await until(failure, "the condition")
            assert (failure().status, failure().reason) == ("True", "FailedCreate")
            expected = ONLY_PODS.format(used=2, hard=2)
            assert failure().message.endswith(f'" is forbidden: {expected}')
            await until(
                lambda: [e for e in spine.world.objects(EVENTS) if e.reason == "FailedCreate"]
            )
            assert spine.world.count(PODS) == 2
            told = spine.world.get(RESOURCE_QUOTAS, "default", "few").status
            assert (told.hard, told.used) == ({"pods": "2"}, {"pods": "2"})
            wider = replace(few(3).spec)
            await spine.verbs.modify(
                RESOURCE_QUOTAS, "default", "few", lambda old: replace(old, spec=wider)
            )
            await until(lambda: spine.world.count(PODS) == 3 and failure() is None)

    virtual_time.run(main())


def test_every_cluster_has_the_systems_priority_classes():
    async def main() -> None:
        async with leading() as (spine, tasks):
            controllers = Controllers(spine.world, spine.perform, clock)
            spine.run(tasks, controllers.run())
            await until(lambda: spine.world.count(PRIORITY_CLASSES) == 2)
            await spine.verbs.delete(PRIORITY_CLASSES, "", "system-node-critical")
            await until(lambda: spine.world.count(PRIORITY_CLASSES) == 2)
            found = {c.metadata.name: c.value for c in spine.world.objects(PRIORITY_CLASSES)}
            assert found == SYSTEM_CLASSES

    virtual_time.run(main())
