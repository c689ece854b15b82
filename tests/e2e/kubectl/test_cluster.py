"""kubectl and a whole cluster on this machine: what a user of the README does."""

import json
import uuid
from collections.abc import Iterator

import pytest

from tests.e2e.kubectl import binaries, needs
from tests.e2e.kubectl.binaries import Kubectl
from tests.e2e.kubectl.cluster import up
from tests.e2e.kubectl.definitions import DEFINITION, OBJECT
from tests.e2e.waiting import eventually

RUN = uuid.uuid4().hex[:6]
IMAGE = f"longshore-test-kubectl-{RUN}:1"
PREFIX = "node"
SERVE = "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done"

pytestmark = needs.KUBECTL_AND_CLUSTER


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory) -> Iterator[Kubectl]:
    """kubectl, for a cluster of two nodes."""
    folder = tmp_path_factory.mktemp("cluster")
    with up(folder, IMAGE, nodes=2) as cluster:
        yield Kubectl(binaries.usual(), cluster.server, folder)


@pytest.fixture
def namespace(kubectl) -> Iterator[str]:
    """A namespace of the test's own, deleted with everything in it."""
    name = f"n{uuid.uuid4().hex[:6]}"
    kubectl("create", "namespace", name)
    yield name
    assert f'namespace "{name}" deleted' in kubectl("delete", "namespace", name)


def manifest(namespace: str, *, replicas: int = 2, command: str = SERVE) -> str:
    labels = {"app": "web"}
    container = {"name": "c", "image": IMAGE, "command": ["sh", "-c", command]}
    return json.dumps(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": namespace},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        }
    )


def test_a_deployment_is_rolled_out_scaled_changed_and_rolled_back(kubectl, namespace) -> None:
    inside = ("-n", namespace)
    kubectl("apply", "-f", "-", given=manifest(namespace))
    status = ("rollout", "status", "deployment/web", "--timeout=40s", *inside)
    assert "successfully rolled out" in kubectl(*status)
    assert kubectl("get", "deployment", "web", "--no-headers", *inside).split()[:4] == [
        "web", "2/2", "2", "2",
    ]  # fmt: skip
    kubectl("scale", "deployment", "web", "--replicas=3", *inside)
    assert "successfully rolled out" in kubectl(*status)
    nodes = kubectl("get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}", *inside).split()
    assert set(nodes) == {f"{PREFIX}-1", f"{PREFIX}-2"}
    kubectl("set", "env", "deployment/web", "A=2", *inside)
    assert "successfully rolled out" in kubectl(*status)
    assert "3" not in kubectl("rollout", "history", "deployment/web", *inside).split()
    kubectl("rollout", "undo", "deployment/web", *inside)
    assert "successfully rolled out" in kubectl(*status)
    assert "3" in kubectl("rollout", "history", "deployment/web", *inside).split()
    path = "jsonpath={.spec.template.spec.containers[0].env}"
    assert kubectl("get", "deployment", "web", "-o", path, *inside) == ""
    kubectl("rollout", "restart", "deployment/web", *inside)
    assert "successfully rolled out" in kubectl(*status)
    kubectl("delete", "deployment", "web", *inside)
    kubectl("wait", "--for=delete", "pod", "-l", "app=web", "--timeout=40s", *inside)


