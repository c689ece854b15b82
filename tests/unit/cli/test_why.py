"""Why a pod, a node or a workload is as it is: over statuses that agents and the scheduler write."""

import re
from dataclasses import replace as replace_kind
from pathlib import Path

import pytest
from msgspec.structs import replace
from typer.main import get_command

from node_agent.core.observed import Failure, Pull, PullKey, State
from orchestrator.cli import why
from orchestrator.cli.app import app
from orchestrator.cli.why import Explanation, Finding, Seen, Weight, explain
from orchestrator.cli.why.pods import explain_gone_pod
from orchestrator.core.node_lifecycle import State as NodeState
from proto import kinds
from proto.kinds.affinity import Affinity, PodAffinity, PodAffinityTerm
from proto.kinds.container import Container, ResourceRequirements
from proto.kinds.disruption import (
    PodDisruptionBudget,
    PodDisruptionBudgetSpec,
    PodDisruptionBudgetStatus,
)
from proto.kinds.gates import PodSchedulingGate
from proto.kinds.job import Job, JobStatus
from proto.kinds.lease import LEASES, Lease
from proto.kinds.node import Taint
from proto.kinds.node_selector import (
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
)
from proto.kinds.pod import Pod, PodSpec
from proto.kinds.quota import ResourceQuota, ResourceQuotaStatus
from proto.meta import (
    Condition,
    CustomResource,
    LabelSelector,
    ObjectMeta,
    OwnerReference,
    format_time,
)
from tests.unit.cli.reported import event, judged, refused, reported
from tests.unit.core import making
from tests.unit.core.making import node
from tests.unit.node_agent.given import (
    IMAGE,
    NOW_MS,
    container,
    observed,
    pod,
    sandbox,
    spec,
)

EXITED = State.EXITED
NODE = node("node-1")


def explained(found, *, nodes=(NODE,), **around: object) -> Explanation:
    return explain(found, Seen(now_ms=NOW_MS, nodes=nodes, **around))


def problem(found, **around: object) -> Finding:
    explanation = explained(found, **around)
    assert explanation.problem is not None, explanation
    return explanation.problem


def crashed(of: Container | None = None, **end: object) -> Pod:
    of = of or spec()
    ended = {"finished_at_ms": NOW_MS - 5000, "started_at_ms": NOW_MS - 9000, **end}
    return reported(pod("web", of), sandbox(), container("web", of, EXITED, 2, **ended))


# ------------------------------------------------------------------------------ all is well


def test_a_healthy_pod_needs_no_explanation():
    found = explained(reported(pod(), sandbox(), container(started_at_ms=NOW_MS - 60_000)))
    assert found.summary == "pod web is Running on node-1, 2m old"
    assert [f.what for f in found.findings] == [
        "It has been Running and Ready for 60s; nothing to explain"
    ]
    assert found.problem is None


def test_a_pod_that_is_done_is_fine():
    ended = container("web", spec(), EXITED, exit_code=0)
    found = explained(reported(pod(policy="Never"), sandbox(), ended))
    assert [(f.weight, f.reason) for f in found.findings] == [(Weight.FINE, "Completed")]


def test_being_made_is_a_problem_only_when_it_takes_long():
    found = reported(pod(), sandbox())
    assert problem(found).what == "Its container does not run yet: it is being made"
    just_begun = replace(found, status=replace(found.status, start_time=format_time(NOW_MS)))
    assert explained(just_begun).problem is None
    pulling = event(found, "Pulling", f'Pulling image "{IMAGE}"')
    assert problem(found, events=(pulling,)).what == (
        f"Its container does not run yet: image {IMAGE} is being pulled"
    )


# ------------------------------------------------------------------------------ programs that end


def test_a_program_that_exits_is_told_with_its_code_its_log_and_its_next_start():
    lines = ("reading config", "cannot open /etc/web.conf")
    found = problem(crashed(exit_code=1), logs={("default", "web", "c"): lines})
    assert found.what == (
        "Its container exited with code 1, and is tried again in 15s (back-off 20s)"
    )
    assert found.evidence == (
        "exit code 1, Error, 5s ago, after running for 4s",
        "CrashLoopBackOff after 3 attempts",
    )
    assert found.output == lines
    assert found.next == ("longshore logs web --previous",)


