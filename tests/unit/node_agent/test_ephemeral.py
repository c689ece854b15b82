"""Containers that ``kubectl debug`` adds to a pod that runs."""

import pytest
from msgspec.structs import replace

from node_agent.core import targets
from node_agent.core.actions import CreateContainer, render
from node_agent.core.observed import PodView, State, by_pod
from node_agent.core.status import pod_status
from proto.kinds.ephemeral import EphemeralContainer
from proto.messages import AssignedPod, ExecRequest, StreamFailed
from proto.meta import condition, format_time
from tests.unit.node_agent.given import (
    IMAGE,
    NOW_MS,
    container,
    key,
    observed,
    planned,
    pod,
    sandbox,
)

DEBUGGER = EphemeralContainer(name="debugger", image=IMAGE, image_pull_policy="IfNotPresent")


def debugged(*added: EphemeralContainer, **fields: object) -> AssignedPod:
    found = pod(**fields)
    return replace(found, spec=replace(found.spec, ephemeral_containers=added or (DEBUGGER,)))


def test_it_is_made_beside_what_runs_and_started():
    plan = planned([debugged()], observed(sandbox(), container()))
    assert render(plan) == "create longshore_debugger_web_default_uid-web_0: assigned"
    made = container(of=DEBUGGER, state=State.CREATED)
    plan = planned([debugged()], observed(sandbox(), container(), made))
    assert render(plan) == "start web/debugger: created"


@pytest.mark.parametrize("policy", ["Always", "OnFailure"])
@pytest.mark.parametrize(
    "ended",
    [
        {"state": State.EXITED, "exit_code": 1, "started_at_ms": 1},
        {"state": State.CREATED, "error": "no such program"},
    ],
)
def test_it_runs_once_whatever_comes_of_it(policy, ended):
    seen = observed(sandbox(), container(), container(of=DEBUGGER, **ended))
    assert render(planned([debugged(policy=policy)], seen)) == ""


def test_it_may_share_the_processes_of_a_container_that_runs():
    target = replace(DEBUGGER, target_container_name="c")
    plan = planned([debugged(target)], observed(sandbox(), container()))
    (action,) = plan.actions
    assert isinstance(action, CreateContainer)
    assert action.config.processes_of == "web-c-0"
    waiting = planned([debugged(target)], observed(sandbox(), container(state=State.CREATED)))
    assert "wait web/debugger: CreateContainerConfigError" in render(waiting)


def test_all_containers_of_a_pod_may_share_their_processes():
    plan = planned([debugged(share_process_namespace=True)], observed(sandbox()))
    assert [action.config.processes_of for action in plan.actions] == ["box-web", "box-web"]


def test_it_ends_with_a_pod_that_has_finished():
    done = container(state=State.EXITED, exit_code=0)
    assigned = debugged(policy="Never")
    plan = planned([assigned], observed(sandbox(), done, container(of=DEBUGGER)))
    assert render(plan) == "SIGTERM web/debugger: the pod has finished"
    gone = container(of=DEBUGGER, state=State.EXITED)
    plan = planned([assigned], observed(sandbox(), done, gone))
    assert render(plan) == "remove sandbox box-web: the pod has finished"


def test_it_goes_with_a_pod_that_is_deleted():
    plan = planned([debugged(delete_grace_s=9)], observed(sandbox(), container(of=DEBUGGER)))
    assert render(plan) == "SIGTERM web/debugger: deleted"


def test_it_has_a_status_of_its_own_that_the_pods_does_not_follow():
    own = container(started_at_ms=NOW_MS - 9000)
    ended = container(of=DEBUGGER, state=State.EXITED, exit_code=3)
    for found in (container(of=DEBUGGER, started_at_ms=NOW_MS - 10), ended):
        view = by_pod(observed(sandbox(), own, found))[key()]
        status = pod_status(debugged(), view, {}, host_ip="", accepted_at_ms=0)
        assert (status.phase, len(status.container_statuses)) == ("Running", 1)
        ready = condition(status.conditions, "Ready")
        assert (ready.status, ready.last_transition_time) == ("True", format_time(NOW_MS - 9000))
        (told,) = status.ephemeral_container_statuses
        assert (told.name, told.ready) == ("debugger", False)
    assert told.state.terminated.exit_code == 3


def test_programs_run_in_it_too_and_other_names_are_told_which_there_are():
    view = by_pod(observed(sandbox(), container(), container(of=DEBUGGER)))[key()]
    asked = ExecRequest(pod_uid="uid-web", container="debugger", command=("true",))
    assert targets.running(asked, debugged(), view).container == "debugger"
    refused = targets.running(replace(asked, container="x"), debugged(), PodView())
    assert refused == StreamFailed(
        code=400,
        reason="container x is not valid for pod web: valid containers are: c, debugger",
    )