def test_a_pods_log_is_read_and_followed_to_its_end(kubectl, namespace) -> None:
    inside = ("-n", namespace)
    script = "echo one; echo two >&2; sleep 1; echo three"
    kubectl(
        "run", "p", f"--image={IMAGE}", "--restart=Never", "--command", *inside, "--", "sh", "-c", script
    )  # fmt: skip
    kubectl("wait", "--for=jsonpath={.status.startTime}", "pod/p", "--timeout=20s", *inside)
    eventually(
        lambda: kubectl.run("logs", "p", *inside).code == 0, within_s=20, what="it has a log"
    )
    lines = kubectl("logs", "-f", "p", *inside).split()
    assert sorted(lines[:2]) == ["one", "two"]  # Docker reads the two streams one by one
    assert lines[2:] == ["three"]
    assert kubectl("logs", "p", "--tail=1", *inside) == "three\n"
    stamped = kubectl("logs", "p", "--timestamps", "--limit-bytes=30", *inside)
    assert stamped.startswith("20")
    kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/p", "--timeout=20s", *inside)
    assert kubectl("get", "pod", "p", "--no-headers", *inside).split()[2] == "Completed"
    assert "previous terminated container" in kubectl.fails("logs", "p", "--previous", *inside)


def test_what_happened_is_told_by_events_and_descriptions(kubectl, namespace) -> None:
    inside = ("-n", namespace)
    kubectl("apply", "-f", "-", given=manifest(namespace, replicas=1))
    kubectl("rollout", "status", "deployment/web", "--timeout=40s", *inside)
    events = kubectl("get", "events", *inside)
    for reason in ("ScalingReplicaSet", "SuccessfulCreate", "Scheduled", "Started"):
        assert reason in events
    pod = kubectl("get", "pods", "-o", "name", *inside).strip()
    assert f"Successfully assigned {namespace}/" in kubectl("describe", pod, *inside)
    assert "NewReplicaSetAvailable" in kubectl("describe", "deployment", "web", *inside)
    assert "Scaled up" in kubectl("events", "--for", "deployment/web", *inside)
    assert f"pod/{pod.removeprefix('pod/')}" in kubectl("get", "all", *inside)


def test_nodes_are_shown_cordoned_and_uncordoned(kubectl, namespace) -> None:
    node = f"{PREFIX}-1"
    header, *lines = kubectl("get", "nodes", "-o", "wide").splitlines()
    assert header.split()[:5] == ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]
    assert [line.split()[:2] for line in lines] == [[node, "Ready"], [f"{PREFIX}-2", "Ready"]]
    kubectl("cordon", node)
    try:
        assert "SchedulingDisabled" in kubectl("get", "node", node)
        kubectl("apply", "-f", "-", given=manifest(namespace))
        kubectl("rollout", "status", "deployment/web", "--timeout=40s", "-n", namespace)
        path = "jsonpath={.items[*].spec.nodeName}"
        placed = kubectl("get", "pods", "-n", namespace, "-o", path).split()
        assert placed == [f"{PREFIX}-2"] * 2
    finally:
        kubectl("uncordon", node)
    assert "SchedulingDisabled" not in kubectl("get", "node", node)
    assert "Non-terminated Pods" in kubectl("describe", "node", node)


def test_a_drained_node_is_left_by_its_pods(kubectl, namespace) -> None:
    node = f"{PREFIX}-1"
    kubectl("apply", "-f", "-", given=manifest(namespace, replicas=2))
    kubectl("rollout", "status", "deployment/web", "--timeout=40s", "-n", namespace)
    try:
        kubectl("drain", node, "--timeout=40s")
        kubectl("rollout", "status", "deployment/web", "--timeout=40s", "-n", namespace)
        path = "jsonpath={.items[*].spec.nodeName}"
        placed = kubectl("get", "pods", "-n", namespace, "-o", path).split()
        assert placed == [f"{PREFIX}-2"] * 2
    finally:
        kubectl("uncordon", node)


