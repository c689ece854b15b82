"""`why`, `status` and `deploy`, over a real API with a store in memory."""

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest
from rich.console import Console
from typer.main import get_command

from orchestrator.cli.app import app
from orchestrator.cli.connection import connected
from orchestrator.cli.image_manifest import ImageOptions
from orchestrator.cli.mirror import mirrored
from orchestrator.cli.refused import Refused, ServerRefused
from orchestrator.cli.rollout import PodLine, Rollout, Verdict
from orchestrator.cli.session import Session
from orchestrator.cli.verbs.deploy import DeployOptions, deploy
from orchestrator.cli.verbs.rollout_view import picture
from orchestrator.cli.verbs.status import status
from orchestrator.cli.verbs.why import now_ms, why
from orchestrator.cli.where import Where
from orchestrator.cli.why import Finding, Weight
from proto.meta import format_time
from tests.unit.api.server import Running, running

PODS = "/api/v1/namespaces/default/pods"
WEB = "/apis/apps/v1/namespaces/default/deployments/web"
MERGE = {"Content-Type": "application/merge-patch+json"}
LONG_AGO = format_time(1_700_000_000_000)

ENDED = {"exitCode": 1, "reason": "Error", "startedAt": LONG_AGO, "finishedAt": LONG_AGO}
CRASHED = {
    "phase": "Running",
    "containerStatuses": [
        {
            "name": "c",
            "containerID": "docker://1",
            "restartCount": 2,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s x"}},
            "lastState": {"terminated": ENDED},
        }
    ],
}


class Command(NamedTuple):
    """A session with an API of its own."""

    api: Running
    session: Session

    async def has_pod(self, name: str, status: dict | None = None, node: str = "n1") -> None:
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "web:1"}]},
        }
        assert (await self.api.ask("POST", PODS, body))[0] == 201
        if status:
            path = f"{PODS}/{name}/status"
            code, found = await self.api.ask("PATCH", path, {"status": status}, headers=MERGE)
            assert code == 200, found


@asynccontextmanager
async def command(namespace: str = "") -> AsyncIterator[Command]:
    async with (
        running() as api,
        connected(Where(server=api.url, namespace=namespace)) as client,
    ):
        yield Command(api, Session(client))


def printed(capsys) -> str:
    """Without the API's log."""
    lines = capsys.readouterr().out.splitlines()
    return "\n".join(line for line in lines if not line.startswith("20"))


async def test_a_pod_is_explained_with_the_last_lines_of_its_log(capsys):
    async with command() as given:
        await given.has_pod("web", CRASHED)
        await why(given.session, ["web"], "")
        summary, _, what, evidence, *rest = printed(capsys).splitlines()
        assert re.fullmatch(r"pod web is CrashLoopBackOff on n1, \d+s old, 2 restarts", summary)
        assert what == "✗ Its container exited with code 1, and is tried again about now"
        assert evidence.startswith("    exit code 1, Error, ")
        assert rest == [
            "    CrashLoopBackOff after 3 attempts",
            "  Its last lines:",
            "    | one",
            "    | two",
            "  The program itself gave up: its log says why.",
            "  Next:",
            "    longshore logs web --previous",
        ]


async def test_a_word_that_is_no_pod_may_be_a_workload_or_a_node(capsys):
    async with command() as given:
        image = DeployOptions(image=ImageOptions(image="web:1"), is_waiting=False)
        await deploy(given.session, image)
        await why(given.session, ["web"], "json")
        assert json.loads(printed(capsys).partition("\n")[2])["kind"] == "deploy"


async def test_what_is_nowhere_is_refused_with_what_may_be_meant():
    async with command() as given:
        await given.has_pod("web-1")
        with pytest.raises(ServerRefused) as refused:
            await why(given.session, ["web-2"], "")
        assert refused.value.hint == "did you mean web-1?"
        with pytest.raises(Refused, match="is not TYPE/NAME"):
            await why(given.session, ["pods/"], "")


async def test_a_kind_that_is_not_understood_is_explained_by_its_finalizers(capsys):
    async with command() as given:
        path = "/api/v1/namespaces/default/configmaps"
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "held", "finalizers": ["example.com/keep"]},
        }
        await given.api.ask("POST", path, body)
        await given.api.ask("DELETE", f"{path}/held")
        await why(given.session, ["configmap/held"], "")
        assert "1 finalizer holds it: example.com/keep" in printed(capsys)


async def test_the_status_of_a_quiet_cluster_is_0_and_of_one_with_trouble_1(capsys):
    async with command() as given:
        assert await status(given.session, output="", is_watching=False) == 0
        assert printed(capsys).startswith("✓ all is well")
        await given.has_pod("web", CRASHED)
        assert await status(given.session, output="", is_watching=False) == 1
        assert "longshore why web" in printed(capsys)
        assert await status(given.session, output="json", is_watching=False) == 1
        assert json.loads(printed(capsys))["problems"][0]["name"] == "web"


async def test_the_status_says_when_no_change_would_reach_a_node(capsys):
    async with command() as given:
        given.api.network.cut("orchestrator")
        assert await status(given.session, output="", is_watching=False) == 1
        assert "writes is not ready: NATS cannot be reached" in printed(capsys)


async def test_the_status_leaves_nothing_behind():
    async with command() as given:
        await status(given.session, output="json", is_watching=False)
        leases = "/apis/coordination.k8s.io/v1/leases"
        assert (await given.api.ask("GET", leases))[1]["items"] == []


