"""Init containers and sidecars: what runs before and beside a pod's own containers."""

import pytest
from msgspec.structs import replace

from node_agent.core.actions import render
from node_agent.core.health import Health, Kind, Verdict
from node_agent.core.observed import Container, State, by_pod
from node_agent.core.status import HEALTHY, pod_status
from proto.kinds.container import Container as ContainerSpec
from proto.kinds.handler import ExecAction
from proto.kinds.pod import PodStatus, default_spec
from proto.kinds.probe import Probe, default_probe
from proto.messages import AssignedPod
from proto.meta import condition
from tests.unit.node_agent.given import (
    NOW_MS,
    container,
    key,
    observed,
    planned,
    pod,
    sandbox,
    spec,
)
from tests.unit.node_agent.node import is_running, pod as reported
from tests.unit.node_agent.test_loop import a_node, on_virtual_time

FIRST, SECOND = spec("first"), spec("second")
LOGGER = spec("logger", restart_policy="Always")
METRICS = spec("metrics", restart_policy="Always")


def with_init(*first: ContainerSpec, policy: str = "Always", **fields: object) -> AssignedPod:
    found = pod(policy=policy, **fields)
    return replace(found, spec=default_spec(replace(found.spec, init_containers=first)))


def done(of: ContainerSpec, **fields: object) -> Container:
    return container(of=of, state=State.EXITED, exit_code=0, **fields)


def running(of: ContainerSpec) -> Container:
    return container(of=of)


def steps(assigned: AssignedPod, *found: Container, health: Health = HEALTHY, **memory) -> str:
    return render(
        planned([assigned], replace(observed(sandbox(), *found, **memory), health=health))
    )


def status(assigned: AssignedPod, *found: Container, has_sandbox: bool = True) -> PodStatus:
    view = by_pod(observed(*([sandbox()] if has_sandbox else []), *found))[key()]
    return pod_status(assigned, view, {}, host_ip="", accepted_at_ms=NOW_MS)


def test_init_containers_run_one_after_another_and_then_all_others():
    two = with_init(FIRST, SECOND)
    assert steps(two) == "create longshore_first_web_default_uid-web_0: assigned"
    assert steps(two, running(FIRST)) == ""
    assert steps(two, done(FIRST)) == "create longshore_second_web_default_uid-web_0: assigned"
    both = (done(FIRST), done(SECOND))
    assert steps(two, *both) == "create longshore_c_web_default_uid-web_0: assigned"
    assert steps(two, *both, running(spec())) == ""


def test_one_that_fails_is_tried_again_and_again_with_pauses():
    failed = container(of=FIRST, state=State.EXITED, exit_code=1)
    assert steps(with_init(FIRST), failed) == (
        "create longshore_first_web_default_uid-web_1: it ended"
    )
    again = container(of=FIRST, state=State.EXITED, exit_code=1, attempt=1)
    assert steps(with_init(FIRST), again) == "wait web/first: CrashLoopBackOff"


def test_a_pod_that_does_nothing_twice_fails_with_its_init_container():
    assigned = with_init(FIRST, LOGGER, policy="Never")
    failed = container(of=FIRST, state=State.EXITED, exit_code=1)
    assert steps(assigned, failed) == "remove sandbox box-web: the pod has finished"
    assert status(assigned, failed).phase == "Failed"


def test_a_sidecar_need_only_have_started():
    probe = default_probe(Probe(exec=ExecAction(command=("up",))))
    slow = replace(LOGGER, startup_probe=probe)
    assigned = with_init(slow, FIRST)
    assert steps(assigned, running(slow)) == ""
    up = Health({("web-logger-0", Kind.STARTUP): Verdict(is_good=True)})
    assert steps(assigned, running(slow), health=up) == (
        "create longshore_first_web_default_uid-web_0: assigned"
    )
    assert steps(assigned, running(slow), done(FIRST), health=up) == (
        "create longshore_c_web_default_uid-web_0: assigned"
    )


def test_a_sidecar_that_ends_is_started_again_whatever_the_pods_policy():
    assigned = with_init(LOGGER, policy="Never")
    assert steps(assigned, done(LOGGER), running(spec())) == (
        "create longshore_logger_web_default_uid-web_1: it ended"
    )


