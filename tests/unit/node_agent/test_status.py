"""What the agent says of a pod."""

from node_agent.core.actions import Wait
from node_agent.core.observed import Container, PodView, Sandbox, State, by_pod
from node_agent.core.status import pod_status
from proto.kinds.pod import ContainerStatus, PodStatus
from proto.messages import AssignedPod
from proto.meta import condition, format_time, is_true
from tests.unit.node_agent.given import NOW_MS, container, key, observed, pod, sandbox, spec


def status(assigned: AssignedPod, *found: Sandbox | Container, wait: str = "") -> PodStatus:
    view = by_pod(observed(*found)).get(key(assigned.name), PodView())
    waits = {(assigned.uid, "c"): Wait(key(), "c", wait, "because", None)} if wait else {}
    return pod_status(assigned, view, waits, host_ip="10.0.0.1", accepted_at_ms=NOW_MS - 60_000)


def first(found: PodStatus) -> ContainerStatus:
    return found.container_statuses[0]


def test_a_pod_of_which_nothing_exists_yet_is_pending():
    found = status(pod())
    assert found.phase == "Pending"
    assert first(found).state.waiting.reason == "ContainerCreating"
    assert found.pod_ip == ""
    assert found.host_ip == "10.0.0.1"
    assert found.start_time == format_time(NOW_MS - 60_000)
    assert [c.status for c in found.conditions] == ["False", "True", "False", "False", "True"]
    ready = condition(found.conditions, "Ready")
    assert (ready.reason, ready.message) == (
        "ContainersNotReady",
        "containers with unready status: [c]",
    )


def test_a_running_pod_is_ready_since_its_last_container_started():
    a, b = spec("a"), spec("b")
    found = status(
        pod("web", a, b),
        sandbox(),
        container(of=a, started_at_ms=NOW_MS - 9000),
        container(of=b, started_at_ms=NOW_MS - 4000),
    )
    assert (found.phase, found.pod_ip) == ("Running", "172.17.0.2")
    assert [s.ready for s in found.container_statuses] == [True, True]
    assert condition(found.conditions, "Ready").last_transition_time == format_time(NOW_MS - 4000)
    assert first(found).container_id == "docker://web-a-0"


def test_a_pod_on_the_hosts_network_has_the_hosts_address():
    found = status(pod(host_network=True), sandbox(ip=""), container())
    assert found.pod_ip == "10.0.0.1"


def test_a_pod_is_pending_until_all_of_its_containers_were_started():
    a, b = spec("a"), spec("b")
    assert status(pod("web", a, b), sandbox(), container(of=a)).phase == "Pending"


def test_a_container_that_waits_for_its_next_attempt_shows_why_and_how_the_last_one_ended():
    ended = container(state=State.EXITED, attempt=3, exit_code=2)
    found = status(pod(), sandbox(), ended, wait="CrashLoopBackOff")
    assert found.phase == "Running"
    assert first(found).state.waiting.reason == "CrashLoopBackOff"
    assert first(found).last_state.terminated.exit_code == 2
    assert first(found).restart_count == 3
    assert not is_true(found.conditions, "Ready")


def test_a_container_that_runs_again_remembers_how_it_ended_before():
    found = status(
        pod(), sandbox(), container(state=State.EXITED, exit_code=137), container(attempt=1)
    )
    assert first(found).state.running is not None
    assert first(found).last_state.terminated.exit_code == 137
    assert first(found).last_state.terminated.reason == "Error"
    assert first(found).restart_count == 1


def test_the_end_of_a_pod_depends_on_its_restart_policy_and_exit_codes():
    good, bad = container(state=State.EXITED), container(state=State.EXITED, exit_code=1)
    assert status(pod(policy="Never"), good).phase == "Succeeded"
    assert status(pod(policy="OnFailure"), good).phase == "Succeeded"
    assert status(pod(policy="Never"), bad).phase == "Failed"
    assert status(pod(policy="OnFailure"), bad).phase == "Running"
    assert status(pod(policy="Always"), good).phase == "Running"
    over = status(pod(policy="Never"), good)
    assert condition(over.conditions, "Ready").reason == "PodCompleted"
    assert first(over).state.terminated.reason == "Completed"


def test_running_out_of_memory_has_a_name_of_its_own():
    found = status(pod(), container(state=State.EXITED, exit_code=137, is_oom_killed=True))
    assert first(found).state.terminated.reason == "OOMKilled"


def test_what_could_not_be_started_says_what_docker_said():
    broken = container(state=State.CREATED, error="exec: nope: not found", exit_code=127)
    ended = first(status(pod(), sandbox(), broken)).state.terminated
    assert (ended.exit_code, ended.reason) == (128, "StartError")
    assert ended.message == "exec: nope: not found"


def test_a_pod_that_is_being_deleted_tells_how_its_containers_ended():
    ended = container(state=State.EXITED, exit_code=143)
    found = status(pod(delete_grace_s=5), sandbox(), ended, wait="CrashLoopBackOff")
    assert first(found).state.terminated.exit_code == 143
    never = status(pod(delete_grace_s=5))
    assert first(never).state.terminated.reason == "ContainerStatusUnknown"


def test_the_same_containers_give_the_same_status_at_any_time():
    seen = (sandbox(), container(), container(state=State.EXITED, attempt=0, id="other"))
    assert status(pod(), *seen) == status(pod(), *reversed(seen))
