"""The scheduler's loop: who waits, who is tried again, and when."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from msgspec.structs import replace

from orchestrator.runtime.scheduler import Scheduler
from orchestrator.store.memory import FINE, Fate
from proto.kinds.container import ResourceRequirements
from proto.kinds.event import EVENTS
from proto.kinds.node import NODES
from proto.kinds.pod import PODS, Pod
from proto.meta import condition
from tests import virtual_time
from tests.unit.runtime.spine import Spine, clock, leading, node, pod, until


def wanting(name: str, cpu: str = "1") -> Pod:
    found = pod(name)
    (container,) = found.spec.containers
    sized = replace(container, resources=ResourceRequirements(requests={"cpu": cpu}))
    return replace(found, spec=replace(found.spec, containers=(sized,)))


@contextlib.asynccontextmanager
async def scheduling() -> AsyncIterator[Spine]:
    async with leading() as (spine, tasks):
        scheduler = Scheduler(spine.world, spine.perform, clock)
        spine.run(tasks, scheduler.run())
        spine.run(tasks, spine.recorder.run())
        yield spine


def where(spine: Spine) -> dict[str, str]:
    return {p.metadata.name: p.spec.node_name for p in spine.world.objects(PODS)}


def refusal(spine: Spine, name: str) -> str:
    scheduled = condition(spine.world.get(PODS, "default", name).status.conditions, "PodScheduled")
    return scheduled.message if scheduled and scheduled.status == "False" else ""


def test_pending_pods_get_nodes_and_those_that_came_before_the_term_too():
    async def main() -> None:
        async with leading() as (spine, tasks):
            scheduler = Scheduler(spine.world, spine.perform, clock)
            await spine.create(NODES, node("n1"))
            await spine.create(PODS, pod("early"))
            spine.run(tasks, scheduler.run())
            await spine.create(PODS, pod("late"))
            await until(lambda: where(spine) == {"early": "n1", "late": "n1"})

    virtual_time.run(main())


def test_a_pod_that_fits_nowhere_says_why_once_and_gets_a_node_that_appears():
    async def main() -> None:
        async with scheduling() as spine:
            await spine.create(NODES, node("n1", cpu="1"))
            await spine.create(PODS, wanting("big", "2"))
            await until(
                lambda: refusal(spine, "big") == "0/1 nodes are available: 1 Insufficient cpu."
            )
            await until(lambda: spine.world.count(EVENTS))
            revision = spine.server.revision
            await asyncio.sleep(60)
            assert spine.server.revision == revision  # nothing is tried periodically
            await spine.create(NODES, node("n2"))
            await until(lambda: where(spine) == {"big": "n2"})

    virtual_time.run(main())


def test_a_refused_pod_gets_the_room_that_another_leaves():
    async def main() -> None:
        async with scheduling() as spine:
            await spine.create(NODES, node("n1", cpu="1"))
            await spine.create(PODS, wanting("first"))
            await until(lambda: where(spine)["first"] == "n1")
            await spine.create(PODS, wanting("second"))
            await until(lambda: refusal(spine, "second"))
            await spine.verbs.delete(PODS, "default", "first", grace_s=0)
            await until(lambda: where(spine) == {"second": "n1"})

    virtual_time.run(main())


def test_a_pod_that_ended_leaves_room_too():
    async def main() -> None:
        async with scheduling() as spine:
            await spine.create(NODES, node("n1", cpu="1"))
            await spine.create(PODS, wanting("first"))
            await until(lambda: where(spine)["first"] == "n1")
            await spine.create(PODS, wanting("second"))
            await until(lambda: refusal(spine, "second"))
            await spine.verbs.modify(
                PODS,
                "default",
                "first",
                lambda old: replace(old, status=replace(old.status, phase="Succeeded")),
                subresource="status",
            )
            await until(lambda: where(spine)["second"] == "n1")

    virtual_time.run(main())


def test_a_cordoned_node_gets_pods_when_it_is_uncordoned():
    async def main() -> None:
        async with scheduling() as spine:
            found = node("n1")
            cordoned = replace(found, spec=replace(found.spec, unschedulable=True))
            await spine.create(NODES, cordoned)
            await spine.create(PODS, pod("a"))
            await until(lambda: refusal(spine, "a"))
            await spine.verbs.modify(
                NODES,
                "",
                "n1",
                lambda old: replace(old, spec=replace(old.spec, unschedulable=False)),
            )
            await until(lambda: where(spine) == {"a": "n1"})

    virtual_time.run(main())


def test_a_node_is_never_given_more_than_it_has_however_fast_the_pods_come():
    async def main() -> None:
        async with scheduling() as spine:
            spine.server.faults = lambda _client, _verb: Fate(request_delay_s=0.05)
            await spine.create(NODES, node("n1", cpu="3"))
            await spine.create(NODES, node("n2", cpu="2"))
            async with asyncio.TaskGroup() as tasks:
                for n in range(8):
                    tasks.create_task(spine.create(PODS, wanting(f"p{n}")))
            await until(lambda: sum(bool(refusal(spine, f"p{n}")) for n in range(8)) == 3)
            nodes = sorted(where(spine).values())
            assert nodes == ["", "", "", "n1", "n1", "n1", "n2", "n2"]

    virtual_time.run(main())


def test_bindings_that_could_not_be_written_are_made_when_the_store_is_back():
    async def main() -> None:
        async with scheduling() as spine:
            await spine.create(NODES, node("n1"))
            spine.server.faults = lambda _client, verb: (
                Fate(is_request_lost=True) if verb == "txn" and spine.world.pods_on("") else FINE
            )
            await spine.create(PODS, pod("a"))
            await asyncio.sleep(5)
            assert where(spine) == {"a": ""}
            spine.server.faults = lambda _client, _verb: FINE
            await until(lambda: where(spine) == {"a": "n1"})

    virtual_time.run(main())


def test_pods_of_another_scheduler_are_left_to_it():
    async def main() -> None:
        async with scheduling() as spine:
            found = pod("a")
            theirs = replace(found, spec=replace(found.spec, scheduler_name="another"))
            await spine.create(NODES, node("n1"))
            await spine.create(PODS, theirs)
            await spine.create(PODS, pod("b"))
            await until(lambda: where(spine)["b"] == "n1")
            assert where(spine)["a"] == ""
            assert not refusal(spine, "a")

    virtual_time.run(main())
