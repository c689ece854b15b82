"""Every verb that reads, writes and rolls out, as a user of `longshore` types it."""

import json
import re
import signal

import pytest
import yaml

from tests.e2e.kubectl.definitions import DEFINITION, OBJECT
from tests.e2e.waiting import eventually

SERVE = "trap 'exit 0' TERM; mkdir -p /www; echo hello > /www/index.html; httpd -p 8080 -h /www; while :; do sleep 0.1; done"

IDLE = ("--", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done")

pytestmark = [pytest.mark.docker]


def manifest(image: str, *, replicas: int = 2, mode: str = "fast") -> str:
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, labels: {{app: web}}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers:
      - name: c
        image: {image}
        command: [sh, -c, "{SERVE}"]
        env: [{{name: MODE, value: {mode}}}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: robot}}
"""


@pytest.fixture(scope="module")
def web(longshore):
    """A Deployment that is rolled out."""
    out = longshore("apply", "-f", "-", given=manifest(longshore.image))
    assert out == "deployment.apps/web created\nserviceaccount/robot created\n"
    out = longshore("rollout", "status", "deploy/web", "--timeout=60s")
    assert out.splitlines()[-1] == 'deployment "web" successfully rolled out'
    return longshore


def test_an_apply_says_what_it_changed_and_diff_what_it_would(web, tmp_path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text(manifest(web.image))
    assert web("apply", "-f", str(file)).splitlines() == [
        "deployment.apps/web unchanged",
        "serviceaccount/robot unchanged",
    ]
    assert web("diff", "-f", str(file)) == ""
    file.write_text(manifest(web.image, mode="slow"))
    differs = web.run("diff", "-f", str(tmp_path))
    assert differs.code == 1
    assert "-        - name: MODE\n" not in differs.out
    assert "-          value: fast\n+          value: slow\n" in differs.out
    assert "deployment.apps/web configured (server dry run)" in web(
        "apply", "-f", str(file), "--dry-run=server"
    )
    assert web("get", "deploy", "web", "-o", "jsonpath={..env[0].value}") == "fast"


def test_who_owns_a_field_is_asked_before_it_is_taken(web) -> None:
    web("scale", "deploy", "web", "--replicas=3")
    text = manifest(web.image)
    conflict = web.fails("apply", "-f", "-", given=text)
    assert "(Conflict)" in conflict
    assert ".spec.replicas" in conflict
    assert "--force-conflicts" in conflict
    out = web("apply", "-f", "-", "--force-conflicts", given=text)
    assert out.startswith("deployment.apps/web configured")
    wrong = web.fails("apply", "-f", "-", given=text.replace("replicas:", "replica:"))
    assert "replica" in wrong
    assert "serviceaccount/robot" not in wrong
    assert "does not match" in web.fails(
        "apply", "-f", "-", given=text.replace("name: web,", "name: web, namespace: other,", 1)
    )


def test_objects_are_shown_as_tables(web) -> None:
    one, wide, pods, both, sorted_ = web.together(
        "get deploy web",
        "get deploy/web -o wide",
        "get po -l app=web --no-headers",
        "get deploy,sa --show-labels",
        "get pods -L app --sort-by=.metadata.name",
    )
    header, row = one.splitlines()
    assert header.split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert row.startswith("web    2/2     2            2           ")
    assert "app=web" in wide
    assert pods.count("1/1     Running") == 2
    assert "deployment.apps/web" in both
    assert "\n\nNAME" in both
    assert "serviceaccount/robot" in both
    assert sorted_.split()[-1] == "web"


def test_objects_are_shown_as_text(web) -> None:
    everything, names, as_json, as_yaml = web.together(
        "get all -A -o name",
        "get pods -o jsonpath={.items[*].metadata.name}",
        "get deploy web -o=json",
        "get deploy web -o yaml",
    )
    assert "deployment.apps/web" in everything.split()
    assert sum(name.startswith("pod/web-") for name in everything.split()) == 2
    assert len(names.split()) == 2
    assert json.loads(as_json)["kind"] == "Deployment"
    assert yaml.safe_load(as_yaml) == json.loads(as_json)
    assert web("get", "-f", "-", "-o", "name", given=manifest(web.image)).split() == [
        "deployment.apps/web",
        "serviceaccount/robot",
    ]


def test_what_is_not_there_is_said_as_kubectl_says_it(web) -> None:
    assert web.fails("get", "pod", "x") == 'Error from server (NotFound): pods "x" not found\n'
    some = web.run("get", "sa", "robot", "x", "-o", "name")
    assert some == (
        1,
        "serviceaccount/robot\n",
        'Error from server (NotFound): serviceaccounts "x" not found\n',
    )
    assert web.run("get", "pod", "x", "--ignore-not-found") == (0, "", "")
    nothing = web.run("get", "jobs")
    assert (nothing.code, nothing.out) == (0, "")
    assert nothing.err == f"No resources found in {web.namespace} namespace.\n"
    assert web.fails("get", "foo").startswith(
        'error: the server doesn\'t have a resource type "foo"\nhint: '
    )
    assert "did you mean" in web.fails("get", "depolyments")


def test_a_watch_goes_on_with_what_changes(web) -> None:
    with web.beside("get", "deploy", "web", "-w", "-o", "name") as process:
        assert process.stdout.readline() == "deployment.apps/web\n"
        web("label", "deploy", "web", "watched=yes")
        assert process.stdout.readline() == "deployment.apps/web\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130


def test_objects_are_described_with_what_happened_to_them(web) -> None:
    text = web("describe", "deploy", "web")
    assert "Replicas:           2 desired | 2 updated | 2 total | 2 available" in text
    assert "MinimumReplicasAvailable" in text
    assert "Scaled up replica set" in text
    pods = web("describe", "pods", "-l", "app=web")
    assert pods.count("State:          Running since") == 2
    node = web("describe", "node", "node-1")
    assert re.search(r"Ready +True", node)
    assert web.fails("describe", "pod", "x") == 'Error from server (NotFound): pods "x" not found\n'
    events = web("events", "--for", "deploy/web")
    assert "ScalingReplicaSet" in events
    assert web("events", "--types=Warning", "-o", "name") == ""


def test_labels_annotations_and_patches_change_objects(web) -> None:
    assert web("label", "sa", "robot", "a=b") == "serviceaccount/robot labeled\n"
    assert "--overwrite is false" in web.fails("label", "sa", "robot", "a=c")
    assert web("label", "sa/robot", "a=c", "--overwrite") == "serviceaccount/robot labeled\n"
    assert web("label", "sa", "robot", "a-") == "serviceaccount/robot unlabeled\n"
    assert web("annotate", "sa", "robot", "note=x y") == "serviceaccount/robot annotated\n"
    patch = ("patch", "sa", "robot", "-p", '{"metadata": {"labels": {"p": "1"}}}')
    assert web(*patch) == "serviceaccount/robot patched\n"
    assert web(*patch) == "serviceaccount/robot patched (no change)\n"
    assert "(Invalid)" in web.fails(
        "patch", "sa", "robot", "--type=json", "-p", '[{"op": "test", "path": "/kind", "value": 1}]'
    )
    assert "neither JSON nor YAML" in web.fails("patch", "sa", "robot", "-p", "{")


def test_objects_are_edited_in_the_users_editor(web, tmp_path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/x y/edited/" "$1"\n')
    editor.chmod(0o755)
    web("annotate", "sa", "robot", "note=x y", "--overwrite")
    assert web("edit", "sa", "robot", EDITOR=str(editor)) == "serviceaccount/robot edited\n"
    assert web("edit", "sa", "robot", EDITOR="true") == "Edit cancelled, no changes made.\n"
    editor.write_text(
        f'#!/bin/sh\ncp "$1" {tmp_path}/seen\n'
        'grep -q "wrong: 1" "$1" || sed -i "s/^metadata:/metadata:\\n  wrong: 1/" "$1"\n'
    )
    refused = web.fails("edit", "sa", "robot", EDITOR=str(editor))
    assert "wrong" in refused
    assert "wrong" in "".join(
        line for line in (tmp_path / "seen").read_text().splitlines() if line.startswith("# ")
    )
    assert "set EDITOR" in web.fails("edit", "sa", "robot", EDITOR="no-such-editor")


def test_a_rollout_is_watched_held_repeated_and_undone(web) -> None:
    status = ("rollout", "status", "deployment/web", "--timeout=60s")
    assert web("set", "env", "deploy/web", "MODE=new") == "deployment.apps/web env updated\n"
    assert "successfully rolled out" in web(*status)
    history = web("rollout", "history", "deploy/web").splitlines()
    assert history[:2] == ["deployment.apps/web ", "REVISION  CHANGE-CAUSE"]
    revisions = [line.split()[0] for line in history[2:] if line]
    assert len(revisions) == 2
    assert "MODE" in web("rollout", "history", "deploy/web", f"--revision={revisions[0]}")
    assert web("rollout", "undo", "deploy/web") == "deployment.apps/web rolled back\n"
    assert "successfully rolled out" in web(*status)
    assert web("get", "deploy", "web", "-o", "jsonpath={..env[0].value}") == "fast"
    assert web("rollout", "pause", "deploy/web") == "deployment.apps/web paused\n"
    assert "already paused" in web.fails("rollout", "pause", "deploy/web")
    assert "paused" in web.fails("rollout", "undo", "deploy/web")
    assert web("rollout", "resume", "deploy/web") == "deployment.apps/web resumed\n"
    assert web("rollout", "restart", "deploy/web") == "deployment.apps/web restarted\n"
    assert "successfully rolled out" in web(*status)


def test_an_image_that_is_not_there_is_a_rollout_that_waits(web) -> None:
    assert 'named "x"' in web.fails("set", "image", "deploy/web", "x=y:1")
    assert web("set", "image", "deploy/web", "c=nope:1") == "deployment.apps/web image updated\n"
    late = web.fails("rollout", "status", "deploy/web", "--timeout=1s")
    assert late.startswith("error: timed out waiting for the condition\nhint: longshore describe")
    assert web("rollout", "undo", "deploy/web") == "deployment.apps/web rolled back\n"
    assert "successfully rolled out" in web("rollout", "status", "deploy/web", "--timeout=60s")


def test_a_wait_ends_when_it_is_so_and_not_before(web) -> None:
    assert web("wait", "--for=condition=Available", "deploy/web") == (
        "deployment.apps/web condition met\n"
    )
    path = "--for=jsonpath={.status.readyReplicas}=2"
    assert "condition met" in web("wait", path, "deploy", "--all", "--timeout=60s")
    late = web.fails("wait", "--for=condition=Never", "deploy/web", "--timeout=1s")
    assert late.startswith("error: timed out waiting for the condition on deployments/web")
    assert '"x" not found' in web.fails("wait", "--for=condition=Ready", "pod/x")
    with web.beside("wait", "--for=delete", "sa/shortlived", "--timeout=60s") as process:
        web("create", "sa", "shortlived")
        web("delete", "sa", "shortlived")
        assert process.wait(60) == 0


def test_objects_are_created_by_generators(web, tmp_path) -> None:
    out = web("create", "deployment", "idle", f"--image={web.image}", *IDLE)
    assert out == "deployment.apps/idle created\n"
    assert "(AlreadyExists)" in web.fails("create", "deployment", "idle", f"--image={web.image}")
    assert web("create", "cm", "c", "--from-literal=a=b", "--dry-run=client", "-o", "yaml") == (
        "apiVersion: v1\ndata:\n  a: b\nkind: ConfigMap\nmetadata:\n  name: c\n"
        f"  namespace: {web.namespace}\n"
    )
    file = tmp_path / "sa.json"
    file.write_text('{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "other"}}')
    assert web("create", "-f", str(file)) == "serviceaccount/other created\n"
    assert web("create", "secret", "generic", "s", "--from-literal=a=b") == "secret/s created\n"
    described = web("describe", "secret", "s")
    assert "a:  1 bytes" in described
    assert "Yg==" not in described
    assert "must specify" in web.fails("create")


def test_what_is_deleted_is_gone_when_the_command_ends(web) -> None:
    assert web("delete", "deploy", "idle", "--ignore-not-found") in (
        "", 'deployment.apps "idle" deleted\n',
    )  # fmt: skip
    web("run", "gone", f"--image={web.image}", *IDLE)
    assert web("delete", "pod", "gone", "--now") == 'pod "gone" deleted\n'
    assert '"gone" not found' in web.fails("delete", "pod/gone")
    assert web.run("delete", "pod/gone", "--ignore-not-found") == (0, "", "")
    assert "no name was specified" in web.fails("delete", "pods")
    web("run", "forced", f"--image={web.image}", *IDLE)
    forced = web.run("delete", "pod", "forced", "--force")
    assert forced.out == 'pod "forced" force deleted\n'
    assert "Immediate deletion" in forced.err
    web("create", "sa", "kept")
    assert web("delete", "sa", "kept", "--dry-run=server") == (
        'serviceaccount "kept" deleted (server dry run)\n'
    )
    assert web("delete", "sa", "kept", "-o", "name", "--wait=false") == "serviceaccount/kept\n"


def test_a_node_is_cordoned_tainted_and_drained(web) -> None:
    assert web("cordon", "node-1") == "node/node-1 cordoned\n"
    assert web("cordon", "node-1") == "node/node-1 already cordoned\n"
    assert "Ready,SchedulingDisabled" in web("get", "nodes")
    assert web("uncordon", "node/node-1") == "node/node-1 uncordoned\n"
    assert web("taint", "nodes", "node-1", "a=b:PreferNoSchedule") == "node/node-1 tainted\n"
    assert "same effect" in web.fails("taint", "node", "node-1", "a=c:PreferNoSchedule")
    assert web("taint", "nodes", "node-1", "a-") == "node/node-1 untainted\n"
    web("cordon", "node-2")
    web("run", "bare", f"--image={web.image}", *IDLE)
    web("wait", "--for=condition=Ready", "pod/bare", "--timeout=60s")
    web("uncordon", "node-2")
    refused = web.fails("drain", "node-1")
    assert "Pods that declare no controller" in refused
    assert "--force" in refused
    drained = web("drain", "node-1", "--force", "--grace-period=1", "--timeout=60s")
    assert f"evicting pod {web.namespace}/bare\n" in drained
    assert "pod/bare evicted\n" in drained
    assert drained.endswith("node/node-1 drained\n")
    left = web("get", "pods", "-A", "--field-selector=spec.nodeName=node-1", "-o", "name")
    assert left == ""
    web("uncordon", "node-1")


def test_the_cluster_explains_itself(web) -> None:
    text, recursive, resources, version = web.together(
        "explain deploy.spec.replicas",
        "explain pods --recursive",
        "api-resources --api-group apps",
        "version",
    )
    assert "KIND:       Deployment" in text
    assert "FIELD: replicas <integer>" in text
    assert "  spec\t<PodSpec>" in recursive
    assert 'field "nope" does not exist' in web.fails("explain", "pods.nope")
    header, *rows = map(str.split, resources.splitlines())
    assert header == ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]
    assert ["deployments", "deploy", "apps/v1", "true", "Deployment"] in rows
    assert "Client Version: " in version
    assert "Server Version: v1." in version


def test_a_kind_and_an_object_of_it_are_applied_together(web) -> None:
    applied = web("apply", "-f", "-", given=f"{DEFINITION}---{OBJECT}")
    assert applied.splitlines()[1] == "crontab.stable.example.com/nightly created"
    assert web("get", "ct").splitlines()[0].split() == ["NAME", "SCHEDULE", "AGE"]
    assert "Cron Spec:  0 3 * * *" in web("describe", "crontab/nightly")
    web("delete", "crd", "crontabs.stable.example.com")
    assert "doesn't have a resource type" in web.fails("get", "ct")


def test_what_is_used_is_shown_or_said_to_be_unknown(web) -> None:
    answer = web.run("top", "nodes")
    if answer.code:
        assert answer.err.startswith("error: Metrics API not available\nhint: ")
    else:
        assert answer.out.split()[:3] == ["NAME", "CPU(cores)", "CPU(%)"]


def test_the_shell_completes_kinds_and_names(web) -> None:
    def completed(words: str) -> list[str]:
        argv = words.split(" ")
        env = {"_LONGSHORE_COMPLETE": "complete_bash", "COMP_CWORD": str(len(argv) - 1)}
        return web.run(COMP_WORDS=words, **env).out.split()

    def looked() -> bool:  # it gives up rather than let the user wait
        return "deployments" in completed("longshore get dep")

    eventually(looked, within_s=60, what="kinds are completed")
    name = web.namespace
    eventually(
        lambda: completed(f"longshore -n {name} rollout status deploy/w") == ["deploy/web"],
        within_s=60,
        what="names are completed",
    )
