"""kr8s: an API in the manner of kubectl, asynchronous here."""

import warnings
from contextlib import aclosing

import httpx
import kr8s
import pytest
from kr8s.asyncio.objects import ConfigMap, Deployment, Pod, new_class

from tests.e2e.clients import manifests
from tests.e2e.clients.conftest import Cluster

pytestmark = [pytest.mark.docker, pytest.mark.filterwarnings("ignore::ResourceWarning")]

PATIENCE_S = 40


@pytest.fixture
async def api(cluster: Cluster, namespace: str):
    """A client from DIR/kubeconfig; what it warns of, such as an unknown version, fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = await kr8s.asyncio.api(kubeconfig=str(cluster.kubeconfig), namespace=namespace)
        yield made
        await made._session.aclose()  # it keeps its clients, and has no way to close one


async def test_it_knows_the_version_and_what_is_served(api):
    assert (await api.version())["gitVersion"].startswith("v1.")
    assert "apps/v1" in [version async for version in api.api_versions()]
    assert "deployments" in {resource["name"] for resource in await api.api_resources()}
    assert (await api.lookup_kind("deploy"))[1:] == ("deployments", True)
    assert await api.whoami() is None  # the kubeconfig names nobody


async def test_objects_are_made_got_patched_labelled_annotated_and_deleted(api, namespace):
    made = await ConfigMap(manifests.config_map("c", k="1"), api=api)
    await made.create()
    with pytest.raises(kr8s.ServerError) as caught:
        await (await ConfigMap(manifests.config_map("c"), api=api)).create()
    assert caught.value.status["reason"] == "AlreadyExists"
    await made.patch({"data": {"k": "2"}})
    await made.patch([{"op": "add", "path": "/data/l", "value": "3"}], type="json")
    await made.label(app="web", tier="x")
    await made.remove_label("tier")
    await made.annotate({"example.com/note": "text"})
    found = await ConfigMap.get("c", namespace=namespace, api=api)
    assert (dict(found.data), dict(found.labels)) == ({"k": "2", "l": "3"}, {"app": "web"})
    assert found.annotations["example.com/note"] == "text"
    listed = [o.name async for o in api.get("configmaps", label_selector={"app": "web"})]
    assert listed == ["c"]
    await found.delete()
    await found.wait("delete", timeout=PATIENCE_S)
    assert not await found.exists()
    with pytest.raises(kr8s.NotFoundError):
        await ConfigMap.get("c", namespace=namespace, api=api)


async def test_a_deployment_is_waited_for_and_scaled(api, cluster):
    web = await Deployment(manifests.deployment("web", cluster.image), api=api)
    await web.create()
    await web.wait("condition=Available", timeout=PATIENCE_S)
    assert [pod.labels["app"] for pod in await web.pods()] == ["web"]
    await web.scale(2)
    await web.wait("jsonpath='{.status.readyReplicas}'=2", timeout=PATIENCE_S)
    await web.delete(propagation_policy="Foreground")
    await web.wait("delete", timeout=PATIENCE_S)


async def test_a_pod_is_watched_logged_executed_in_and_reached(api, cluster):
    pod = await Pod(manifests.pod("web", cluster.image), api=api)
    await pod.create()
    await pod.wait("condition=Ready", timeout=PATIENCE_S)
    async with aclosing(pod.logs(follow=True, timeout=PATIENCE_S)) as lines:
        assert await anext(lines) == "serving"
    assert [line async for line in pod.logs()] == ["serving"]
    done = await pod.exec(["sh", "-c", "echo out; echo err >&2"])
    assert (done.returncode, done.stdout, done.stderr) == (0, b"out\n", b"err\n")
    failed = await pod.exec(["sh", "-c", "exit 7"], check=False)
    assert failed.returncode == 7
    async with pod.portforward(remote_port=8080) as port, httpx.AsyncClient() as http:
        assert (await http.get(f"http://127.0.0.1:{port}/")).text == "hello\n"
    async with aclosing(api.watch("pods", label_selector="seen=yes")) as events:
        await pod.label(seen="yes")
        assert (await anext(events))[0] == "ADDED"
        await pod.delete()
        assert {type_ async for type_, _ in until_deleted(events)} == {"MODIFIED", "DELETED"}


async def until_deleted(events):
    """Events up to the first of an object that goes."""
    async for type_, found in events:
        yield type_, found
        if type_ == "DELETED":
            return


async def test_a_custom_kind_is_used_without_a_class_for_it(api, namespace):
    declared = await kr8s.asyncio.objects.CustomResourceDefinition(
        manifests.definition("barges", "Barge"), api=api
    )
    await declared.create()
    await declared.wait("condition=Established", timeout=PATIENCE_S)
    barge_class = new_class("Barge", "boats.example.com/v1", asyncio=True, scalable=True)
    body = {"metadata": {"name": "b"}, "spec": {"size": 1}}
    barge = await barge_class(body, api=api, namespace=namespace)
    await barge.create()
    assert barge.spec.colour == "red"
    with pytest.raises(kr8s.ServerError) as caught:
        await barge.patch({"spec": {"size": 99}})
    assert "spec.size" in caught.value.status["message"]
    assert [found.name async for found in api.get("barges.boats.example.com")] == ["b"]
    await declared.delete()
    await declared.wait("delete", timeout=PATIENCE_S)