@pytest.mark.parametrize(
    ("end", "reason", "what"),
    [
        ({"exit_code": 137, "is_oom_killed": True}, "OutOfMemory", "its limit of 16Mi (OOMKilled)"),
        ({"exit_code": 137}, "Killed", "was ended by SIGKILL (exit code 137)"),
        ({"exit_code": 139}, "Killed", "was ended by SIGSEGV (exit code 139)"),
        ({"exit_code": 255}, "ExitsWithError", "exited with code 255"),
        ({"exit_code": 0}, "EndsBySuccess", "came to its end with success"),
    ],
)
def test_an_end_is_told_by_its_signal_or_its_cause(end, reason, what):
    limited = spec(resources=ResourceRequirements(limits={"memory": "16Mi"}))
    found = problem(crashed(limited, **end))
    assert found.reason == reason
    assert what in found.what
    assert found.advice


@pytest.mark.parametrize(
    ("error", "reason", "what"),
    [
        (
            'exec: "/bin/nothing": stat /bin/nothing: no such file or directory',
            "CommandNotFound",
            "its command '/bin/nothing' is not in the image",
        ),
        (
            'exec: "/bin/nothing": executable file not found in $PATH',
            "CommandNotFound",
            "its command '/bin/nothing' is not in the image",
        ),
        (
            'exec: "/bin/nothing": permission denied',
            "CommandNotExecutable",
            "its command '/bin/nothing' is not executable",
        ),
        ("something else", "CannotStart", "cannot start"),
    ],
)
def test_a_command_that_cannot_start_is_told_in_the_runtimes_words(error, reason, what):
    of = spec(command=("/bin/nothing",))
    said = f"OCI runtime create failed: unable to start container process: {error}: unknown"
    found = problem(
        reported(pod("web", of), sandbox(), container("web", of, State.CREATED, 1, error=said))
    )
    assert (found.reason, what in found.what) == (reason, True)
    assert f"the runtime says: {error}" in found.evidence


def test_a_container_that_runs_again_is_a_note_while_it_is_fresh():
    pair = (
        container(attempt=1, started_at_ms=NOW_MS - 3000),
        container("web", spec(), EXITED, exit_code=1, finished_at_ms=NOW_MS - 4000),
    )
    found = explained(reported(pod(), sandbox(), *pair))
    assert found.problem is None
    assert found.findings[0].what == (
        "Its container runs again after 1 restart: before, it exited with code 1"
    )


def test_of_several_containers_the_one_in_question_is_named():
    a, b = spec("a"), spec("b")
    found = problem(
        reported(
            pod("web", a, b),
            sandbox(),
            container("web", a),
            container("web", b, EXITED, 2, exit_code=3),
        )
    )
    assert found.what.startswith("Container b exited with code 3")
    assert found.next == ("longshore logs web -c b --previous",)


# ------------------------------------------------------------------------------ images


def unpulled(message: str, image: str = IMAGE) -> Pod:
    failure = Failure("ErrImagePull", message, 1, NOW_MS - 1000)
    seen = observed(sandbox(), images=(), pulls={PullKey(image): Pull(failure=failure)})
    return reported(pod("web", spec(image=image)), seen=seen)


@pytest.mark.parametrize(
    ("message", "what"),
    [
        ("dial tcp: lookup x on 10.0.0.1:53: no such host", "name of its registry is not known"),
        ("pull access denied for x, repository does not exist", "does not let this node read it"),
        ("manifest for x:9 not found: manifest unknown", "has no such image or tag"),
        ("toomanyrequests: You have reached your pull rate limit", "too many requests"),
        ("x509: certificate signed by unknown authority", "cannot be trusted"),
        ("dial tcp 10.0.0.9:443: connect: connection refused", "cannot be reached"),
        ("write /var/lib/docker/tmp/x: no space left on device", "disk is full"),
        ("something new", "its pull fails"),
        ("geofront says no", "its pull fails"),
    ],
)
def test_an_image_that_cannot_be_pulled_is_told_in_the_registrys_words(message, what):
    found = problem(unpulled(message))
    assert found.reason == "ImageNotPulled"
    assert what in found.what
    assert f"the registry, or Docker, says: {message}" in found.evidence
    assert found.next[0] == "longshore set image pod/web c=IMAGE"