def test_a_pod_has_finished_without_its_sidecars_which_then_end_the_last_first():
    assigned = with_init(LOGGER, METRICS, policy="Never")
    mine = done(spec())
    assert steps(assigned, mine, running(LOGGER), running(METRICS)) == (
        "SIGTERM web/metrics: the pod has finished"
    )
    assert steps(assigned, mine, running(LOGGER), done(METRICS)) == (
        "SIGTERM web/logger: the pod has finished"
    )
    assert steps(assigned, mine, done(LOGGER), done(METRICS)) == (
        "remove sandbox box-web: the pod has finished"
    )
    assert status(assigned, mine, running(LOGGER), done(METRICS)).phase == "Succeeded"


def test_sidecars_of_a_deleted_pod_get_what_the_others_left_of_its_grace():
    assigned = with_init(LOGGER, delete_grace_s=30)
    assert steps(assigned, running(spec()), running(LOGGER)) == "SIGTERM web/c: deleted"
    asked = {"web-c-0": NOW_MS - 20_000}
    assert steps(assigned, done(spec()), running(LOGGER), signalled_at_ms=asked) == (
        "SIGTERM web/logger: deleted"
    )
    for seconds, expected in ((9, ""), (11, "kill web/logger: deleted")):
        both = asked | {"web-logger-0": NOW_MS - seconds * 1000}
        both["web-c-0"] = NOW_MS - 1000 * (20 + seconds)
        assert steps(assigned, done(spec()), running(LOGGER), signalled_at_ms=both) == expected


def test_a_new_sandbox_begins_again_without_a_pause():
    older = done(FIRST, sandbox_id="box-old", backoff=3)
    assert steps(with_init(FIRST), older) == (
        "create longshore_first_web_default_uid-web_1: the pod starts afresh"
    )


def test_remains_that_somebody_removed_are_not_missed():
    assert steps(with_init(FIRST), running(spec())) == ""
    (first,) = status(with_init(FIRST), running(spec())).init_container_statuses
    assert (first.ready, first.state.terminated.reason) == (True, "Completed")


@pytest.mark.parametrize(
    ("found", "phase", "initialized", "waiting"),
    [
        ((), "Pending", "False", ["PodInitializing", "PodInitializing"]),
        ((running(FIRST),), "Pending", "False", ["", "PodInitializing"]),
        ((done(FIRST),), "Pending", "True", ["", "PodInitializing"]),
        ((done(FIRST), running(spec())), "Running", "True", ["", ""]),
    ],
)
def test_the_status_tells_how_far_it_has_come(found, phase, initialized, waiting):
    told = status(with_init(FIRST), *found)
    assert told.phase == phase
    state = condition(told.conditions, "Initialized")
    assert state.status == initialized
    if initialized == "False":
        assert state.message == "containers with incomplete status: [first]"
    everyone = (*told.init_container_statuses, *told.container_statuses)
    assert [s.state.waiting.reason if s.state.waiting else "" for s in everyone] == waiting


def test_a_pod_is_ready_only_with_its_sidecars():
    told = status(with_init(LOGGER), done(LOGGER), running(spec()))
    ready = condition(told.conditions, "Ready")
    assert (ready.status, ready.message) == ("False", "containers with unready status: [logger]")
    assert condition(told.conditions, "Initialized").status == "True"


@on_virtual_time
async def test_a_whole_agent_brings_them_up_in_order_and_down_again():
    async with a_node() as (node, engine):
        order: list[str] = []
        engine.on_start = lambda found: order.append(found.container)
        assigned = with_init(LOGGER, FIRST)
        await node.assign(assigned)
        await node.until(lambda _: order == ["logger", "first"])
        (first,) = [c for c in engine.containers if c.container == "first"]
        engine.end(first.id, exit_code=0)
        await node.until(lambda r: is_running(reported(r, "web")))
        assert order == ["logger", "first", "c"]
        await node.assign(replace(assigned, delete_grace_s=5))
        await node.until(lambda r: (w := reported(r, "web")) and w.is_gone)
        assert not engine.containers