async def test_a_screen_is_not_watched_without_a_terminal():
    async with command() as given:
        with pytest.raises(Refused, match="terminal"):
            await status(given.session, output="", is_watching=True)
        with pytest.raises(Refused, match="-o a document"):
            await status(given.session, output="json", is_watching=True)
        with pytest.raises(Refused, match="no output format 'wide'"):
            await status(given.session, output="wide", is_watching=False)


async def finish(api: Running, conditions: list | None = None) -> None:
    """What the deployment controller would do: here nothing else does."""
    async with asyncio.timeout(10):
        while (await api.ask("GET", WEB))[0] != 200:
            await asyncio.sleep(0.02)
    done = {
        "observedGeneration": 1,
        "replicas": 1,
        "updatedReplicas": 1,
        "readyReplicas": 1,
        "availableReplicas": 1,
        "conditions": conditions or [],
    }
    code, found = await api.ask("PATCH", f"{WEB}/status", {"status": done}, headers=MERGE)
    assert code == 200, found


async def test_a_deploy_is_watched_until_it_is_rolled_out(capsys):
    async with command() as given, asyncio.TaskGroup() as tasks:
        tasks.create_task(finish(given.api))
        options = DeployOptions(image=ImageOptions(image="web:1"), timeout="20s")
        assert await deploy(given.session, options) == 0
        lines = printed(capsys).splitlines()
        assert lines[0] == "deployment.apps/web created"
        assert lines[-1].startswith("deploy/web is rolled out: 0 of 1 ready after ")


async def test_a_deploy_past_its_deadline_fails_with_what_to_type_next(capsys):
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    async with command() as given, asyncio.TaskGroup() as tasks:
        tasks.create_task(finish(given.api, [late]))
        assert await deploy(given.session, DeployOptions(image=ImageOptions(image="web:1"))) == 1
        text = printed(capsys)
        assert "deploy/web failed: 1 of 1 updated" in text
        assert text.splitlines()[-1].startswith("next: longshore why deploy/web, or")


async def test_a_deploy_that_takes_too_long_is_given_up_and_goes_on(capsys):
    async with command() as given:
        options = DeployOptions(image=ImageOptions(image="web:1"), timeout="500ms")
        assert await deploy(given.session, options) == 1
        assert "deploy/web is not rolled out" in printed(capsys)
        assert (await given.api.ask("GET", WEB))[0] == 200


async def test_ctrl_c_stops_watching_and_says_that_the_rollout_goes_on(capsys):
    async with command() as given:
        options = DeployOptions(image=ImageOptions(image="web:1"))
        async with asyncio.TaskGroup() as tasks:
            deploying = tasks.create_task(deploy(given.session, options))
            async with asyncio.timeout(10):
                while (await given.api.ask("GET", WEB))[0] != 200:
                    await asyncio.sleep(0.02)
            deploying.cancel()
        assert deploying.cancelled()
        told = capsys.readouterr().err
        assert "the rollout goes on: longshore rollout status deploy/web" in told
        assert (await given.api.ask("GET", WEB))[0] == 200


async def test_manifests_are_applied_and_their_deployments_watched(tmp_path, capsys):
    file = tmp_path / "web.yaml"
    file.write_text(
        """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "web:1"}]}
"""
    )
    async with command() as given, asyncio.TaskGroup() as tasks:
        tasks.create_task(finish(given.api))
        assert await deploy(given.session, DeployOptions(files=(str(file),))) == 0
        text = printed(capsys)
        assert "configmap/settings created\ndeployment.apps/web created" in text
        assert "deploy/web is rolled out" in text


async def test_a_mirror_follows_changes_and_forgets_what_is_deleted():
    async with (
        command() as given,
        mirrored(given.session.client, now_ms, namespace="default", names=["pods"]) as mirror,
        asyncio.timeout(20),
    ):
        looks = mirror.changes(at_most_every_s=0.01, at_least_every_s=5)
        assert (await anext(looks)).pods == ()
        await given.has_pod("web")
        while [pod.metadata.name for pod in (await anext(looks)).pods] != ["web"]:
            pass
        await given.api.ask("DELETE", f"{PODS}/web?gracePeriodSeconds=0")
        while (await anext(looks)).pods:
            pass
        await looks.aclose()


async def test_a_mirror_says_when_it_is_behind():
    async with (
        command() as given,
        mirrored(given.session.client, now_ms, names=["pods"]) as mirror,
        asyncio.timeout(30),
    ):
        looks = mirror.changes(at_most_every_s=0.01, at_least_every_s=0.1)
        await anext(looks)
        assert mirror.problem == ""
        await given.api.stop()
        while not mirror.problem:
            await anext(looks)
        assert given.api.url in mirror.problem
        await looks.aclose()


@pytest.mark.parametrize("name", ["why", "status", "deploy", "ui"])
def test_the_help_of_each_has_examples(name):
    epilog = get_command(app).commands[name].epilog
    assert epilog.startswith("Examples:")
    assert f"longshore {name}" in epilog


def test_what_a_cluster_says_is_text_on_a_terminal_and_nothing_else():
    hostile = "[bold]x[/nothing] \x1b[2J\x07"
    found = Rollout(
        namespace="default",
        name="web",
        images=(hostile,),
        verdict=Verdict.ROLLING,
        pods=(
            PodLine(
                name=hostile,
                node=hostile,
                state=hostile,
                created=LONG_AGO,
                restarts=0,
                is_new=True,
                is_ready=False,
            ),
        ),
        stuck=(Finding(weight=Weight.PROBLEM, reason="X", what=hostile, output=(hostile,)),),
    )
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=200, color_system=None)
    for part in picture(found, now_ms()):
        console.print(part)
    text = out.getvalue()
    assert text.count("[bold]x[/nothing] ?[2J?") == 6
    assert "\x07" not in text
    assert "\x1b[2J" not in text