def test_an_image_that_may_not_be_pulled_must_be_loaded():
    found = reported(
        pod("web", spec(image_pull_policy="Never")), seen=observed(sandbox(), images=())
    )
    assert "is not on node-1, and imagePullPolicy: Never" in problem(found).what


# ------------------------------------------------------------------------------ no node


def waiting(nodes, others=(), **wishes: object) -> Finding:
    asked = making.pod("big", **wishes)
    return problem(refused(asked, nodes, others), nodes=nodes, pods=others)


def test_a_pod_that_asks_for_more_than_any_node_has_is_told_so():
    found = waiting([node("n1", cpu="2"), node("n2", cpu="4")], cpu="64")
    assert found.what == "No node is large enough for what it asks for"
    assert found.evidence == (
        "the scheduler says: 0/2 nodes are available: 2 Insufficient cpu.",
        "n1: has 2 cpu, it asks for 64",
        "n2: has 4 cpu, it asks for 64",
    )


def test_a_node_that_is_full_is_told_with_what_is_left():
    other = making.bound(making.pod("other", cpu="3", memory="1Gi"), "n1")
    found = waiting([node("n1", cpu="4")], [other], cpu="1500m")
    assert found.what == "No node can take it: none has enough room left"
    assert "n1: has 1 of 4 cpu left, it asks for 1.5" in found.evidence


def test_a_port_in_use_a_cordon_a_taint_and_a_label_are_told_node_by_node():
    taken = making.bound(making.pod("other", host_port=8080), "n4")
    nodes = [
        node("n1", cordoned=True, labels={"disk": "ssd"}),
        node("n2", taints=(Taint(key="gpu", value="yes", effect="NoSchedule"),)),
        node("n3", labels={"disk": "hdd"}),
        node("n4", labels={"disk": "ssd"}),
        judged(node("n5"), NodeState.LOST),
    ]
    found = waiting(nodes, [taken], host_port=8080, selector={"disk": "ssd"})
    assert found.what == (
        "No node can take it: 1 cordoned, 1 tainted, 1 with other labels, 1 with its port in use, "
        "1 not ready"
    )
    assert found.evidence[1:] == (
        "n1: is cordoned",
        "n2: has the taint gpu=yes:NoSchedule, which it does not tolerate",
        "n3: has disk=hdd, it wants disk=ssd",
        "n4: port 8080/TCP is in use there",
        "n5: is not ready",
    )
    assert found.next == ("longshore uncordon n1",)


def test_the_advice_is_about_the_node_that_would_do_but_for_the_least():
    nodes = [
        node("n1", cordoned=True, cpu="1"),
        node("n2", taints=(Taint(key="gpu", effect="NoSchedule"),)),
    ]
    found = waiting(nodes, cpu="2")
    assert found.what == "No node can take it: 1 cordoned, 1 tainted"
    assert found.next == ("longshore taint nodes n2 gpu-",)
    assert waiting(nodes[:1], cpu="2").advice == "Ask for less, or add a larger node."


def test_an_affinity_that_no_node_satisfies_is_told_node_by_node():
    expression = NodeSelectorRequirement(key="disk", operator="In", values=("ssd",))
    term = NodeSelectorTerm(match_expressions=(expression,))
    required = NodeAffinity(required=NodeSelector(node_selector_terms=(term,)))
    found = waiting([node("n1")], affinity=Affinity(node_affinity=required))
    assert found.what == "No node can take it: none has the labels that it asks for"
    assert "n1: is not one that its nodeAffinity requires" in found.evidence


