"""kubectl top: what nodes, pods and containers use, with every way to ask for less or in order."""

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.kubectl import binaries, needs
from tests.e2e.kubectl.binaries import Kubectl
from tests.e2e.kubectl.cluster import Up, up
from tests.e2e.waiting import eventually

IMAGE = f"longshore-test-top-{uuid.uuid4().hex[:6]}:1"
NAMESPACE = "measured"
BUSY, SLEEP = "while :; do :; done", "sleep 100000"
HOLD = f"dd if=/dev/zero of=/dev/shm/held bs=1M count=50; {SLEEP}"
PODS = {"busy": {"c": BUSY}, "full": {"c": HOLD}, "idle": {"c": SLEEP, "side": SLEEP}}

pytestmark = needs.KUBECTL_AND_CLUSTER


def manifest(name: str, scripts: dict[str, str]) -> dict[str, object]:
    containers = [
        {
            "name": container,
            "image": IMAGE,
            "command": ["sh", "-c", script],
            # Its share where others want the cores, too: who asks for nothing gets next to nothing.
            "resources": {"requests": {"cpu": "1" if script == BUSY else "10m"}},
        }
        for container, script in scripts.items()
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": name, "of": "top"}},
        "spec": {"containers": containers, "terminationGracePeriodSeconds": 0},
    }


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Up]:
    """Two nodes, which look at their containers every two seconds."""
    folder = tmp_path_factory.mktemp("top")
    with up(folder, IMAGE, 2, settings=["LONGSHORE_AGENT_USAGE_PERIOD_S=2"]) as found:
        yield found


