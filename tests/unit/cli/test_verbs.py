import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from orchestrator.cli.refused import Refused
from orchestrator.cli.verbs import create, manifests
from orchestrator.cli.verbs.change import split_marks
from orchestrator.cli.verbs.copying import _Unpacking, parse_place
from orchestrator.cli.verbs.delete import DeleteOptions
from orchestrator.cli.verbs.execution import exit_code
from orchestrator.cli.verbs.forward import parse_port
from orchestrator.cli.verbs.logs import lines_of
from orchestrator.cli.verbs.nodes import DrainOptions, _why_not, parse_taint
from orchestrator.cli.verbs.rollout_progress import progress_of
from orchestrator.cli.verbs.wait import condition


def deployment(generation: int = 1, conditions: tuple = (), **status: int) -> dict:
    return {
        "kind": "Deployment",
        "metadata": {"name": "web", "generation": generation},
        "spec": {"replicas": 3},
        "status": {"observedGeneration": 1, "conditions": list(conditions), **status},
    }


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({}, "0 out of 3 new replicas have been updated..."),
        ({"updatedReplicas": 3, "replicas": 4}, "1 old replicas are pending termination..."),
        (
            {"updatedReplicas": 3, "replicas": 3, "availableReplicas": 2},
            "2 of 3 updated replicas are available...",
        ),
    ],
)
def test_a_rollout_that_is_under_way_is_told_in_kubectls_words(status, words) -> None:
    progress = progress_of(deployment(**status))
    assert not progress.is_done
    assert progress.text == f'Waiting for deployment "web" rollout to finish: {words}'


def test_a_rollout_is_done_when_all_are_new_and_available() -> None:
    progress = progress_of(deployment(updatedReplicas=3, replicas=3, availableReplicas=3))
    assert progress.is_done
    assert progress.text == 'deployment "web" successfully rolled out'


def test_counts_of_an_older_spec_say_nothing() -> None:
    stale = deployment(2, updatedReplicas=3, replicas=3, availableReplicas=3)
    assert not progress_of(stale).is_done


def test_a_rollout_that_is_stuck_is_an_error() -> None:
    stuck = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    with pytest.raises(Refused, match="exceeded its progress deadline"):
        progress_of(deployment(conditions=(stuck,)))


def test_daemon_and_stateful_sets_have_rollouts_too() -> None:
    daemon = {
        "kind": "DaemonSet",
        "metadata": {"name": "d"},
        "spec": {},
        "status": {
            "desiredNumberScheduled": 2,
            "updatedNumberScheduled": 2,
            "numberAvailable": 1,
        },
    }
    assert progress_of(daemon).text.endswith("1 of 2 updated pods are available...")
    stateful = {
        "kind": "StatefulSet",
        "metadata": {"name": "s"},
        "spec": {"replicas": 2},
        "status": {"readyReplicas": 2, "updateRevision": "b", "currentRevision": "a"},
    }
    assert not progress_of(stateful).is_done
    done = stateful | {
        "status": {"readyReplicas": 2, "updateRevision": "b", "currentRevision": "b"}
    }
    assert progress_of(done).is_done


READY = {
    "metadata": {"generation": 2},
    "status": {
        "phase": "Running",
        "conditions": [
            {"type": "Ready", "status": "True"},
            {"type": "Old", "status": "True", "observedGeneration": 1},
        ],
    },
}


@pytest.mark.parametrize(
    ("text", "is_met"),
    [
        ("condition=Ready", True),
        ("condition=ready", True),
        ("condition=Ready=False", False),
        ("condition=Old", False),
        ("condition=None", False),
        ("jsonpath={.status.phase}=Running", True),
        ("jsonpath='{.status.phase}'=Running", True),
        ("jsonpath={.status.phase}=Pending", False),
        ("jsonpath={.status.phase}", True),
        ("jsonpath={.status.nothing}", False),
        ("delete", False),
        ("create", True),
    ],
)
def test_what_is_waited_for_is_seen_when_it_is_so(text: str, is_met: bool) -> None:
    assert condition(text)(READY) == is_met


def test_what_is_not_there_is_deleted_and_nothing_else() -> None:
    assert condition("delete")(None)
    assert not condition("condition=Ready")(None)
    assert not condition("create")(None)