def test_a_drain_waits_for_what_a_disruption_budget_wants_to_stay(kubectl, namespace) -> None:
    inside = ("-n", namespace)
    first, second = f"{PREFIX}-1", f"{PREFIX}-2"
    available = "{.status.availableReplicas}{'\\n'}"
    try:
        kubectl("cordon", second)
        kubectl("apply", "-f", "-", given=manifest(namespace, replicas=2))
        kubectl("rollout", "status", "deployment/web", "--timeout=40s", *inside)
        kubectl("create", "pdb", "web", "--selector=app=web", "--max-unavailable=1", *inside)
        allowed = "--for=jsonpath={.status.disruptionsAllowed}=1"
        kubectl("wait", allowed, "pdb/web", "--timeout=10s", *inside)
        kubectl("uncordon", second)
        watching = kubectl.start(
            "get", "deployment", "web", "-w", "-o", f"jsonpath={available}", *inside
        )
        try:
            drained = kubectl.run("drain", first, "--timeout=80s", timeout_s=90)
        finally:
            watching.terminate()
        seen, _ = watching.communicate(timeout=10)
    finally:
        kubectl("uncordon", first)
        kubectl("uncordon", second)
    assert drained.code == 0, drained
    assert drained.out.count(" evicted\n") == 2
    assert "(will retry after 5s): Cannot evict pod as it would violate the pod's" in drained.err
    assert "1" in seen.split()
    assert set(seen.split()) <= {"1", "2"}  # never none: then the field would be absent
    assert "" not in seen.splitlines()
    placed = kubectl("get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}", *inside).split()
    assert placed == [second] * 2
    row = kubectl("get", "pdb", "web", "--no-headers", *inside).split()
    assert row[:4] == ["web", "N/A", "1", "1"]
    assert "Allowed disruptions:  1" in kubectl("describe", "pdb", "web", *inside)


def test_a_pod_that_finds_no_node_says_why(kubectl, namespace) -> None:
    overrides = '{"spec":{"nodeSelector":{"disk":"none"}}}'
    kubectl("run", "p", f"--image={IMAGE}", f"--overrides={overrides}", "-n", namespace)

    def reason() -> bool:
        return "FailedScheduling" in kubectl("describe", "pod", "p", "-n", namespace)

    eventually(reason, within_s=20, what="an event says why")
    assert "0/2 nodes are available" in kubectl("describe", "pod", "p", "-n", namespace)


def test_a_kind_that_a_user_declares_is_served_until_its_definition_goes(kubectl, namespace):
    crd = "customresourcedefinition.apiextensions.k8s.io/crontabs.stable.example.com"
    assert kubectl("apply", "-f", "-", given=DEFINITION) == f"{crd} created\n"
    assert "condition met" in kubectl("wait", "--for=condition=established", crd)
    made = kubectl("apply", "-n", namespace, "-f", "-", given=OBJECT)
    assert made == "crontab.stable.example.com/nightly created\n"
    headers, row = kubectl("get", "ct", "-n", namespace).splitlines()
    assert headers.split() == ["NAME", "SCHEDULE", "AGE"]
    assert row.startswith("nightly   0 3 * * *")
    spec = kubectl("get", "ct", "nightly", "-n", namespace, "-o", "jsonpath={.spec}")
    assert json.loads(spec) == {"cronSpec": "0 3 * * *", "replicas": 1}
    assert "cronSpec" in kubectl("explain", "crontab.spec")
    assert "scaled" in kubectl("scale", "ct/nightly", "-n", namespace, "--replicas=3")
    patch = json.dumps({"spec": {"cronSpec": "daily", "replicas": 0}})
    said = kubectl.fails("patch", "ct", "nightly", "-n", namespace, "--type=merge", "-p", patch)
    assert "spec.cronSpec: Invalid value" in said
    assert "spec.replicas: Invalid value: 0" in said
    wrong = OBJECT.replace("cronSpec", "cronSpce")
    said = kubectl.fails("create", "-n", namespace, "-f", "-", given=wrong)
    assert 'unknown field "spec.cronSpce"' in said
    assert "serverside-applied" in kubectl(
        "apply", "--server-side", "--field-manager=other", "-n", namespace, "-f", "-", given=OBJECT
    )
    assert '"crontabs.stable.example.com" deleted' in kubectl("delete", crd)
    assert "could not find the requested resource" in kubectl.fails("get", "ct", "-n", namespace)
