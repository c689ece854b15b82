"""The control plane on real etcd and NATS: nothing restarts, nothing acknowledged is lost."""

import asyncio
import json

import pytest
from msgspec.structs import replace

from orchestrator.core import fields
from proto import manifest, subjects
from proto.bus.nats import NatsBus
from proto.errors import Retryable
from proto.kinds.deployment import DEPLOYMENTS, Deployment
from proto.kinds.namespace import NAMESPACES, Namespace
from proto.meta import ObjectMeta
from tests.integration.cluster import Cluster, cluster, until
from tests.manifests import WEB

pytestmark = pytest.mark.integration


def web() -> Deployment:
    found, _ = fields.parse(DEPLOYMENTS, manifest.load(WEB.encode()))
    return replace(found, metadata=replace(found.metadata, namespace="default"))


async def create_web(found: Cluster) -> list[str]:
    """Ids of the three containers that run."""
    await found.plane.verbs.create(DEPLOYMENTS, web())
    await until(found.is_ready, "three ready pods")
    return found.running()


async def change_image(found: Cluster, image: str) -> None:
    def change(old: Deployment) -> Deployment:
        template = old.spec.template
        (container,) = template.spec.containers
        changed = replace(template.spec, containers=(replace(container, image=image),))
        return replace(old, spec=replace(old.spec, template=replace(template, spec=changed)))

    await until(lambda: found.plane.is_leading, "a leader")
    await found.plane.verbs.modify(DEPLOYMENTS, "default", "web", change)


async def test_a_deployment_runs_on_every_node_rolls_and_goes():
    async with cluster() as found:
        await create_web(found)
        assert {pod.spec.node_name for pod in found.pods} == {"n1", "n2", "n3"}
        await change_image(found, "web:2")
        await until(lambda: found.is_ready(image="web:2"), "the new image everywhere")
        assert found.running("web:1") == []
        await found.plane.verbs.delete(DEPLOYMENTS, "default", "web")
        await until(lambda: not found.pods and not found.running("web:2"), "nothing left")


async def test_a_restarted_control_plane_restarts_nothing_and_goes_on():
    async with cluster() as found:
        before = await create_web(found)
        versions = {pod.metadata.name: pod.metadata.resource_version for pod in found.pods}
        await found.stop_plane()
        await found.start_plane()
        await found.until_nodes_are_ready()
        assert found.running() == before == sorted(found.started)
        assert {pod.metadata.name: pod.metadata.resource_version for pod in found.pods} == versions
        await change_image(found, "web:2")
        await until(lambda: found.is_ready(image="web:2"), "the new image everywhere")


async def test_what_changed_while_nobody_led_is_noticed_by_the_next_leader():
    async with cluster() as found:
        await create_web(found)
        await found.stop_plane()
        engine = next(engine for engine in found.engines.values() if engine.containers)
        (container,) = engine.containers
        engine.end(container.id, exit_code=1)
        await until(lambda: len(found.running()) == 3, "the agent to restart it by itself")
        await found.start_plane()
        await until(
            lambda: (
                sum(
                    status.restart_count
                    for pod in found.pods
                    for status in pod.status.container_statuses
                )
                == 1
            ),
            "the restart to be known",
        )


async def test_a_second_orchestrator_follows_and_takes_over_when_the_first_stops():
    async with cluster() as found:
        before = await create_web(found)
        first = found.plane
        first_task = found._planes[0]
        second = await found.start_plane("two")
        await until(lambda: second.world.version == first.world.version, "the second to follow")
        assert first.is_leading
        assert not second.is_leading
        with pytest.raises(Retryable, match="try again"):
            await second.verbs.create(NAMESPACES, Namespace(metadata=ObjectMeta(name="a")))
        first_task.cancel()
        await until(lambda: second.is_leading, "the second to lead")
        await second.verbs.create(NAMESPACES, Namespace(metadata=ObjectMeta(name="a")))
        assert found.running() == before == sorted(found.started)
        await change_image(found, "web:2")
        await until(lambda: found.is_ready(image="web:2"), "the new image everywhere")


async def test_a_bus_that_lost_everything_costs_nothing_declared():
    async with cluster() as found:
        before = await create_web(found)
        await found.nats.kill()
        found.lose_streams()
        await found.nats.start()
        await change_image(found, "web:2")
        await until(lambda: found.is_ready(image="web:2"), "the new image everywhere")
        assert set(before) < set(found.started)
        assert len(found.started) == 6  # three of each image: none was started twice


async def test_a_store_that_dies_serves_reads_refuses_writes_and_loses_nothing_acknowledged():
    async with cluster() as found:
        before = await create_web(found)
        acknowledged: list[str] = []

        async def write() -> None:
            for count in range(1_000_000):
                name = f"ns-{count}"
                try:
                    await found.plane.verbs.create(
                        NAMESPACES, Namespace(metadata=ObjectMeta(name=name))
                    )
                except Retryable:
                    await asyncio.sleep(0.01)
                else:
                    acknowledged.append(name)

        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(write())
            await until(lambda: len(acknowledged) > 20, "some writes")
            await found.etcd.kill()
            async with asyncio.timeout(10):  # some call must fail by itself, and soon
                with pytest.raises(Retryable):
                    for count in range(1_000_000):
                        asked = Namespace(metadata=ObjectMeta(name=f"refused-{count}"))
                        await found.plane.verbs.create(NAMESPACES, asked)
            assert len(found.pods) == 3  # reads are served
            known = len(acknowledged)
            await found.etcd.start()
            await until(lambda: len(acknowledged) > known + 20, "writes to be taken again")
            writing.cancel()
        await found.stop_plane()
        await found.start_plane()
        await found.until_nodes_are_ready()
        there = {one.metadata.name for one in found.plane.world.objects(NAMESPACES)}
        assert set(acknowledged) <= there
        assert found.running() == before == sorted(found.started)


async def test_news_are_published_as_cloud_events():
    async with cluster() as found:
        bus = await NatsBus.connect(found.nats.url, name="reader")
        subscription = await bus.subscribe(subjects.event("pod", "default", "*", "*"))
        await create_web(found)
        news: dict[str, list[str]] = {}
        async with asyncio.timeout(30):
            while sorted(map(len, news.values())) != [4, 4, 4]:
                envelope = await subscription.get()
                event = json.loads(envelope.payload)
                assert envelope.headers["content-type"] == "application/cloudevents+json"
                assert event["specversion"] == "1.0"
                assert event["type"].startswith("dev.longshore.pod.")
                what = event["type"].rpartition(".")[2]
                name = event["data"]["metadata"]["name"]
                assert event["subject"] == f"/api/v1/namespaces/default/pods/{name}"
                assert envelope.subject == f"longshore.v1.event.pod.default.{name}.{what}"
                news.setdefault(name, []).append(what)
        assert list(news.values()) == [["created", "bound", "started", "ready"]] * 3
        await bus.close()