def test_other_pods_that_keep_it_away_are_told():
    term = PodAffinityTerm(
        label_selector=LabelSelector(match_labels={"app": "web"}),
        topology_key="kubernetes.io/hostname",
    )
    alone = Affinity(pod_anti_affinity=PodAffinity(required=(term,)))
    there = making.bound(making.pod("web"), "n1")
    found = waiting([node("n1")], [there], affinity=alone)
    assert found.what == (
        "No node can take it: where there is room there are pods that its podAntiAffinity keeps it "
        "away from"
    )


def test_a_gate_that_nobody_removed_is_told():
    found = problem(making.pod("p", scheduling_gates=(PodSchedulingGate(name="example.com/ok"),)))
    assert found.what == (
        "It is not placed before its scheduling gates are removed: example.com/ok"
    )


def test_without_nodes_there_is_nowhere_to_go():
    assert problem(refused(making.pod("p"), []), nodes=()).what == (
        "No node can take it: the cluster has none"
    )


def test_every_obstacle_that_the_scheduler_counts_is_found_by_name():
    """The scheduler's own tests and those of `placing` agree on who cannot take the pod."""
    nodes = [
        node("n1", cordoned=True),
        node("n2", cpu="1"),
        node("n3", taints=(Taint(key="a", effect="NoExecute"),)),
        node("n4", pods="0"),
        node("n5", ready="False"),
    ]
    found = waiting(nodes, cpu="2")
    assert len(found.evidence) == 1 + len(nodes)


def test_a_pod_that_nobody_looked_at_points_to_the_control_plane():
    late = making.pod("p", created_ms=NOW_MS - 60_000)
    assert problem(late).reason == "NotLookedAt"
    assert explained(making.pod("p")).problem is None
    other = replace(late, spec=replace(late.spec, scheduler_name="mine"))
    assert problem(other).what == "It waits for a scheduler called mine to give it a node"


def test_a_pod_on_a_node_that_does_not_exist_is_told_so():
    assert problem(making.pod("p", node="gone")).reason == "NoSuchNode"


# ------------------------------------------------------------------------------ its node


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (NodeState.LOST, "HostUnreachable"),
        (NodeState.AGENT_DOWN, "AgentDown"),
        (NodeState.ENGINE_DOWN, "EngineDown"),
        (NodeState.LEAVING, "AgentStopped"),
        (NodeState.SHUTDOWN, "NodeShutdown"),
    ],
)
def test_a_node_that_is_not_ready_is_told_with_the_reason_and_since_when(state, reason):
    down = judged(node("node-1"), state)
    running = reported(pod(), sandbox(), container())
    found = problem(down, nodes=(down,), pods=(running,))
    assert found.reason == reason
    assert found.what.startswith("It has been NotReady for 30s: ")
    assert "still bound to it: web" in found.evidence
    of_pod = problem(running, nodes=(down,))
    assert of_pod.what.startswith("Its node node-1 has not been ready for 30s")
    assert of_pod.evidence[0].startswith(f"{reason}: ")
    assert of_pod.next == ("longshore why node/node-1",)


def test_a_ready_node_is_fine_and_a_cordoned_one_is_a_note():
    assert explained(NODE).findings[0].reason == "Fine"
    found = explained(node("n1", cordoned=True, taints=(Taint(key="a", effect="NoSchedule"),)))
    assert [(f.weight, f.reason) for f in found.findings] == [
        (Weight.NOTE, "Cordoned"),
        (Weight.NOTE, "Tainted"),
    ]


def test_a_node_whose_room_is_promised_is_told_so():
    full = making.bound(making.pod("p", cpu="4", memory="1Gi"), "n1")
    (found,) = explained(node("n1", cpu="4"), pods=(full,)).findings
    assert found.what == "Its cpu is promised: 4 of 4"


