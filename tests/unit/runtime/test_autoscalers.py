"""Autoscalers at work: on a leader's world, with usages and lags that come over a bus in memory."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from orchestrator.core.managed_fields import UPDATE, Manager
from orchestrator.runtime.controllers import Controllers
from orchestrator.runtime.controllers.autoscalers import Autoscalers
from orchestrator.runtime.lag import POLL_S, Lags
from orchestrator.runtime.perform import MANAGER
from orchestrator.runtime.usage import Usages
from proto import codec, subjects
from proto.bus import INTAKE_CONSUMER, Intake
from proto.bus.memory import MemoryBus, Network
from proto.kinds.autoscaler import AUTOSCALERS, AutoscalerSpec, HorizontalPodAutoscaler
from proto.kinds.autoscaler_metrics import CrossVersionObjectReference
from proto.kinds.deployment import DEPLOYMENTS
from proto.kinds.event import EVENTS
from proto.kinds.node import NODES
from proto.kinds.pod import PODS, is_active
from proto.messages import NodeUsage
from proto.meta import Condition, ObjectMeta, condition, format_time
from tests import virtual_time
from tests.unit.core import making
from tests.unit.core.scaling import AT_ONCE, lag, resource, using
from tests.unit.runtime.spine import Spine, clock, leading, node, until

SYNC_S = 15
STREAM = "JOBS"
OF_JOBS = {"stream": STREAM, "consumer": INTAKE_CONSUMER}


class CountingBus(MemoryBus):
    """Counts how often it is asked for a lag."""

    asked = 0

    async def lag(self, stream: str, consumer: str, *, timeout_s: float):
        self.asked += 1
        return await super().lag(stream, consumer, timeout_s=timeout_s)


class Scaling:
    """A leader, a Deployment called ``web``, and a stream of jobs whose consumer is a test."""

    def __init__(self, spine: Spine, network: Network, intake: Intake) -> None:
        self.spine = spine
        self.world = spine.world
        self.bus = CountingBus(network, "one")
        self.usages = Usages(spine.world, self.bus)
        self.lags = Lags(spine.world, self.bus)
        self._agent = MemoryBus(network, "n1")
        self._intake = intake
        self._version = 0

    def controllers(self) -> Controllers:
        own = Autoscalers(self.world, self.usages, self.lags, SYNC_S * 1000)
        return Controllers(self.world, self.spine.perform, clock, (own,))

    async def scale(self, *metrics, name="web", of="web", kind=("apps/v1", "Deployment"), **spec):
        version, kind_name = kind
        reference = CrossVersionObjectReference(api_version=version, kind=kind_name, name=of)
        spec = {"max_replicas": 10, "behavior": AT_ONCE} | spec
        made = HorizontalPodAutoscaler(
            metadata=ObjectMeta(name=name, namespace="default"),
            spec=AutoscalerSpec(scale_target_ref=reference, metrics=metrics, **spec),
        )
        return await self.spine.create(AUTOSCALERS, made)

    async def put(self, count: int) -> None:
        for _ in range(count):
            await self._agent.publish("jobs", b"")

    async def do(self, count: int) -> None:
        for _ in range(count):
            await (await self._intake.get()).ack()

    async def use(self, cpu_milli: int) -> None:
        """Every pod of the world is ready, and says so much."""
        for pod in self.pods:
            if not pod.status.conditions:
                since = format_time(clock() - 3_600_000)
                ready = Condition(type="Ready", status="True", last_transition_time=since)
                await self.spine.verbs.modify(
                    PODS, "default", pod.metadata.name,
                    lambda old, ready=ready, since=since: replace(
                        old,
                        spec=replace(old.spec, node_name="n1"),
                        status=replace(
                            old.status, phase="Running", conditions=(ready,), start_time=since
                        ),
                    ),
                    subresource="binding",
                )  # fmt: skip
        self._version += 1
        usage = using(cpu_milli, at_ms=clock())
        message = NodeUsage(
            node="n1",
            incarnation=1,
            version=self._version,
            period_ms=60_000,
            pods={pod.metadata.uid: {"main": usage} for pod in self.pods},
        )
        await self._agent.publish(subjects.usage("n1"), codec.encode(message))
        await asyncio.sleep(0.01)

    @property
    def pods(self):
        return [pod for pod in self.world.objects(PODS) if is_active(pod)]

    @property
    def replicas(self) -> int:
        return self.world.get(DEPLOYMENTS, "default", "web").spec.replicas

    def status(self, name="web"):
        return self.world.get(AUTOSCALERS, "default", name).status

    def reason(self, type_: str, name="web") -> str:
        found = condition(self.status(name).conditions, type_)
        return "" if found is None else found.reason

    def events(self) -> list[str]:
        return [
            event.message
            for event in self.world.objects(EVENTS)
            if event.reason == "SuccessfulRescale"
        ]


@contextlib.asynccontextmanager
async def scaling(replicas: int = 1, *, runs: bool = True) -> AsyncIterator[Scaling]:
    network = Network()
    async with leading() as (spine, tasks):
        intake = await MemoryBus(network, "worker").intake(STREAM, "jobs")
        found = Scaling(spine, network, intake)
        await spine.create(NODES, node("n1"))
        made = making.deployment(replicas)
        container = replace(
            made.spec.template.spec.containers[0],
            resources=replace(
                made.spec.template.spec.containers[0].resources, requests={"cpu": "100m"}
            ),
        )
        template = replace(
            made.spec.template, spec=replace(made.spec.template.spec, containers=(container,))
        )
        made = replace(made, spec=replace(made.spec, template=template))
        user = Manager("kubectl", UPDATE, "apps/v1")
        await spine.verbs.create(DEPLOYMENTS, made, manager=user)
        spine.run(tasks, found.usages.run())
        spine.run(tasks, spine.recorder.run())
        if runs:
            spine.run(tasks, found.controllers().run())
        await asyncio.sleep(0.1)
        yield found


def test_a_lag_wakes_an_idle_target_within_two_polls_and_its_end_lets_it_sleep():
    async def main() -> None:
        async with scaling(0) as found:
            await found.scale(lag(average="10", labels=OF_JOBS), min_replicas=0)
            await until(lambda: found.reason("ScalingActive") == "ValidMetricFound")
            await asyncio.sleep(2.5 * SYNC_S)
            before = clock()
            await found.put(25)
            await until(lambda: found.replicas == 3)
            assert clock() - before <= 2 * 1000 * POLL_S
            await found.do(25)
            before = clock()
            await until(lambda: found.replicas == 0)
            assert clock() - before <= 1000 * (SYNC_S + POLL_S)
            await until(lambda: len(found.events()) == 2)
            assert {said.partition(";")[0] for said in found.events()} == {
                "New size: 0",
                "New size: 3",
            }

    virtual_time.run(main())


def test_consumers_are_asked_about_once_a_second_and_only_while_somebody_wants_to_know():
    async def main() -> None:
        async with scaling() as found:
            await asyncio.sleep(60)
            assert found.bus.asked == 0
            for name in ("web", "other"):  # two that want the same
                await found.scale(lag(average="10", labels=OF_JOBS), name=name)
            await asyncio.sleep(60)
            assert 55 <= found.bus.asked <= 62
            for name in ("web", "other"):
                await found.spine.verbs.delete(AUTOSCALERS, "default", name)
            await asyncio.sleep(5)
            asked = found.bus.asked
            await asyncio.sleep(60)
            assert found.bus.asked == asked

    virtual_time.run(main())


def test_a_consumer_that_is_not_there_is_told_and_found_when_it_comes():
    async def main() -> None:
        async with scaling(0) as found:
            labels = {"stream": "LATER", "consumer": INTAKE_CONSUMER}
            await found.scale(lag(average="10", labels=labels), min_replicas=0)
            await until(lambda: found.reason("ScalingActive") == "FailedGetExternalMetric")
            said = condition(found.status().conditions, "ScalingActive").message
            assert said.endswith(f'stream "LATER" has no consumer "{INTAKE_CONSUMER}"')
            await MemoryBus(found.bus._network, "later").intake("LATER", "later")
            await found._agent.publish("later", b"")
            await until(lambda: found.replicas == 1)

    virtual_time.run(main())


def test_what_pods_use_is_looked_at_once_a_period():
    async def main() -> None:
        async with scaling(2) as found:
            await until(lambda: len(found.pods) == 2)
            await found.use(100)
            await found.scale(resource(percent=50))
            await until(lambda: found.replicas == 4)
            assert found.status().desired_replicas == 4
            assert found.reason("AbleToScale") == "SucceededRescale"
            await until(lambda: len(found.pods) == 4)
            await found.use(100)  # busier than they should be, still
            await asyncio.sleep(SYNC_S / 2)
            assert (found.replicas, found.reason("AbleToScale")) == (4, "SucceededRescale")
            await until(lambda: found.replicas == 8)
            await until(lambda: len(found.events()) == 2)
            assert found.events()[0].endswith(
                "reason: cpu resource utilization (percentage of request) above target"
            )

    virtual_time.run(main())


def test_the_replicas_of_a_target_are_its_autoscalers_to_change():
    """As in Kubernetes: the field is owned by a write to the scale."""

    async def main() -> None:
        async with scaling(2) as found:
            await found.scale(resource(percent=50), min_replicas=4)
            await until(lambda: found.replicas == 4)
            owners = found.world.get(DEPLOYMENTS, "default", "web").metadata.managed_fields
            of_replicas = [
                (owner.manager, owner.subresource)
                for owner in owners
                if b'"f:replicas"' in bytes(owner.fields_v1)
            ]
            assert of_replicas == [(MANAGER, "scale")]

    virtual_time.run(main())


@pytest.mark.parametrize(
    ("kind", "of", "said"),
    [
        (("apps/v1", "Deployment"), "nobody", 'deployments.apps "nobody" not found'),
        (("v1", "Deployment"), "web", 'no matches for kind "Deployment" in group ""'),
        (("a/b/c", "Deployment"), "web", "unexpected GroupVersion string: a/b/c"),
        (("v1", "ConfigMap"), "web", "configmaps have no scale"),
    ],
)
def test_a_target_that_is_not_there_or_has_no_replicas_is_told(kind, of, said):
    async def main() -> None:
        async with scaling() as found:
            await found.scale(resource(percent=50), kind=kind, of=of)
            await until(lambda: found.reason("AbleToScale") == "FailedGetScale")
            told = condition(found.status().conditions, "AbleToScale").message
            assert told.endswith(said)

    virtual_time.run(main())


def test_two_autoscalers_of_one_target_scale_nothing():
    async def main() -> None:
        async with scaling(2) as found:
            await until(lambda: len(found.pods) == 2)
            await found.use(100)
            await found.scale(resource(percent=100), name="a")
            await until(lambda: found.reason("ScalingActive", "a") == "ValidMetricFound")
            await found.scale(resource(percent=10), name="b")
            await until(lambda: found.reason("ScalingActive", "b") == "AmbiguousSelector")
            await until(lambda: found.reason("ScalingActive", "a") == "AmbiguousSelector")
            assert found.replicas == 2
            await found.spine.verbs.delete(AUTOSCALERS, "default", "b")
            await until(lambda: found.reason("ScalingActive", "a") == "ValidMetricFound")

    virtual_time.run(main())


def test_a_later_term_remembers_nothing_of_an_earlier_one():
    """It waits for a whole window, though the last one called for less long ago."""

    async def main() -> None:
        async with scaling(4, runs=False) as found:
            controllers = found.controllers()
            await found.scale(lag(average="10", labels=OF_JOBS), behavior=None)
            for _ in range(2):
                async with asyncio.TaskGroup() as tasks:
                    term = tasks.create_task(controllers.run())
                    await asyncio.sleep(290)
                    assert found.replicas == 4
                    term.cancel()
                await asyncio.sleep(600)
            async with asyncio.TaskGroup() as tasks:
                term = tasks.create_task(controllers.run())
                await asyncio.sleep(330)
                assert found.replicas == 1
                term.cancel()

    virtual_time.run(main())
