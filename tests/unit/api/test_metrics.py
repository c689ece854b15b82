"""metrics.k8s.io: what nodes told, of nodes and pods that there are, as metrics-server shows it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from proto import codec, subjects
from proto.bus.memory import MemoryBus
from proto.kinds.container import Container
from proto.kinds.node import NODES, Node
from proto.kinds.pod import PODS, Pod, PodSpec, PodStatus
from proto.messages import NodeUsage, Usage
from proto.meta import ObjectMeta
from tests.unit.api.server import Running, running

BASE = "/apis/metrics.k8s.io/v1beta1"
PODS_IN_DEFAULT = f"{BASE}/namespaces/default/pods"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


def use(cpu_nano: int, memory_bytes: int, at_ms: int = 60_000, window_ms: int = 15_020) -> Usage:
    return Usage(at_ms=at_ms, window_ms=window_ms, cpu_nano=cpu_nano, memory_bytes=memory_bytes)


async def make(api: Running, name: str, **labels: str) -> str:
    """A pod that runs on n1; its uid."""
    made = await api.verbs.create(
        PODS,
        Pod(
            metadata=ObjectMeta(name=name, namespace="default", labels=labels),
            spec=PodSpec(containers=(Container(name="c", image="x:1"),), node_name="n1"),
        ),
    )
    status = PodStatus(phase="Running")
    await api.verbs.modify(
        PODS, "default", name, lambda pod: replace(pod, status=status), subresource="status"
    )
    return made.metadata.uid


@asynccontextmanager
async def measured() -> AsyncIterator[Running]:
    """Two nodes, one of which says what it uses, with three pods; one of them has no figure yet."""
    async with running() as api:
        for name in ("n1", "n2"):
            node = Node(metadata=ObjectMeta(name=name, labels={"zone": name}))
            await api.verbs.create(NODES, node)
        web, db = await make(api, "web", app="web"), await make(api, "db", app="db")
        await make(api, "fresh", app="web")
        message = NodeUsage(
            node="n1",
            incarnation=1,
            version=1,
            period_ms=15_000,
            total=use(1_500_000_000, 3 << 30),
            pods={
                web: {"side": use(5_000_001, 2048, at_ms=59_000), "c": use(0, 50 << 20)},
                db: {"c": use(123, 1024)},
            },
        )
        agent = MemoryBus(api.network, "agent")
        await agent.publish(subjects.usage("n1"), codec.encode(message))
        async with asyncio.timeout(20):
            while api.usages.of_node("n1") is None:
                await asyncio.sleep(0.01)
        yield api


async def names(api: Running, path: str, **query: str) -> list[str]:
    status, found = await api.ask("GET", path, params=query)
    assert status == 200, found
    return [item["metadata"]["name"] for item in found["items"]]


async def test_a_pods_metrics_are_its_containers_quantities_and_the_oldest_moment():
    async with measured() as api:
        status, found = await api.ask("GET", f"{PODS_IN_DEFAULT}/web")
        assert status == 200
        created = found["metadata"].pop("creationTimestamp")
        assert created.endswith("Z")
        assert found == {
            "kind": "PodMetrics",
            "apiVersion": "metrics.k8s.io/v1beta1",
            "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}},
            "timestamp": "1970-01-01T00:00:59Z",
            "window": "15.02s",
            "containers": [
                {"name": "c", "usage": {"cpu": "0", "memory": "51200Ki"}},
                {"name": "side", "usage": {"cpu": "5000001n", "memory": "2Ki"}},
            ],
        }


async def test_a_nodes_metrics_are_those_of_the_whole_machine():
    async with measured() as api:
        _, found = await api.ask("GET", f"{BASE}/nodes/n1")
        assert (found["kind"], found["window"]) == ("NodeMetrics", "15.02s")
        assert found["usage"] == {"cpu": "1500000000n", "memory": "3145728Ki"}
        assert found["metadata"]["labels"]["zone"] == "n1"
        _, listed = await api.ask("GET", f"{BASE}/nodes")
        assert listed["kind"] == "NodeMetricsList"
        assert [item["metadata"]["name"] for item in listed["items"]] == ["n1"]


async def test_lists_are_selected_by_namespace_labels_and_fields():
    async with measured() as api:
        assert await names(api, f"{BASE}/pods") == ["db", "web"]
        assert await names(api, PODS_IN_DEFAULT) == ["db", "web"]
        assert await names(api, f"{BASE}/namespaces/other/pods") == []
        assert await names(api, PODS_IN_DEFAULT, labelSelector="app=web") == ["web"]
        assert await names(api, PODS_IN_DEFAULT, fieldSelector="metadata.name=db") == ["db"]
        assert await names(api, f"{BASE}/pods", fieldSelector="metadata.namespace!=default") == []
        assert await names(api, f"{BASE}/nodes", labelSelector="zone notin (n1)") == []
        assert await names(api, f"{BASE}/pods", limit="1") == ["db"]


@pytest.mark.parametrize("path", ["nodes/n2", "nodes/n9", "namespaces/default/pods/fresh"])
async def test_what_has_no_figure_is_not_found(path):
    async with measured() as api:
        status, found = await api.ask("GET", f"{BASE}/{path}")
        resource, name = path.split("/")[-2:]
        assert (status, found["reason"]) == (404, "NotFound")
        assert found["message"] == f'{resource}.metrics.k8s.io "{name}" not found'


async def test_a_pod_that_is_gone_has_no_metrics_though_its_node_said_so():
    async with measured() as api:
        await api.verbs.delete(PODS, "default", "web", grace_s=0)
        assert await names(api, f"{BASE}/pods") == ["db"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", PODS_IN_DEFAULT),
        ("DELETE", PODS_IN_DEFAULT),
        ("PUT", f"{PODS_IN_DEFAULT}/web"),
        ("PATCH", f"{PODS_IN_DEFAULT}/web"),
        ("DELETE", f"{PODS_IN_DEFAULT}/web"),
        ("GET", f"{PODS_IN_DEFAULT}?watch=true"),
        ("POST", f"{BASE}/nodes"),
    ],
)
async def test_nobody_can_change_or_watch_what_is_measured(method, path):
    async with measured() as api:
        status, found = await api.ask(method, path, {})
        assert (status, found["reason"]) == (405, "MethodNotAllowed")


async def test_tables_show_the_units_of_kubectl_top():
    async with measured() as api:
        _, found = await api.ask("GET", f"{BASE}/pods", headers=TABLE)
        assert [column["name"] for column in found["columnDefinitions"]] == [
            "Name", "CPU", "Memory", "Window",
        ]  # fmt: skip
        rows = [row["cells"] for row in found["rows"]]
        assert rows == [["db", "1m", "0Mi", "15.02s"], ["web", "6m", "50Mi", "15.02s"]]
        _, found = await api.ask("GET", f"{BASE}/nodes/n1", headers=TABLE)
        assert [row["cells"] for row in found["rows"]] == [["n1", "1500m", "3072Mi", "15.02s"]]