def test_a_budget_that_holds_a_drain_is_named():
    cordoned = node("node-1", cordoned=True)
    running = reported(pod(), sandbox(), container())
    budget = PodDisruptionBudget(
        metadata=ObjectMeta(name="keep", namespace="default"),
        spec=PodDisruptionBudgetSpec(selector=LabelSelector(match_labels={"app": "web"})),
        status=PodDisruptionBudgetStatus(
            observed_generation=1, current_healthy=1, desired_healthy=1
        ),
    )
    around = {"nodes": (cordoned,), "pods": (running,), "budgets": (budget,)}
    assert problem(cordoned, **around).evidence == (
        "budget keep: 1 healthy, 1 must stay",
        "held: web",
    )
    assert explained(running, **around).findings[0].reason == "HeldByDisruptionBudget"
    unseen = replace(budget, status=PodDisruptionBudgetStatus())
    assert explained(cordoned, **(around | {"budgets": (unseen,)})).problem is None


# ------------------------------------------------------------------------------ going, gone


def test_a_pod_that_is_being_deleted_is_told_how_long_it_may_take():
    going = reported(pod(delete_grace_s=30), sandbox(), container())
    assert explained(going).findings[0].what == (
        "It is being deleted: its containers may finish, for 20s at most (grace 30s)"
    )
    late = replace(
        going, metadata=replace(going.metadata, deletion_timestamp=format_time(NOW_MS - 60_000))
    )
    assert problem(late).reason == "DeletionOverdue"


def test_a_finalizer_that_holds_an_object_is_named():
    held = CustomResource(
        api_version="example.com/v1",
        kind="Thing",
        metadata=ObjectMeta(
            name="t",
            namespace="other",
            deletion_timestamp=format_time(NOW_MS - 60_000),
            finalizers=("example.com/cleanup",),
        ),
    )
    found = problem(held)
    assert found.what == "It is being deleted, and 1 finalizer holds it: example.com/cleanup"
    assert found.next == ("longshore edit thing t -n other",)


def test_a_pod_that_is_gone_is_explained_by_what_was_told_of_it():
    there = reported(pod(), sandbox(), container())
    lost = event(there, "NodeLost", "Node node-1 is lost: removing the pod")
    found = explain_gone_pod("default", "web", Seen(now_ms=NOW_MS, events=(lost,)))
    assert found.findings[0].what.startswith("It was removed because its node was lost")
    assert found.findings[0].evidence == (
        "event NodeLost, 10s ago: Node node-1 is lost: removing the pod",
    )
    assert explain_gone_pod("default", "web", Seen(now_ms=NOW_MS)) is None


# ------------------------------------------------------------------------------ workloads


def owned(replicas: int = 3, **status: object):
    found = making.deployment(replicas)
    rs = making.replicaset(replicas)
    reference = OwnerReference(
        api_version="apps/v1", kind="Deployment", name="web", uid="d1", controller=True
    )
    rs = replace(rs, metadata=replace(rs.metadata, owner_references=(reference,)))
    return replace(found, status=replace(found.status, observed_generation=1, **status)), rs


def test_a_deployments_pods_with_one_cause_are_told_once():
    found, rs = owned()
    pods = [
        reported(
            pod(name), sandbox(name), container(name, spec(), EXITED, 2, exit_code=1), owner="rs1"
        )
        for name in ("web-1", "web-2")
    ]
    well = reported(pod("web-3"), sandbox("web-3"), container("web-3"), owner="rs1")
    told = problem(found, pods=(*pods, well), deployments=(found,), replica_sets=(rs,))
    assert told.what.startswith("2 of 3 pods: Its container exited with code 1")
    assert told.evidence[0] == "pods: web-1, web-2"
    assert told.next[0] == "longshore why web-1"


def test_an_images_remedy_is_to_change_the_deployment():
    found, rs = owned(1)
    bad = unpulled("manifest unknown")
    owner = OwnerReference(
        api_version="apps/v1", kind="ReplicaSet", name="web", uid="rs1", controller=True
    )
    bad = replace(bad, metadata=replace(bad.metadata, owner_references=(owner,)))
    told = problem(bad, pods=(bad,), deployments=(found,), replica_sets=(rs,))
    assert told.next[0] == "longshore set image deployment/web c=IMAGE"