@pytest.mark.parametrize("text", ["", "ready", "condition", "condition=", "jsonpath=", "delete=x"])
def test_what_cannot_be_waited_for_is_told(text: str) -> None:
    with pytest.raises(Refused, match="unrecognized condition"):
        condition(text)


def test_marks_are_told_from_names() -> None:
    words, marks = split_marks(["pods", "web", "a=b", "c-", "d="])
    assert words == ["pods", "web"]
    assert marks.patch == {"a": "b", "d": "", "c": None}
    with pytest.raises(Refused, match="neither"):
        split_marks(["pods", "web", "a=b", "c"])


def test_a_grace_period_of_nothing_wants_force() -> None:
    with pytest.raises(Refused, match="grace period of 0"):
        _ = DeleteOptions(grace_s=0).body
    assert DeleteOptions(is_forced=True).body["gracePeriodSeconds"] == 0
    assert DeleteOptions(cascade="orphan").body["propagationPolicy"] == "Orphan"
    with pytest.raises(Refused, match="cascade"):
        _ = DeleteOptions(cascade="sideways").body


def pod(owner: str = "", phase: str = "Running", volumes: tuple = ()) -> dict:
    owners = [{"kind": owner, "controller": True}] if owner else []
    return {
        "metadata": {"name": "web", "namespace": "n", "ownerReferences": owners},
        "spec": {"volumes": list(volumes)},
        "status": {"phase": phase},
    }


@pytest.mark.parametrize(
    ("found", "options", "word"),
    [
        (pod("ReplicaSet"), {}, ""),
        (pod(), {}, "--force"),
        (pod(), {"is_forced": True}, ""),
        (pod(phase="Succeeded"), {}, ""),
        (pod("DaemonSet"), {}, "--ignore-daemonsets"),
        (pod("DaemonSet"), {"ignores_daemon_sets": True}, ""),
        (pod("ReplicaSet", volumes=({"emptyDir": {}},)), {}, "--delete-emptydir-data"),
        (pod("ReplicaSet", volumes=({"emptyDir": {}},)), {"deletes_empty_dirs": True}, ""),
    ],
)
def test_a_pod_that_would_be_lost_stays_unless_its_loss_is_wanted(found, options, word) -> None:
    reason = _why_not(found, DrainOptions(**options))
    assert word in reason
    assert bool(word) == bool(reason)


@pytest.mark.parametrize("text", ["a", "=b:NoSchedule", "a=b:Sometimes", "a:NoSchedule:x", "-"])
def test_a_taint_that_is_none_is_told(text: str) -> None:
    with pytest.raises(Refused, match="invalid taint spec"):
        parse_taint(text)


@pytest.mark.parametrize("text", ["", ":", "a:80", "80:", "70000:80"])
def test_a_port_that_is_none_is_told(text: str) -> None:
    with pytest.raises(Refused, match="is no port"):
        parse_port(text)


def test_a_programs_exit_code_is_taken_from_its_status() -> None:
    causes = [{"reason": "ExitCode", "message": "7"}]
    failed = {"status": "Failure", "message": "command terminated", "details": {"causes": causes}}
    assert exit_code(failed) == (7, "command terminated")
    assert exit_code({"status": "Failure", "message": "lost"}) == (1, "error: lost")


async def test_lines_are_put_together_from_pieces() -> None:
    async def pieces():
        for piece in (b"a\nb", b"", b"c\n\nd"):
            yield piece

    assert [line async for line in lines_of(pieces())] == [b"a\n", b"bc\n", b"\n", b"d"]


@pytest.mark.parametrize(
    ("text", "pod_name", "path", "namespace"),
    [
        ("web:/tmp", "web", "/tmp", ""),
        ("n/web:tmp/a:b", "web", "tmp/a:b", "n"),
        ("/tmp/a:b", "", "/tmp/a:b", ""),
        ("./a:b", "", "./a:b", ""),
        ("plain", "", "plain", ""),
    ],
)
def test_places_are_here_or_in_a_pod(text, pod_name, path, namespace) -> None:
    place = parse_place(text)
    assert (place.pod, place.path, place.namespace) == (pod_name, path, namespace)


