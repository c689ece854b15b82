"""What `longshore` can do and kubectl cannot, on a whole cluster: why, status, deploy, ui."""

import json
import os
import re
import signal
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.cli import chromium
from tests.e2e.cli.conftest import Longshore
from tests.e2e.kubectl.cluster import ENGINE, up
from tests.e2e.waiting import eventually

RUN = uuid.uuid4().hex[:6]
IMAGE = f"longshore-test-views-{RUN}:1"
SERVE = ["sh", "-c", "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done"]

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(
        not ENGINE.answers() and os.environ.get("LONGSHORE_REQUIRE_E2E") != "1",
        reason="no Docker engine answers at /var/run/docker.sock",
    ),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Iterator[Path]:
    """The folder of a cluster of three nodes that may be killed."""
    with up(tmp_path_factory.mktemp("views"), IMAGE, 3, "--simulate-host-loss") as cluster:
        yield cluster.data


@pytest.fixture(scope="module")
def longshore(data) -> Longshore:
    """Its command line; one of its nodes is cordoned, one tainted, and there is all sorts of trouble."""
    run = Longshore(data / "kubeconfig", data)
    run("cordon", "node-2")
    run("taint", "nodes", "node-3", "gpu=yes:NoSchedule")
    run("apply", "-f", "-", given=yaml.safe_dump_all(troubles()))
    return run


def explained(longshore: Longshore, *names: str) -> Any:
    """As a program reads it."""
    return json.loads(longshore("why", *names, "-o", "json"))


def pod(name: str, command: list[str] | None = None, **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": spec.pop("image", IMAGE), "command": command or SERVE}
    container |= spec.pop("container", {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [container], **spec},
    }


def on(node: str) -> dict[str, Any]:
    return {"nodeSelector": {"kubernetes.io/hostname": node}}


def troubles() -> list[dict[str, Any]]:
    """Every way to go wrong, at once: what they show takes its time."""
    big = {"resources": {"requests": {"cpu": "999"}}}
    small = {"resources": {"limits": {"memory": "16Mi"}}}
    return [
        pod("well"),
        pod("noimage", image="registry.invalid/none:1"),
        pod("nocommand", ["/bin/nothing-here"]),
        pod("loop", ["sh", "-c", "echo '\033[31mcannot open /etc/web.conf'; exit 3"]),
        pod("oom", ["sh", "-c", "echo filling; tail /dev/zero"], container=small),
        pod("big", container=big),
        pod("onto-tainted", **on("node-3")),
        pod("onto-cordoned", **on("node-2")),
        pod("onto-nothing", nodeSelector={"disk": "ssd"}),
    ]


REASONS = {
    "noimage": "ImageNotPulled",
    "nocommand": "CommandNotFound",
    "loop": "ExitsWithError",
    "oom": "OutOfMemory",
    "big": "Unschedulable",
    "onto-tainted": "Unschedulable",
    "onto-cordoned": "Unschedulable",
    "onto-nothing": "Unschedulable",
}


@pytest.fixture(scope="module")
def first(longshore) -> dict[str, Any]:
    """The first finding on each pod in trouble, once each shows the trouble it was made for."""

    def found() -> dict[str, Any]:
        told = explained(longshore, "pod", *REASONS)
        first = {one["name"]: one["findings"][0] for one in told}
        is_so = all(first[name]["reason"] == reason for name, reason in REASONS.items())
        waits = all("tried again" in first[name]["what"] for name in ("nocommand", "loop", "oom"))
        return first if is_so and waits else {}

    return eventually(found, within_s=60, what="every pod shows its trouble")


@pytest.mark.parametrize(
    ("name", "what", "evidence", "next_"),
    [
        ("noimage", "name of its registry is not known", "no such host", "set image"),
        ("nocommand", "'/bin/nothing-here' is not in the image", "stat /bin", "logs"),
        ("loop", "exited with code 3, and is tried again", "exit code 3", "--previous"),
        ("oom", "more memory than its limit of 16Mi", "OOMKilled", "--previous"),
        ("big", "1 too small, 1 cordoned, 1 tainted", "asks for 999", "describe"),
        ("onto-tainted", "1 tainted", "gpu=yes:NoSchedule", "taint nodes node-3 gpu-"),
        ("onto-cordoned", "1 cordoned", "node-2: is cordoned", "uncordon node-2"),
        ("onto-nothing", "No node can take it", "wants disk=ssd", "label node"),
    ],
)
def test_why_a_pod_does_not_run_is_told_in_words(first, name, what, evidence, next_):
    found = first[name]
    assert found["weight"] == "problem"
    assert what in found["what"]
    assert evidence in "\n".join(found["evidence"])
    assert any(next_ in command for command in found["next"]), found["next"]


def test_a_pod_that_is_well_needs_no_explanation(longshore):
    eventually(lambda: "Running" in longshore("get", "pod", "well"), within_s=30, what="it runs")
    assert "nothing to explain" in longshore("why", "well")


def test_the_last_lines_of_a_log_cannot_paint_the_terminal(longshore):
    def text() -> str:
        found = longshore("why", "loop")
        return found if "Its last lines:" in found else ""

    said = eventually(text, within_s=40, what="there is a log")
    assert "| ?[31mcannot open /etc/web.conf" in said
    assert "\033" not in said


def test_the_status_tells_what_is_wrong_and_exits_with_1(longshore, first):
    answer = longshore.run("status")
    assert answer.code == 1
    assert "NODES  3 of 3 ready" in answer.out
    assert re.search(r"node-2\s+Ready,cordoned", answer.out)
    assert "longshore why onto-cordoned" in answer.out
    assert "live, ready, writes" in answer.out
    document = json.loads(longshore.run("status", "-o", "json").out)
    assert first.keys() <= {one["name"] for one in document["problems"]}


def test_a_deployment_is_deployed_changed_and_taken_back_when_it_fails(longshore):
    """Then it is gone, and its pods say so."""
    first = longshore("deploy", IMAGE, "--name=web", "--replicas=2", "--env=A=1", "--", *SERVE)
    assert first.startswith("deployment.apps/web created\n")
    assert re.search(r"deploy/web is rolled out: 2 of 2 ready after [0-9.]+ s\n$", first)
    second = longshore("deploy", IMAGE, "--name=web", "--env=B=2")
    assert "2 old pods left" in second
    path = "jsonpath={.spec.template.spec.containers[0].env[*].name}"
    assert longshore("get", "deploy", "web", "-o", path).split() == ["A", "B"]
    third = longshore.run("deploy", f"{IMAGE}-none", "--name=web", "--timeout=6s")
    assert third.code == 1
    assert "stuck: 1 of 3 pods: Image" in third.out
    assert "longshore rollout undo deploy/web" in third.out
    assert "not rolled out after 6 s" in third.err
    longshore("rollout", "undo", "deploy/web")
    assert "is rolled out" in longshore("deploy", IMAGE, "--name=web")
    name = longshore("get", "pods", "-l", "app=web", "-o", "name").split()[0]
    longshore("delete", "deploy", "web")
    longshore("wait", "--for=delete", name, "--timeout=40s")
    assert f"pod {name.removeprefix('pod/')} is gone" in longshore("why", name)


def test_a_manifest_whose_pods_never_start_fails_at_its_deadline(longshore, tmp_path):
    labels = {"app": "late"}
    spec = pod("x", ["/bin/nothing-here"])["spec"]
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "late"},
        "spec": {
            "progressDeadlineSeconds": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
    file = tmp_path / "late.yaml"
    file.write_text(yaml.safe_dump(manifest))
    answer = longshore.run("deploy", "-f", str(file))
    assert answer.code == 1, answer
    assert "deploy/late failed" in answer.out
    assert "made no progress for longer than progressDeadlineSeconds (2 s)" in answer.out
    assert "next: longshore why deploy/late" in answer.out

    def reasons() -> list[str]:
        return [one["reason"] for one in explained(longshore, "deploy/late")["findings"]]

    both = ["ProgressDeadlineExceeded", "CommandNotFound"]
    eventually(lambda: reasons() == both, within_s=30, what="its pods' reason is told, too")
    longshore("delete", "deploy", "late")


def test_ctrl_c_stops_watching_and_not_the_rollout(longshore):
    with longshore.beside("deploy", f"{IMAGE}-none", "--name=slow") as process:
        assert process.stdout is not None
        eventually(
            lambda: "updated" in process.stdout.readline(), within_s=30, what="it is watched"
        )
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "the rollout goes on: longshore rollout status deploy/slow" in told
    assert "slow" in longshore("get", "deploy")
    longshore("delete", "deploy", "slow")


@pytest.fixture
def page(longshore) -> Iterator[str]:
    """The address of `longshore ui`."""
    with longshore.beside("ui", "--port=0", "--no-open") as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=20)
        assert process.returncode == 130, told