def test_a_rollout_that_timed_out_says_how_to_go_back():
    late = Condition(
        type="Progressing",
        status="False",
        reason="ProgressDeadlineExceeded",
        message='ReplicaSet "web" has timed out progressing.',
    )
    found, rs = owned(conditions=(late,))
    told = problem(found, replica_sets=(rs,))
    assert "no progress for longer than progressDeadlineSeconds (600 s)" in told.what
    assert told.next == ("longshore rollout undo deploy/web",)


def test_a_paused_and_a_scaled_down_deployment_explain_themselves():
    found, _ = owned(0)
    found = replace(found, spec=replace(found.spec, paused=True))
    assert [f.reason for f in explained(found).findings] == ["DeploymentPaused", "ScaledToZero"]


def test_a_quota_that_is_used_up_is_told_with_what_is_used():
    failure = Condition(
        type="ReplicaFailure",
        status="True",
        reason="FailedCreate",
        message='pods "web-x" is forbidden: exceeded quota: few, requested: pods=1, used: pods=2',
    )
    found, rs = owned(conditions=(failure,))
    quota = ResourceQuota(
        metadata=ObjectMeta(name="few", namespace="default"),
        status=ResourceQuotaStatus(hard={"pods": "2"}, used={"pods": "2"}),
    )
    told = problem(found, replica_sets=(rs,), quotas=(quota,))
    assert told.reason == "OverQuota"
    assert "quota few: pods 2 of 2" in told.evidence


# ------------------------------------------------------------------------------ in general


def test_a_job_that_failed_and_one_without_pods_explain_themselves():
    late = Condition(
        type="Failed", status="True", reason="BackoffLimitExceeded", message="too often"
    )
    meta = ObjectMeta(name="import", namespace="default", uid="j1")
    failed = problem(Job(metadata=meta, status=JobStatus(failed=7, conditions=(late,))))
    assert (failed.reason, failed.what) == ("BackoffLimitExceeded", "It failed: too often")
    waiting = explained(Job(metadata=meta))
    assert waiting.summary == "job import: 0 of 1 succeeded, 0 active, 0 failed"
    assert waiting.findings[0].what.startswith("It has no pods yet")


def test_a_kind_that_nothing_acts_on_yet_says_so(monkeypatch):
    found = Lease(api_version="coordination.k8s.io/v1", kind="Lease", metadata=ObjectMeta(name="l"))
    assert explained(found).findings[0].reason == "Fine"
    still = replace_kind(LEASES, notice="are stored, but nobody reads them yet")
    monkeypatch.setattr(kinds, "ALL", (still,))
    assert explained(found).findings[0].what == "Leases are stored, but nobody reads them yet"


def test_commands_say_the_namespace_when_it_is_not_the_users():
    elsewhere = crashed(exit_code=1)
    elsewhere = replace(elsewhere, metadata=replace(elsewhere.metadata, namespace="shop"))
    assert problem(elsewhere).next == ("longshore logs web --previous -n shop",)
    assert problem(elsewhere, namespace="shop").next == ("longshore logs web --previous",)


def test_problems_come_first():
    cordoned_and_down = replace(
        judged(node("n1"), NodeState.LOST), spec=node("n1", cordoned=True).spec
    )
    assert [f.weight for f in explained(cordoned_and_down).findings] == [
        Weight.PROBLEM,
        Weight.NOTE,
    ]


def test_a_pod_without_any_status_is_explained_too():
    bare = Pod(metadata=ObjectMeta(name="p", namespace="default"), spec=PodSpec(node_name="node-1"))
    assert explained(bare).findings[0].reason == "NotTakenUp"


def test_every_command_that_is_recommended_exists():
    text = "".join(path.read_text() for path in Path(why.__file__).parent.glob("*.py"))
    named = set(re.findall(r'"longshore ([a-z]+)', text))
    assert named - {"why"} <= set(get_command(app).commands), named
