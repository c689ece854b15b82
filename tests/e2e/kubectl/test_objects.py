"""Every kubectl of this machine against the API alone: no node, no controller."""

import asyncio
import json
import threading
from collections.abc import Iterator

import pytest

from tests.e2e.kubectl import binaries, needs
from tests.e2e.kubectl.binaries import Kubectl
from tests.e2e.waiting import eventually
from tests.unit.api.server import running

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: c, image: "web:1", env: [{name: A, value: "1"}], ports: [{containerPort: 80}]}
"""

pytestmark = needs.KUBECTL


@pytest.fixture
def server() -> Iterator[str]:
    """The URL of an API over a store in memory, on a thread of its own."""
    address: list[str] = []
    started, stopped = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with running() as api:
            address.append(api.url)
            started.set()
            await stopped.wait()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(10)
    yield address[0]
    loop.call_soon_threadsafe(stopped.set)
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture(params=binaries.varied(), ids=lambda path: path.name)
def kubectl(request, server, tmp_path_factory) -> Kubectl:
    return Kubectl(request.param, server, tmp_path_factory.mktemp("kubectl"))


@pytest.fixture
def one(server, tmp_path_factory) -> Kubectl:
    return Kubectl(binaries.usual(), server, tmp_path_factory.mktemp("kubectl"))


@pytest.mark.parametrize("binary", binaries.found(), ids=lambda path: path.name)
def test_each_of_them_creates_reads_and_deletes(binary, server, tmp_path) -> None:
    kubectl = Kubectl(binary, server, tmp_path)
    kubectl("create", "deployment", "web", "--image=web:1")
    assert kubectl("get", "deployments", "-o", "name") == "deployment.apps/web\n"
    kubectl("delete", "deployment", "web")
    assert kubectl("get", "deployments", "-o", "name") == ""


def read(kubectl: Kubectl, *what: str) -> dict:
    return json.loads(kubectl("get", *what, "-o", "json"))


def test_it_learns_what_there_is(kubectl: Kubectl) -> None:
    assert "Server Version: v1.32.0+longshore" in kubectl("version") or "v1.32" in kubectl(
        "version"
    )
    names = kubectl("api-resources", "-o", "name").split()
    assert {"pods", "nodes", "namespaces", "events", "deployments.apps", "replicasets.apps"} <= set(
        names
    )
    versions = kubectl("api-versions").split()
    assert {"apps/v1", "authentication.k8s.io/v1", "authorization.k8s.io/v1", "v1"} <= set(versions)
    assert versions == sorted(set(versions))
    assert "replicas" in kubectl("explain", "deployment.spec")
    assert '"whale" does not exist' in kubectl.fails("explain", "deployment.spec.whale")


def test_it_applies_changes_and_prunes_nothing(kubectl: Kubectl) -> None:
    assert kubectl("apply", "-f", "-", given=MANIFEST) == "deployment.apps/web created\n"
    assert kubectl("apply", "-f", "-", given=MANIFEST) == "deployment.apps/web unchanged\n"
    kubectl("set", "image", "deployment/web", "c=web:9")
    changed = MANIFEST.replace("replicas: 2", "replicas: 3").replace('value: "1"', 'value: "2"')
    assert kubectl("apply", "-f", "-", given=changed) == "deployment.apps/web configured\n"
    found = read(kubectl, "deployment", "web")
    assert found["spec"]["replicas"] == 3
    container = found["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "web:1"
    assert container["env"] == [{"name": "A", "value": "2"}]
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    difference = kubectl.run("diff", "-f", "-", given=MANIFEST)
    assert difference.code == 1
    assert "-  replicas: 3" in difference.out
    assert kubectl.run("diff", "-f", "-", given=changed).code == 0


def test_it_creates_replaces_and_deletes(kubectl: Kubectl) -> None:
    assert kubectl("create", "-f", "-", given=MANIFEST) == "deployment.apps/web created\n"
    assert 'deployments.apps "web" already exists' in kubectl.fails(
        "create", "-f", "-", given=MANIFEST
    )
    changed = MANIFEST.replace("replicas: 2", "replicas: 4")
    assert kubectl("replace", "-f", "-", given=changed) == "deployment.apps/web replaced\n"
    assert read(kubectl, "deployment/web")["spec"]["replicas"] == 4
    assert 'deployment.apps "web" deleted' in kubectl("delete", "-f", "-", given=MANIFEST)
    assert '"web" not found' in kubectl.fails("get", "deployment", "web")
    assert kubectl("delete", "deployment", "web", "--ignore-not-found") == ""


def test_it_creates_without_a_manifest(kubectl: Kubectl) -> None:
    kubectl("create", "namespace", "more")
    kubectl(
        "create", "deployment", "web", "-n", "more", "--image=web:1", "--replicas=3", "--port=80"
    )
    found = read(kubectl, "deployment", "web", "-n", "more")
    assert found["spec"]["replicas"] == 3
    assert found["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"] == 80
    kubectl("run", "p", "--image=web:1", "--env=A=1", "--labels=x=y", "--", "sleep", "9")
    found = read(kubectl, "pod", "p")
    assert found["spec"]["containers"][0]["args"] == ["sleep", "9"]
    shown = kubectl("run", "q", "--image=web:1", "--dry-run=server", "-o", "yaml")
    assert "imagePullPolicy: IfNotPresent" in shown
    assert 'pods "q" not found' in kubectl.fails("get", "pod", "q")


def test_it_patches_labels_scales_and_sets(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", given=MANIFEST)
    strategic = '{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"web:2"}]}}}}'
    kubectl("patch", "deployment", "web", "-p", strategic)
    kubectl("patch", "deployment", "web", "--type=merge", "-p", '{"spec":{"paused":true}}')
    replace = '[{"op":"replace","path":"/spec/replicas","value":5}]'
    kubectl("patch", "deployment", "web", "--type=json", "-p", replace)
    assert "no change" in kubectl("patch", "deployment", "web", "--type=json", "-p", replace)
    kubectl("set", "env", "deployment/web", "B=2")
    kubectl("label", "deployment", "web", "tier=front", "app-")
    kubectl("annotate", "deployment", "web", "note=x")
    found = read(kubectl, "deployment", "web")
    assert found["spec"]["replicas"] == 5
    assert found["spec"]["paused"] is True
    container = found["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "web:2"
    assert [variable["name"] for variable in container["env"]] == ["A", "B"]
    assert found["metadata"]["labels"] == {"tier": "front"}
    assert found["metadata"]["annotations"]["note"] == "x"
    assert kubectl("scale", "deployment", "web", "--replicas=1") == "deployment.apps/web scaled\n"
    assert (
        "expected replicas"
        in kubectl.fails(
            "scale", "deployment", "web", "--current-replicas=7", "--replicas=2"
        ).lower()
    )
    assert read(kubectl, "deployment", "web")["spec"]["replicas"] == 1


def test_it_prints_every_form_of_output(kubectl: Kubectl) -> None:
    kubectl("run", "a", "--image=web:1", "--labels=app=a")
    kubectl("run", "b", "--image=web:1", "--labels=app=b")
    lines = kubectl("get", "pods").splitlines()
    assert lines[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert lines[1].split()[:4] == ["a", "0/1", "Pending", "0"]
    assert "NOMINATED NODE" in kubectl("get", "pods", "-o", "wide")
    assert kubectl("get", "pods", "-A").split()[0] == "NAMESPACE"
    assert kubectl("get", "pods", "-o", "name").split() == ["pod/a", "pod/b"]
    assert kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.name}") == "a b"
    assert kubectl("get", "pods", "-o", "custom-columns=N:.metadata.name").split() == [
        "N",
        "a",
        "b",
    ]
    template = "{{range .items}}{{.metadata.name}}{{end}}"
    assert kubectl("get", "pods", "-o", "go-template", "--template", template) == "ab"
    assert "kind: Pod" in kubectl("get", "pod", "a", "-o", "yaml")
    assert kubectl("get", "pods", "-l", "app in (a)", "-o", "name") == "pod/a\n"
    assert kubectl("get", "pods", "--field-selector", "metadata.name=b", "-o", "name") == "pod/b\n"
    assert "app=b" in kubectl("get", "pods", "--show-labels")
    assert kubectl("get", "pods", "-L", "app").splitlines()[0].endswith("APP")
    ordered = kubectl("get", "pods", "--sort-by=.metadata.name", "--no-headers")
    assert [line.split()[0] for line in ordered.splitlines()] == ["a", "b"]
    assert kubectl("get", "pods", "--chunk-size=1", "-o", "name").split() == ["pod/a", "pod/b"]
    assert "pod/a" in kubectl("get", "all")
    assert "Status:" in kubectl("describe", "pod", "a")


def test_it_watches(kubectl: Kubectl) -> None:
    kubectl("run", "a", "--image=web:1")
    # Without --watch-only it prints what there is first, and that is how a test sees it began.
    with kubectl.start("get", "pods", "-w", "--no-headers") as watch:
        assert watch.stdout is not None
        assert watch.stdout.readline().split()[0] == "a"
        kubectl("label", "pod", "a", "x=y")
        assert watch.stdout.readline().split()[0] == "a"
        watch.kill()


def test_it_validates_as_it_is_told(kubectl: Kubectl) -> None:
    wrong = MANIFEST.replace("replicas:", "replicaz:")
    assert 'unknown field "spec.replicaz"' in kubectl.fails("apply", "-f", "-", given=wrong)
    warned = kubectl.run("apply", "--validate=warn", "-f", "-", given=wrong)
    assert warned.code == 0
    assert 'Warning: unknown field "spec.replicaz"' in warned.err
    invalid = MANIFEST.replace("replicas: 2", "replicas: -2")
    said = kubectl.fails("apply", "-f", "-", given=invalid)
    assert "spec.replicas: Invalid value: -2: must be greater than or equal to 0" in said


def test_it_asks_what_it_may(kubectl: Kubectl) -> None:
    assert kubectl("auth", "can-i", "create", "pods") == "yes\n"
    assert "*" in kubectl("auth", "can-i", "--list")


def test_it_waits_and_is_told_when_the_wait_is_over(one: Kubectl) -> None:
    one("run", "a", "--image=web:1")
    with one.start("wait", "--for=delete", "pod/a", "--timeout=20s") as waiting:
        one("delete", "pod", "a")
        assert waiting.wait(20) == 0
    one("apply", "-f", "-", given=MANIFEST)
    one("wait", "--for=jsonpath={.spec.replicas}=2", "deployment/web", "--timeout=10s")


def test_what_is_missing_is_said_in_kubernetes_words(one: Kubectl) -> None:
    assert one.fails("get", "pod", "x") == 'Error from server (NotFound): pods "x" not found\n'
    assert 'namespaces "nope" not found' in one.fails("run", "p", "--image=w:1", "-n", "nope")
    assert "doesn't have a resource type" in one.fails("get", "whales")
    said = one.fails("get", "pods", "--field-selector", "spec.x=1")
    assert "field label not supported: spec.x" in said


def test_an_edit_is_a_patch(one: Kubectl, monkeypatch, tmp_path) -> None:
    one("apply", "-f", "-", given=MANIFEST)
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/replicas: 2/replicas: 6/' \"$1\"\n")
    editor.chmod(0o755)
    one._env["EDITOR"] = str(editor)
    assert one("edit", "deployment", "web") == "deployment.apps/web edited\n"
    assert read(one, "deployment", "web")["spec"]["replicas"] == 6


def test_a_change_is_seen_by_another_watcher_of_names(one: Kubectl) -> None:
    seen: list[str] = []
    with one.start("get", "pods", "--watch-only", "-o", "name") as watch:
        assert watch.stdout is not None
        created = iter(range(100))

        def look() -> list[str]:
            """The watch has no way to say that it began: create until it tells of one."""
            one("run", f"p{next(created)}", "--image=web:1")
            return seen

        reader = threading.Thread(target=lambda: seen.append(watch.stdout.readline()))
        reader.start()
        assert eventually(look, within_s=20, what="the watch tells of a pod")[0].startswith("pod/p")
        watch.kill()
        reader.join(5)


def owners(kubectl: Kubectl) -> dict[str, dict]:
    """The managers of the deployment web, and what each owns of its spec."""
    found = read(kubectl, "deployment", "web", "--show-managed-fields")["metadata"]
    return {e["manager"]: e["fieldsV1"].get("f:spec", {}) for e in found["managedFields"]}


def test_server_side_apply_names_conflicts_and_can_be_forced(kubectl) -> None:
    apply = ("apply", "--server-side", "-f", "-")
    assert kubectl(*apply, given=MANIFEST) == "deployment.apps/web serverside-applied\n"
    other = MANIFEST.replace("replicas: 2", "replicas: 3")
    refused = kubectl.run(*apply, "--field-manager=other", given=other)
    assert refused.code == 1
    first, *_ = refused.err.splitlines()
    assert first == ('error: Apply failed with 1 conflict: conflict with "kubectl": .spec.replicas')
    assert "--force-conflicts" in refused.err
    kubectl(*apply, "--field-manager=other", "--force-conflicts", given=other)
    assert read(kubectl, "deployment", "web")["spec"]["replicas"] == 3
    assert "f:replicas" in owners(kubectl)["other"]
    assert "f:replicas" not in owners(kubectl)["kubectl"]
    assert "managedFields" not in kubectl("get", "deployment", "web", "-o", "yaml")


def test_server_side_apply_removes_what_it_leaves_out(kubectl) -> None:
    apply = ("apply", "--server-side", "-f", "-")
    kubectl(*apply, given=MANIFEST)
    kubectl("label", "deployment", "web", "mine=1")
    less = MANIFEST.replace(', env: [{name: A, value: "1"}]', "").replace(
        "{app: web}}\nspec", "{}}\nspec"
    )
    kubectl(*apply, given=less)
    found = read(kubectl, "deployment", "web")
    assert found["metadata"]["labels"] == {"mine": "1"}
    (container,) = found["spec"]["template"]["spec"]["containers"]
    assert "env" not in container
    before = found["metadata"]["resourceVersion"]
    kubectl(*apply, given=less)
    assert read(kubectl, "deployment", "web")["metadata"]["resourceVersion"] == before


def test_what_was_applied_by_the_client_moves_over_to_the_server(kubectl) -> None:
    kubectl("apply", "-f", "-", given=MANIFEST)
    assert set(owners(kubectl)) == {"kubectl-client-side-apply"}
    less = MANIFEST.replace(', env: [{name: A, value: "1"}]', "")
    kubectl("apply", "--server-side", "-f", "-", given=less)
    found = read(kubectl, "deployment", "web")
    (container,) = found["spec"]["template"]["spec"]["containers"]
    assert "env" not in container  # what the client had applied was the server's to remove
    assert set(owners(kubectl)) == {"kubectl", "kubectl-last-applied"}
    assert kubectl("apply", "-f", "-", given=less) == "deployment.apps/web unchanged\n"


def test_server_side_apply_and_diff_can_be_tried(one) -> None:
    apply = ("apply", "--server-side", "-f", "-")
    tried = one(*apply, "--dry-run=server", given=MANIFEST)
    assert tried == "deployment.apps/web serverside-applied (server dry run)\n"
    assert one.run("get", "deployment", "web").code == 1
    one(*apply, given=MANIFEST)
    assert one.run("diff", "--server-side", "-f", "-", given=MANIFEST).code == 0
    other = MANIFEST.replace("replicas: 2", "replicas: 3")
    different = one.run("diff", "--server-side", "-f", "-", given=other)
    assert different.code == 1
    assert "+  replicas: 3" in different.out
    assert read(one, "deployment", "web")["spec"]["replicas"] == 2


def test_parts_have_managers_of_their_own(one) -> None:
    one("apply", "--server-side", "-f", "-", given=MANIFEST)
    one("scale", "deployment", "web", "--replicas=4")
    one(
        "patch",
        "deployment",
        "web",
        "--subresource=status",
        "--type=merge",
        "-p",
        '{"status":{"replicas":4}}',
    )
    one(
        "patch",
        "deployment",
        "web",
        "--subresource=scale",
        "--type=merge",
        "-p",
        '{"spec":{"replicas":5}}',
    )
    found = read(one, "deployment", "web", "--show-managed-fields")
    assert (found["spec"]["replicas"], found["status"]["replicas"]) == (5, 4)
    parts = {entry.get("subresource", "") for entry in found["metadata"]["managedFields"]}
    assert parts == {"", "scale", "status"}
    refused = one.run("apply", "--server-side", "-f", "-", given=MANIFEST)
    assert 'with subresource "scale" using apps/v1: .spec.replicas' in refused.err


def test_apply_prunes_what_the_manifests_no_longer_hold(one) -> None:
    documents = [MANIFEST.replace("name: web,", f"name: {name},") for name in ("one", "two")]
    arguments = (
        "apply",
        "-f",
        "-",
        "-l",
        "app=web",
        "--prune",
        "--prune-allowlist=apps/v1/Deployment",
    )
    one(*arguments, given="---\n".join(documents))
    said = one(*arguments, given=documents[0])
    assert said == "deployment.apps/one unchanged\ndeployment.apps/two pruned\n"
    assert one("get", "deployments", "-o", "name") == "deployment.apps/one\n"


def test_the_last_manifest_applied_can_be_seen_and_set(one) -> None:
    one("apply", "--server-side", "-f", "-", given=MANIFEST)
    assert one("apply", "view-last-applied", "deployment/web") == ""
    one("apply", "set-last-applied", "-f", "-", "--create-annotation", given=MANIFEST)
    seen = json.loads(one("apply", "view-last-applied", "deployment/web", "-o", "json"))
    assert seen["spec"]["replicas"] == 2
