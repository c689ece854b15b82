"""Every scene of ``sessions`` with a real kubectl and a real cluster of two nodes."""

import itertools
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import REQUIRED
from tests.e2e.kubeapi import KubeApi
from tests.e2e.kubectl import binaries, commands, needs
from tests.e2e.kubectl.cluster import Up, up
from tests.e2e.kubectl.sessions import FOLDER, Scene, Step, read, scenes
from tests.e2e.kubectl.shell import Printed, Shell, at_shell
from tests.e2e.waiting import eventually

IMAGE = f"longshore-test-sessions-{uuid.uuid4().hex[:6]}:1"
ONE_COMMAND_S_MAX = 60.0
LOOK_EVERY_S = 0.1
EVERY_VERSION = FOLDER / "versions.md"
"""The page that the oldest and the newest kubectl play, too."""

PROMPT = ("LONGSHORE_AUTOSCALER_SYNC_MS=1000", "LONGSHORE_AGENT_USAGE_PERIOD_S=2")
"""What takes its time in a real cluster, an autoscaler above all, is not waited for here."""

OTHERS = [path for path in binaries.varied() if path != binaries.usual()]

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(
        not binaries.found() and os.environ.get(REQUIRED) != "1",
        reason="no kubectl on this machine",
    ),
    needs.DOCKER,
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Up]:
    assert binaries.found(), "no kubectl on this machine"
    with up(tmp_path_factory.mktemp("cluster"), IMAGE, nodes=2, settings=PROMPT) as found:
        yield found


@pytest.fixture(scope="module")
def kubectl() -> Path:
    """The one whose words the sessions have."""
    assert binaries.found(), "no kubectl on this machine"
    found, wanted = binaries.usual(), commands.version()
    if (version := commands.version_of(found)) != wanted:
        reason = f"the sessions are those of kubectl {wanted}, and this one is {version}"
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="module")
def names() -> Iterator[str]:
    """Of namespaces; the same in every run of the same tests."""
    return (f"scene-{number}" for number in itertools.count(1))


def config(server: str, namespace: str) -> str:
    """A kubeconfig as a user of the cluster has it, within one namespace."""
    context = {"cluster": "longshore", "user": "admin", "namespace": namespace}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "longshore", "cluster": {"server": server}}],
            "users": [{"name": "admin", "user": {}}],
            "contexts": [{"name": "longshore", "context": context}],
            "current-context": "longshore",
        }
    )


def filled(text: str, env: dict[str, str]) -> str:
    return text.replace("$NAMESPACE", env["NAMESPACE"]).replace("$IMAGE", env["IMAGE"])


def write_files(home: Path, files: dict[str, str], env: dict[str, str]) -> None:
    for name, text in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(filled(text, env))
        if text.startswith("#!"):
            path.chmod(0o755)


def played(shell: Shell, step: Step) -> Printed:
    """The last attempt at a step: it is as expected, or was so at no time."""
    deadline = time.monotonic() + step.within_s
    while True:
        printed = shell.run(step.command, ONE_COMMAND_S_MAX)
        if step.is_met_by(*printed) or time.monotonic() > deadline:
            return printed
        time.sleep(LOOK_EVERY_S)


def told(step: Step, printed: Printed) -> str:
    """How it went otherwise, to be read beside the page."""
    return (
        f"{step.where}  $ {step.command}\n"
        f"--- expected, with exit code {step.code}:\n{step.expected}\n"
        f"--- printed, with exit code {printed.code}:\n{printed.text}"
    )


def play(scene: Scene, kubectl: Path, cluster: Up, namespace: str, home: Path) -> None:
    env = {
        "NAMESPACE": namespace,
        "IMAGE": IMAGE,
        "NATS": cluster.nats,
        "TMPDIR": str(home),
        "KUBECACHEDIR": str(home.parent / f"cache-{kubectl.name}"),  # one for all scenes
    }
    write_files(home, {**scene.files, ".kube/config": config(cluster.server, namespace)}, env)
    api = KubeApi(cluster.server)
    api.create("/api/v1/namespaces", {"kind": "Namespace", "metadata": {"name": namespace}})
    try:
        with at_shell(home, kubectl, env) as shell:
            for written in scene.steps:
                step = written._replace(expected=filled(written.expected, env))
                printed = played(shell, step)
                if not step.is_met_by(*printed):
                    pytest.fail(told(step, printed), pytrace=False)
    finally:
        api.call("DELETE", f"/api/v1/namespaces/{namespace}")
    # A node that the next scene drains must be without this one's pods.
    eventually(lambda: is_gone(api, namespace), within_s=60, what=f"{namespace} is gone")


def is_gone(api: KubeApi, namespace: str) -> bool:
    found = api.get("/api/v1/namespaces")["items"]
    return all(item["metadata"]["name"] != namespace for item in found)


@pytest.mark.parametrize("scene", scenes(), ids=lambda scene: scene.id)
def test_a_scene_goes_as_written(scene, kubectl, cluster, names, tmp_path) -> None:
    play(scene, kubectl, cluster, next(names), tmp_path)


@pytest.mark.parametrize("binary", OTHERS, ids=lambda path: path.name)
@pytest.mark.parametrize("scene", read(EVERY_VERSION), ids=lambda scene: scene.id)
def test_other_versions_work_as_well(scene, binary, cluster, names, tmp_path) -> None:
    play(scene, binary, cluster, next(names), tmp_path)


def test_the_kept_commands_are_those_of_the_binary(kubectl) -> None:
    assert commands.KEPT.read_text() == commands.written(kubectl)