@pytest.fixture(scope="module")
def kubectl(cluster, tmp_path_factory) -> Kubectl:
    """kubectl, once everything has figures."""
    found = Kubectl(binaries.usual(), cluster.server, tmp_path_factory.mktemp("kubectl"))
    found("create", "namespace", NAMESPACE)
    items = [manifest(name, scripts) for name, scripts in PODS.items()]
    found(
        "apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    )

    def all_are_shown() -> bool:
        # Before there are figures, kubectl says so, and fails.
        pods = found.run("top", "pod", "-n", NAMESPACE, "--containers", "--no-headers").out
        nodes = found.run("top", "node", "--no-headers").out
        return len(lines(pods)) == 4 and memory(pods, "full") >= 50 and nodes.count("Mi") == 2

    eventually(all_are_shown, within_s=60, what="every node and container has a figure")
    return found


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def memory(text: str, pod: str) -> int:
    """MiB of the first line of a pod; 0 when there is none."""
    return next((int(line[-1].removesuffix("Mi")) for line in lines(text) if pod in line), 0)


def test_nodes_are_shown_with_their_share_of_what_there_is(kubectl) -> None:
    header, *rows = lines(kubectl("top", "node"))
    assert header == ["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"]
    assert [row[0] for row in rows] == ["node-1", "node-2"]
    for row in rows:
        for cell, unit in zip(row[1:], ("m", "%", "Mi", "%"), strict=True):
            assert re.fullmatch(rf"[1-9]\d*{unit}", cell), row
    assert lines(kubectl("top", "nodes", "node-2", "--no-headers"))[0][0] == "node-2"
    assert lines(kubectl("top", "no", "-l", "kubernetes.io/hostname=node-1"))[1][0] == "node-1"
    assert len(lines(kubectl("top", "node", "--sort-by=memory", "--no-headers"))) == 2
    assert len(lines(kubectl("top", "node", "--show-capacity"))) == 3


def test_pods_are_shown_of_one_namespace_or_of_all(kubectl) -> None:
    header, *rows = lines(kubectl("top", "pod", "-n", NAMESPACE))
    assert header == ["NAME", "CPU(cores)", "MEMORY(bytes)"]
    assert {row[0] for row in rows} == set(PODS)
    header, *rows = lines(kubectl("top", "pods", "-A"))
    assert header[0] == "NAMESPACE"
    assert {tuple(row[:2]) for row in rows} == {(NAMESPACE, name) for name in PODS}
    assert "No resources found in default namespace" in kubectl.run("top", "pod").err


def test_a_busy_pod_uses_cpu_an_idle_one_next_to_none_and_a_full_one_memory(kubectl) -> None:
    def cpu(pod: str) -> int:
        (row,) = lines(kubectl("top", "pod", pod, "-n", NAMESPACE, "--no-headers"))
        return int(row[1].removesuffix("m"))

    eventually(lambda: cpu("busy") >= 30, within_s=60, what="it gets some of a starved machine")
    assert cpu("idle") < 10
    shown = kubectl("top", "pod", "-n", NAMESPACE)
    assert 50 <= memory(shown, "full") < 60
    assert memory(shown, "idle") < 10


def test_pods_are_sorted_and_summed(kubectl) -> None:
    inside = ("-n", NAMESPACE, "--no-headers")
    by_cpu = lines(kubectl("top", "pod", "--sort-by=cpu", *inside))
    by_memory = lines(kubectl("top", "pod", "--sort-by=memory", *inside))
    assert (by_cpu[0][0], by_memory[0][0]) == ("busy", "full")
    *rows, _, total = lines(kubectl("top", "pod", "--sum", *inside))
    assert len(rows) == 3
    summed = sum(int(row[1].removesuffix("m")) for row in rows)
    assert abs(int(total[0].removesuffix("m")) - summed) <= 3  # each is rounded up
    assert total[1].endswith("Mi")


def test_containers_are_shown_one_by_one(kubectl) -> None:
    header, *rows = lines(kubectl("top", "pod", "idle", "--containers", "-n", NAMESPACE))
    assert header == ["POD", "NAME", "CPU(cores)", "MEMORY(bytes)"]
    assert sorted(row[:2] for row in rows) == [["idle", "c"], ["idle", "side"]]
    assert len(lines(kubectl("top", "pod", "-A", "--containers", "--no-headers"))) == 4


def test_pods_are_selected_by_labels_and_fields(kubectl) -> None:
    def shown(*arguments: str) -> set[str]:
        rows = lines(kubectl("top", "pod", "-n", NAMESPACE, "--no-headers", *arguments))
        return {row[0] for row in rows}

    assert shown("-l", "app=busy") == {"busy"}
    assert shown("-l", "app in (busy,idle),of") == {"busy", "idle"}
    assert shown("--field-selector", "metadata.name!=idle") == {"busy", "full"}
    assert shown("-l", "app=nothing") == set()


def test_what_is_not_there_has_no_metrics(kubectl) -> None:
    assert 'pods.metrics.k8s.io "nobody" not found' in kubectl.fails(
        "top", "pod", "nobody", "-n", NAMESPACE
    )
    assert 'nodes.metrics.k8s.io "nobody" not found' in kubectl.fails("top", "node", "nobody")
    assert "does not allow this method" in kubectl.fails(
        "delete", "podmetrics", "busy", "-n", NAMESPACE
    )


def test_metrics_are_objects_that_can_be_had_and_explained(kubectl) -> None:
    assert lines(kubectl("get", "podmetrics", "-n", NAMESPACE))[0] == [
        "NAME",
        "CPU",
        "MEMORY",
        "WINDOW",
    ]
    found = json.loads(
        kubectl("get", "--raw", f"/apis/metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/pods/full")
    )
    (container,) = found["containers"]
    assert re.fullmatch(r"0|\d+n", container["usage"]["cpu"])
    assert re.fullmatch(r"\d+Ki", container["usage"]["memory"])
    assert re.fullmatch(r"[\d.]+s", found["window"])
    assert "CPU in cores" in kubectl("explain", "podmetrics.containers.usage")
    assert "metrics.k8s.io/v1beta1" in kubectl("api-versions").split()
    assert kubectl("get", "pods", "-n", NAMESPACE, "-o", "name").split()[0].startswith("pod/")


@pytest.mark.parametrize("binary", binaries.varied(), ids=lambda path: path.name)
def test_every_kubectl_understands_the_metrics(cluster, kubectl, binary, tmp_path) -> None:
    other = Kubectl(binary, cluster.server, tmp_path)
    assert len(lines(other("top", "node"))) == 3
    assert len(lines(other("top", "pod", "-n", NAMESPACE, "--containers"))) == 5


def test_a_node_that_tells_nothing_is_unknown_and_so_are_its_pods(cluster, kubectl) -> None:
    """Whether its agent is dead, or too old to tell, or was told not to look."""
    where = "jsonpath={range .items[*]}{.metadata.name}={.spec.nodeName} {end}"
    nodes = dict(
        pair.split("=") for pair in kubectl("get", "pods", "-n", NAMESPACE, "-o", where).split()
    )
    victim = nodes["busy"]
    others = {pod for pod, node in nodes.items() if node != victim}
    longshore("node", "kill", victim, f"--data={cluster.data}")
    unknown = [victim, *["<unknown>"] * 4]
    eventually(
        lambda: unknown in lines(kubectl.run("top", "node", "--no-headers").out),
        within_s=60,
        what="the node's figures are forgotten",
    )
    shown = lines(kubectl.run("top", "pod", "-n", NAMESPACE, "--no-headers").out)
    assert {row[0] for row in shown} == others
    assert "not found" in kubectl.fails("top", "pod", "busy", "-n", NAMESPACE)
    longshore("node", "start", victim, f"--data={cluster.data}")
    eventually(
        lambda: len(lines(kubectl.run("top", "pod", "-n", NAMESPACE, "--no-headers").out)) == 3,
        within_s=60,
        what="they are told again",
    )


def longshore(*arguments: str) -> None:
    subprocess.run([Path(sys.executable).parent / "longshore", *arguments], check=True, timeout=30)