def unpacked(folder: Path, name: str, *members: tuple[str, bytes | str]) -> list[str]:
    """Unpack an archive to FOLDER/target; text is what a link leads to. Returns the problems."""
    packed = folder / "archive.tar"
    with tarfile.open(packed, "w") as archive:
        for member, content in members:
            entry = tarfile.TarInfo(member)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                archive.addfile(entry)
            else:
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    unpacking = _Unpacking(name, folder / "inside" / "target")
    (folder / "inside").mkdir()
    with packed.open("rb") as file:
        unpacking.run(os.dup(file.fileno()))
    return unpacking.problems


def test_what_was_packed_under_one_name_lands_under_another(tmp_path) -> None:
    assert unpacked(tmp_path, "log", ("./log/a", b"1"), ("./log/sub/b", b"2")) == []
    assert (tmp_path / "inside/target/a").read_bytes() == b"1"
    assert (tmp_path / "inside/target/sub/b").read_bytes() == b"2"


@pytest.mark.parametrize(
    "member",
    [
        ("log/../../evil", b"x"),
        ("log/../../../../evil", b"x"),
        ("/etc/evil", b"x"),
        ("other", b"x"),
        ("logs", b"x"),
        ("log/link", "/etc/passwd"),
        ("log/link", "../../../evil"),
    ],
    ids=str,
)
def test_nothing_lands_outside_of_what_was_asked_for(tmp_path, member) -> None:
    problems = unpacked(tmp_path, "log", ("log/fine", b"1"), member)
    assert len(problems) == 1
    found = sorted(
        path.name for path in tmp_path.rglob("*") if path.name not in ("inside", "target")
    )
    assert found == ["archive.tar", "fine"]


def test_a_link_is_not_followed_out_of_the_folder(tmp_path) -> None:
    (tmp_path / "evil").mkdir()
    members = [("log/out", "../../evil"), ("log/out/file", b"x")]
    assert unpacked(tmp_path, "log", *members)
    assert list((tmp_path / "evil").iterdir()) == []


def test_manifests_are_read_from_folders_and_lists_taken_apart(tmp_path) -> None:
    one = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
    (tmp_path / "a.yaml").write_text(f"{one}---\n{one}")
    listed = {"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Secret"}]}
    (tmp_path / "b.json").write_text(json.dumps(listed))
    (tmp_path / "readme.txt").write_text("not a manifest")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.yml").write_text(one)
    assert [found["kind"] for found in manifests.read([str(tmp_path)])] == [
        "ConfigMap", "ConfigMap", "Secret",
    ]  # fmt: skip
    assert len(manifests.read([str(tmp_path)], is_recursive=True)) == 4


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "no objects in"),
        ("a: [", "not YAML: line"),
        ("kind: Pod", "an object has no apiVersion"),
        ("apiVersion: v1", "an object has no kind"),
        ("- a", "a manifest is an object"),
    ],
)
def test_a_manifest_that_is_none_is_told_with_its_file(tmp_path, content, problem) -> None:
    file = tmp_path / "web.yaml"
    file.write_text(content)
    with pytest.raises(Refused, match=problem) as told:
        manifests.read([str(file)])
    assert str(file) in str(told.value)


def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(Refused, match="/not/there cannot be read: No such file"):
        manifests.read(["/not/there"])


def test_generated_objects_are_what_kubectl_generates(tmp_path) -> None:
    web = create.deployment("web", ["repo/nginx:1.2"], replicas=2, port=80, command=())
    [container] = web["spec"]["template"]["spec"]["containers"]
    assert container == {
        "name": "nginx",
        "image": "repo/nginx:1.2",
        "ports": [{"containerPort": 80}],
    }
    assert web["spec"]["selector"]["matchLabels"] == {"app": "web"}
    (tmp_path / "raw").write_bytes(b"\xff")
    made = create.config_map("c", ["a=b=c"], [str(tmp_path / "raw"), f"key={tmp_path / 'raw'}"])
    assert made["data"] == {"a": "b=c"}
    assert made["binaryData"] == {"raw": "/w==", "key": "/w=="}
    assert create.secret("s", ["a=b"], [], type="")["data"] == {"a": "Yg=="}
    shell = create.pod(
        "x", create.RunOptions(image="i", args=("sh",), has_stdin=True, env=("A=1",))
    )
    assert shell["metadata"]["labels"] == {"run": "x"}
    assert shell["spec"]["containers"][0]["args"] == ["sh"]
    assert shell["spec"]["containers"][0]["stdinOnce"] is True
