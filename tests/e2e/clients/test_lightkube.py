"""lightkube: typed models, generic resources for custom kinds, asynchronous here."""

import asyncio
from contextlib import aclosing

import pytest
from lightkube import ApiError, AsyncClient, KubeConfig
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.core_v1 import PodSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Pod
from lightkube.types import CascadeType, PatchType

from tests.e2e.clients import manifests
from tests.e2e.clients.conftest import Cluster

pytestmark = [pytest.mark.docker, pytest.mark.filterwarnings("ignore::ResourceWarning")]

PATIENCE_S = 40


@pytest.fixture
async def client(cluster: Cluster, namespace: str):
    """From DIR/kubeconfig."""
    config = KubeConfig.from_file(cluster.kubeconfig)
    async with AsyncClient(config, namespace=namespace, field_manager="lightkube") as made:
        yield made


def config_map(name: str, **labels: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, labels=labels or None), data={"k": name})


async def test_objects_are_listed_in_parts_and_watched(client):
    for index in range(5):
        await client.create(config_map(f"c{index}", app="web"))
    listed = client.list(ConfigMap, chunk_size=2, labels={"app": "web"})
    names = [found.metadata.name async for found in listed]
    assert names == [f"c{index}" for index in range(5)]
    version = listed.resourceVersion
    await client.delete(ConfigMap, "c0")
    async with aclosing(
        client.watch(ConfigMap, labels={"app": "web"}, resource_version=version)
    ) as events:
        type_, found = await anext(events)
        assert (type_, found.metadata.name) == ("DELETED", "c0")
    await client.deletecollection(ConfigMap)
    assert [found async for found in client.list(ConfigMap)] == []


async def test_objects_are_applied_replaced_and_patched(client, cluster):
    applied = await client.apply(config_map("c", app="one"))
    assert applied.metadata.managedFields[0].manager == "lightkube"
    with pytest.raises(ApiError) as caught:
        await client.apply(config_map("c", app="two"), field_manager="other")
    assert caught.value.status.code == 409
    forced = await client.apply(config_map("c", app="two"), field_manager="other", force=True)
    assert forced.metadata.labels == {"app": "two"}
    forced.data = {"k": "replaced"}
    assert (await client.replace(forced)).data == {"k": "replaced"}
    for type_, change in (
        (PatchType.MERGE, {"data": {"merge": "1"}}),
        (PatchType.STRATEGIC, {"data": {"strategic": "2"}}),
        (PatchType.JSON, [{"op": "remove", "path": "/data/k"}]),
    ):
        found = await client.patch(ConfigMap, "c", change, patch_type=type_)
    assert found.data == {"merge": "1", "strategic": "2"}
    assert (await client.apply(config_map("dry"), dry_run=True)).metadata.name == "dry"
    with pytest.raises(ApiError) as caught:
        await client.get(ConfigMap, "dry")
    assert caught.value.status.reason == "NotFound"


async def test_a_deployment_is_scaled_and_a_pod_is_waited_for_and_read(client, cluster):
    await client.create(Deployment.from_dict(manifests.deployment("web", cluster.image)))
    async with asyncio.timeout(PATIENCE_S):
        await client.wait(Deployment, "web", for_conditions=["Available"])
    scaled = Deployment.Scale.from_dict({"metadata": {"name": "web"}, "spec": {"replicas": 0}})
    assert (await client.replace(scaled, "web")).spec.replicas == 0
    await client.delete(Deployment, "web", cascade=CascadeType.FOREGROUND)
    body = manifests.pod("web", cluster.image, manifests.COUNT)
    await client.create(Pod(metadata=ObjectMeta(name="web"), spec=PodSpec.from_dict(body["spec"])))
    async with asyncio.timeout(PATIENCE_S):
        await client.wait(Pod, "web", for_conditions=["Ready"])
        lines = client.log("web", follow=True)
        assert [await anext(lines) for _ in range(3)] == [f"line {i}\n" for i in range(1, 4)]
        await lines.aclose()
        done = await client.exec(
            "web", command=["sh", "-c", "cat; exit 3"], stdin="in", stdout=True
        )
    assert (done.exit_code, done.stdout) == (3, "in")


async def test_a_custom_kind_is_applied_with_a_list_by_its_keys(client, namespace):
    definition = manifests.definition("ferries", "Ferry")
    await client.create(CustomResourceDefinition.from_dict(definition))
    name = "ferries.boats.example.com"
    async with asyncio.timeout(PATIENCE_S):
        await client.wait(CustomResourceDefinition, name, for_conditions=["Established"])
    ferry = create_namespaced_resource("boats.example.com", "v1", "Ferry", "ferries")

    async def apply(manager: str, holds: list[dict[str, str]]):
        body = ferry(metadata=ObjectMeta(name="f"), spec={"size": 1, "holds": holds})
        return await client.apply(body, field_manager=manager)

    await apply("one", [{"name": "fore", "cargo": "coal"}])
    both = await apply("two", [{"name": "aft", "cargo": "salt"}])
    assert {hold["name"] for hold in both["spec"]["holds"]} == {"fore", "aft"}
    left = await apply("one", [])
    assert [hold["name"] for hold in left["spec"]["holds"]] == ["aft"]
    told = ferry.Status(metadata=ObjectMeta(name="f"), status={"phase": "afloat"})
    assert (await client.apply(told, "f", field_manager="two"))["status"] == {"phase": "afloat"}
    scaled = ferry.Scale.from_dict({"metadata": {"name": "f"}, "spec": {"replicas": 4}})
    await client.replace(scaled, "f")
    assert (await client.get(ferry, "f"))["spec"]["size"] == 4
    await client.delete(CustomResourceDefinition, name)
