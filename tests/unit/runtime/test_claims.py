"""A claim from its pod's wish to its end: scheduler, controllers, dispatch and intake together."""

import contextlib
from collections.abc import AsyncIterator, Callable

from msgspec.structs import replace

from orchestrator.core.storage.provision import FOLDER_ANNOTATION
from orchestrator.runtime.controllers import Controllers
from orchestrator.runtime.dispatch import Dispatcher
from orchestrator.runtime.intake import Intake
from orchestrator.runtime.scheduler import Scheduler
from proto import codec, subjects
from proto.bus.memory import MemoryBus, Network
from proto.kinds.node import NODES
from proto.kinds.persistentvolume import PERSISTENT_VOLUMES
from proto.kinds.pod import PODS, PodStatus
from proto.kinds.storage import PERSISTENT_VOLUME_CLAIMS, STORAGE_CLASSES
from proto.messages import Assignment, NodeFacts, NodeReport, PodReport, VolumeReport
from proto.meta import condition
from tests import virtual_time
from tests.unit.core.storing import claim, using
from tests.unit.runtime.spine import Spine, clock, leading, node, until

EPOCH = 42


class Agent:
    """Follows its assignments and says so; what it is told to remove is gone when `removes`."""

    def __init__(self, name: str, network: Network) -> None:
        self.name = name
        self.removes = True
        self.held = Assignment(node=name, epoch=0, generation=0)
        self._bus = MemoryBus(network, name)
        self._version = 0

    async def run(self) -> None:
        subscription = await self._bus.subscribe(subjects.assignment(self.name))
        while True:
            self.held = codec.decode((await subscription.get()).payload, Assignment)
            await self.report()

    async def report(self) -> None:
        self._version += 1
        report = NodeReport(
            node=self.name,
            incarnation=1,
            version=self._version,
            epoch=EPOCH,
            generation=self.held.generation,
            facts=node_facts(self.name),
            pods=tuple(
                PodReport(
                    uid=found.uid,
                    namespace=found.namespace,
                    name=found.name,
                    status=PodStatus(phase="Running"),
                    is_gone=found.delete_grace_s is not None,
                )
                for found in self.held.pods
            ),
            volumes=tuple(
                VolumeReport(name=found.name, uid=found.uid, is_gone=self.removes)
                for found in self.held.removals
            ),
        )
        await self._bus.publish(subjects.report(self.name), codec.encode(report))


def node_facts(name: str) -> NodeFacts:
    amounts = {"cpu": "4", "memory": "8Gi", "pods": "110"}
    return NodeFacts(capacity=amounts, allocatable=amounts, volumes_folder=f"/var/{name}")


@contextlib.asynccontextmanager
async def a_cluster() -> AsyncIterator[tuple[Spine, dict[str, Agent]]]:
    """Two nodes, and everything that has to do with storage."""
    async with leading() as (spine, tasks):
        network = Network()
        agents = {name: Agent(name, network) for name in ("n1", "n2")}
        bus = MemoryBus(network, "one")
        intake = Intake(
            world=spine.world,
            bus=bus,
            recorder=spine.recorder,
            perform=spine.perform,
            clock=clock,
            on_beat=lambda _: None,
            on_report=lambda _: None,
        )
        for name, agent in agents.items():
            made = node(name)
            annotations = {FOLDER_ANNOTATION: f"/var/{name}"}
            meta = replace(made.metadata, annotations=annotations)
            await spine.create(NODES, replace(made, metadata=meta))
            spine.run(tasks, agent.run())
        spine.run(tasks, Dispatcher(spine.world, bus).run(EPOCH))
        spine.run(tasks, intake.run(EPOCH))
        spine.run(tasks, Controllers(spine.world, spine.perform, clock).run())
        spine.run(tasks, Scheduler(spine.world, spine.perform, clock).run())
        await until(lambda: spine.world.get(STORAGE_CLASSES, "", "local"), "the default class")
        yield spine, agents


def phase_of_claim(spine: Spine, name: str = "data") -> str:
    found = spine.world.get(PERSISTENT_VOLUME_CLAIMS, "default", name)
    return found.status.phase if found is not None else ""


def node_of(spine: Spine, pod: str) -> str:
    found = spine.world.get(PODS, "default", pod)
    return found.spec.node_name if found is not None else ""


def refusal(spine: Spine, pod: str) -> str:
    found = spine.world.get(PODS, "default", pod)
    scheduled = condition(found.status.conditions, "PodScheduled")
    return scheduled.message if scheduled is not None else ""


def is_empty(spine: Spine) -> Callable[[], bool]:
    kinds = (PERSISTENT_VOLUMES, PERSISTENT_VOLUME_CLAIMS)
    return lambda: not any(spine.world.count(kind) for kind in kinds)


def test_a_claim_gets_its_volume_where_its_pod_runs_and_takes_it_along_in_the_end():
    async def main() -> None:
        async with a_cluster() as (spine, agents):
            await spine.create(PODS, using("web", "data"))
            await until(lambda: '"data" not found' in refusal(spine, "web"))
            await spine.create(PERSISTENT_VOLUME_CLAIMS, claim(of=None))
            name = await until(lambda: node_of(spine, "web"))
            agent = agents[name]
            await until(lambda: agent.held.pods)
            (volume,) = spine.world.objects(PERSISTENT_VOLUMES)
            (told,) = agent.held.pods[0].claims
            assert (told.name, told.stored.name) == ("data", volume.metadata.name)
            assert volume.spec.local.path == f"/var/{name}/{volume.metadata.name}"
            await until(lambda: phase_of_claim(spine) == "Bound")

            # It stays while the pod uses it, and its volume while the node holds it.
            await spine.verbs.delete(PERSISTENT_VOLUME_CLAIMS, "default", "data")
            agent.removes = False
            await spine.verbs.delete(PODS, "default", "web")
            await until(lambda: agent.held.removals)
            assert spine.world.get(PERSISTENT_VOLUME_CLAIMS, "default", "data") is None
            (volume,) = spine.world.objects(PERSISTENT_VOLUMES)
            assert volume.metadata.finalizers == (f"node.longshore.dev/{name}",)
            agent.removes = True
            await agent.report()
            await until(is_empty(spine))
            await until(lambda: not agent.held.removals)

    virtual_time.run(main())


def test_a_pod_goes_where_its_volume_is():
    async def main() -> None:
        async with a_cluster() as (spine, _):
            await spine.create(PERSISTENT_VOLUME_CLAIMS, claim(of=None))
            await spine.create(PODS, using("one", "data"))
            there = await until(lambda: node_of(spine, "one"))
            for index in range(4):
                await spine.create(PODS, using(f"more-{index}", "data"))
                assert await until(lambda: node_of(spine, f"more-{index}")) == there  # noqa: B023

    virtual_time.run(main())


def test_pods_that_are_made_together_share_a_claim_on_one_node():
    async def main() -> None:
        async with a_cluster() as (spine, _):
            await spine.create(PERSISTENT_VOLUME_CLAIMS, claim(of=None))
            for index in range(6):
                await spine.create(PODS, using(f"p{index}", "data"))
            names = [f"p{index}" for index in range(6)]
            await until(lambda: all(node_of(spine, name) for name in names))
            assert len({node_of(spine, name) for name in names}) == 1
            assert spine.world.count(PERSISTENT_VOLUMES) == 1

    virtual_time.run(main())