def test_the_page_of_ui_and_its_files_are_served(page):
    with urllib.request.urlopen(page, timeout=20) as answer:
        text = answer.read().decode()
    for name in re.findall(r'(?:src|href)="/(page/[^"]+)"', text):
        with urllib.request.urlopen(page + name, timeout=20) as answer:
            assert answer.status == 200


@pytest.mark.skipif(chromium.found() is None, reason="no Chromium on this machine")
async def test_the_page_shows_the_cluster_as_it_changes(longshore, page, tmp_path):
    async with chromium.tab(tmp_path) as tab:
        await tab.open(page)
        await tab.until("document.querySelectorAll('.node').length === 4")  # and one for none
        assert "wrong" in await tab.value("document.querySelector('h1').textContent")
        await tab.until("document.querySelector('.tile.bad') !== null")

        await tab.value("document.querySelector('a[href=\"#/pod/default/loop\"]').click()")
        await tab.until("document.querySelector('.findings .problem') !== null")
        assert "exited with code 3" in await tab.value(
            "document.querySelector('.findings').innerText"
        )
        log = "document.querySelector('.log').textContent"
        await tab.until(f"{log}.includes('cannot open /etc/web.conf')")
        assert "[31m" not in await tab.value(log)

        await tab.value("location.hash = '#/pods'")
        await tab.until("document.querySelectorAll('tbody tr').length >= 9")
        longshore("apply", "-f", "-", given=yaml.safe_dump(pod("newcomer")))
        await tab.until("document.body.innerText.includes('newcomer')")
        longshore("delete", "pod", "newcomer", "--grace-period=0", "--force")
        await tab.until("!document.body.innerText.includes('newcomer')")
        assert tab.complaints == []


def test_a_lost_node_is_told_by_all_of_them(longshore, data):
    longshore("node", "kill", "node-1", "--data", str(data))
    try:
        eventually(
            lambda: "2 of 3 ready" in longshore.run("status").out, within_s=30, what="it is lost"
        )
        assert "longshore why node/node-1" in longshore.run("status").out
        told = longshore("why", "node/node-1")
        assert "NotReady for" in told
        assert "HostUnreachable" in told
        assert "longshore why node/node-1" in longshore("why", "well")
    finally:
        longshore("node", "start", "node-1", "--data", str(data))
