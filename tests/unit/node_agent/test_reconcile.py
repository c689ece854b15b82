"""What the agent does next, as rendered plans."""

import pytest
from msgspec.structs import replace

from node_agent.core.actions import ClaimSandbox, CreateContainer, CreateSandbox, render
from node_agent.core.configs import Host
from node_agent.core.observed import Failure, Pull, PullKey, State
from node_agent.core.pool import QUIET_MS
from proto.kinds.container import (
    ContainerPort,
    EnvVar,
    EnvVarSource,
    ObjectFieldSelector,
    ResourceRequirements,
)
from tests.unit.node_agent.given import (
    HOST,
    IMAGE,
    NODE,
    NOW_MS,
    container,
    observed,
    planned,
    pod,
    sandbox,
    spec,
)

STOCKED = Host(NODE, ip="10.0.0.1", pool_size=2)


def test_a_new_pod_begins_with_a_sandbox_of_its_own_when_the_pool_is_empty():
    plan = planned([pod()], observed())
    assert render(plan) == "create sandbox longshore_POD_web_default_uid-web: assigned"


def test_a_new_pod_claims_a_sandbox_of_the_pool():
    plan = planned([pod()], observed(sandbox(None)))
    assert render(plan) == "claim sandbox box-None for web: assigned"
    assert isinstance(plan.actions[0], ClaimSandbox)
    assert plan.actions[0].name == "longshore_POD_web_default_uid-web"


def test_two_pods_do_not_claim_the_same_sandbox():
    plan = planned([pod("a"), pod("b")], observed(sandbox(None)))
    assert render(plan).splitlines() == [
        "claim sandbox box-None for a: assigned",
        "create sandbox longshore_POD_b_default_uid-b: assigned",
    ]


def test_a_sandbox_that_must_publish_a_port_is_made_for_its_pod():
    published = spec(ports=(ContainerPort(container_port=80, host_port=8080),))
    plan = planned([pod("web", published)], observed(sandbox(None)))
    assert isinstance(plan.actions[0], CreateSandbox)
    (port,) = plan.actions[0].config.ports
    assert (port.container_port, port.host_port, port.protocol) == (80, 8080, "TCP")


def test_a_pod_with_a_host_name_of_its_own_gets_a_sandbox_that_bears_it():
    plan = planned([pod(hostname="db-0")], observed(sandbox(None)))
    assert isinstance(plan.actions[0], CreateSandbox)
    assert plan.actions[0].config.hostname == "db-0"


def test_the_containers_of_a_pod_are_made_side_by_side_once_its_sandbox_runs():
    plan = planned([pod("web", spec("a"), spec("b"))], observed(sandbox()))
    assert render(plan).splitlines() == [
        "create longshore_a_web_default_uid-web_0: assigned",
        "create longshore_b_web_default_uid-web_0: assigned",
    ]


def test_a_container_that_was_made_is_started():
    plan = planned([pod()], observed(sandbox(), container(state=State.CREATED)))
    assert render(plan) == "start web/c: created"


def test_a_settled_pod_is_left_alone():
    plan = planned([pod()], observed(sandbox(), container()))
    assert (render(plan), plan.wake_at_ms) == ("", None)


def test_a_pod_that_is_being_worked_on_is_left_alone():
    assert render(planned([pod()], observed(busy=frozenset({"uid-web"})))) == ""


def test_the_first_restart_is_immediate():
    plan = planned([pod()], observed(sandbox(), container(state=State.EXITED)))
    assert render(plan) == "create longshore_c_web_default_uid-web_1: it ended"


def test_the_second_restart_waits_ten_seconds_after_the_end():
    seen = observed(sandbox(), container(state=State.EXITED, attempt=1, exit_code=1))
    plan = planned([pod()], seen)
    assert render(plan) == "wait web/c: CrashLoopBackOff"
    assert plan.wake_at_ms == NOW_MS + 10_000
    assert (
        "back-off 10s restarting failed container=c pod=web_default(uid-web)"
        in plan.waits[0].message
    )
    later = planned([pod()], seen, now_ms=NOW_MS + 10_000)
    assert render(later) == "create longshore_c_web_default_uid-web_2: it ended"


def test_a_container_that_somebody_removed_counts_as_restarted():
    (action,) = planned([pod()], observed(sandbox(), attempts={("uid-web", "c"): 2})).actions
    assert action.config.labels["longshore.dev/attempt"] == "3"
    assert (action.cause, action.config.labels["longshore.dev/backoff"]) == ("it was removed", "0")


def test_ten_good_minutes_forgive_earlier_restarts():
    ended = container(state=State.EXITED, attempt=7, started_at_ms=NOW_MS - 600_000)
    plan = planned([pod()], observed(sandbox(), ended))
    assert isinstance(plan.actions[0], CreateContainer)
    assert plan.actions[0].config.labels["longshore.dev/backoff"] == "1"
    assert plan.actions[0].config.labels["longshore.dev/attempt"] == "8"


def test_a_container_that_could_not_be_started_is_tried_again_as_a_new_attempt():
    broken = container(state=State.CREATED, error="exec: nope: not found")
    plan = planned([pod()], observed(sandbox(), broken))
    assert render(plan) == "create longshore_c_web_default_uid-web_1: it ended"


def test_a_pod_that_never_restarts_gives_its_sandbox_back_when_it_has_ended():
    seen = observed(sandbox(), container(state=State.EXITED, exit_code=1))
    assert (
        render(planned([pod(policy="Never")], seen))
        == "remove sandbox box-web: the pod has finished"
    )
    assert render(planned([pod(policy="Never")], observed(*seen.containers))) == ""


def test_on_failure_restarts_only_what_failed():
    a, b = spec("a"), spec("b")
    seen = observed(
        sandbox(),
        container(of=a, state=State.EXITED),
        container(of=b, state=State.EXITED, exit_code=1),
    )
    plan = planned([pod("web", a, b, policy="OnFailure")], seen)
    assert render(plan) == "create longshore_b_web_default_uid-web_1: it ended"


def test_only_the_last_two_attempts_are_kept():
    ends = [container(state=State.EXITED, attempt=n) for n in (0, 1)]
    plan = planned([pod()], observed(sandbox(), *ends, container(attempt=2)))
    assert render(plan) == "remove web-c-0: superseded"


def test_a_changed_image_stops_the_container_and_starts_its_successor_without_delay():
    new = spec(image="demo/web:2")
    changed = pod("web", new)
    images = (IMAGE, "demo/web:2")
    plan = planned([changed], observed(sandbox(), container(), images=images))
    assert render(plan) == "SIGTERM web/c: its definition changed"
    ended = container(state=State.EXITED, attempt=5)
    plan = planned([changed], observed(sandbox(), ended, images=images))
    assert render(plan) == "create longshore_c_web_default_uid-web_6: its definition changed"
    assert plan.actions[0].config.labels["longshore.dev/backoff"] == "0"


def test_containers_whose_sandbox_died_are_killed_before_it_is_replaced():
    dead = sandbox(state=State.EXITED)
    assert (
        render(planned([pod()], observed(dead, container()))) == "kill web/c: its sandbox has died"
    )
    killed = container(state=State.EXITED, exit_code=137)
    assert render(planned([pod()], observed(dead, killed))) == "remove sandbox box-web: it has died"
    assert render(planned([pod()], observed(killed, sandbox(None)))) == (
        "claim sandbox box-None for web: assigned"
    )
    assert render(planned([pod()], observed(killed, sandbox(id="box-new")))) == (
        "create longshore_c_web_default_uid-web_1: it ended"
    )


def test_a_container_that_runs_in_another_sandbox_is_killed():
    seen = observed(sandbox(id="box-new"), container())
    assert render(planned([pod()], seen)) == "kill web/c: its sandbox has died"


def test_a_pool_that_cannot_be_filled_is_left_alone_for_a_while():
    refused = {("", ""): Failure("ContainerCreating", "no space left", 3, NOW_MS)}
    plan = planned([], observed(failures=refused), STOCKED)
    assert (plan.actions, plan.wake_at_ms) == ((), NOW_MS + 4000)


def test_a_deleted_pod_is_asked_to_end_then_killed_when_its_grace_is_over():
    deleted = pod(delete_grace_s=5)
    seen = observed(sandbox(), container())
    assert render(planned([deleted], seen)) == "SIGTERM web/c: deleted"
    asked = observed(sandbox(), container(), signalled_at_ms={"web-c-0": NOW_MS})
    plan = planned([deleted], asked, now_ms=NOW_MS + 1000)
    assert (render(plan), plan.wake_at_ms) == ("", NOW_MS + 5000)
    assert render(planned([deleted], asked, now_ms=NOW_MS + 5000)) == "kill web/c: deleted"


def test_a_shorter_grace_takes_effect_while_the_pod_is_ending():
    asked = observed(sandbox(), container(), signalled_at_ms={"web-c-0": NOW_MS - 2000})
    assert render(planned([pod(delete_grace_s=30)], asked)) == ""
    assert render(planned([pod(delete_grace_s=1)], asked)) == "kill web/c: deleted"
    assert render(planned([pod(delete_grace_s=0)], observed(sandbox(), container()))) == (
        "kill web/c: deleted"
    )


def test_what_is_left_of_a_deleted_pod_is_removed_with_its_sandbox():
    seen = observed(
        sandbox(), container(state=State.EXITED), container(state=State.CREATED, attempt=1)
    )
    assert render(planned([pod(delete_grace_s=5)], seen)).splitlines() == [
        "remove web-c-1: deleted",
        "remove web-c-0: deleted",
        "remove sandbox box-web: deleted",
    ]


def test_a_pod_that_is_not_assigned_is_stopped_with_its_own_grace():
    seen = observed(sandbox(), container(grace_s=7), signalled_at_ms={"web-c-0": NOW_MS})
    assert planned([], seen).wake_at_ms == NOW_MS + 7000
    assert render(planned([], observed(sandbox(), container()))) == "SIGTERM web/c: not assigned"


def test_a_pod_of_the_same_name_but_another_uid_is_another_pod():
    successor = replace(pod(), uid="uid-new")
    lines = render(planned([successor], observed(sandbox(), container()))).splitlines()
    assert lines == [
        "create sandbox longshore_POD_web_default_uid-new: assigned",
        "SIGTERM web/c: not assigned",
    ]


def test_a_missing_image_is_pulled_once_for_all_that_wait():
    plan = planned([pod("a"), pod("b")], observed(sandbox("a"), sandbox("b"), images=()))
    assert render(plan) == "pull demo/web:1: the image is needed"
    assert [(key.name, c) for key, c in plan.actions[0].wanted_by] == [("a", "c"), ("b", "c")]


def test_a_failed_pull_is_tried_again_after_ten_seconds():
    failure = Failure("ErrImagePull", "no such host", 1, NOW_MS)
    seen = observed(sandbox(), images=(), pulls={PullKey(IMAGE): Pull(0, failure)})
    plan = planned([pod()], seen, now_ms=NOW_MS + 1)
    assert (render(plan), plan.wake_at_ms) == ("wait web/c: ImagePullBackOff", NOW_MS + 10_000)
    assert (
        render(planned([pod()], seen, now_ms=NOW_MS + 10_000))
        == "pull demo/web:1: the image is needed"
    )


def test_policy_never_waits_for_somebody_to_bring_the_image():
    offline = pod("web", spec(image_pull_policy="Never"))
    plan = planned([offline], observed(sandbox(), images=()))
    assert (render(plan), plan.wake_at_ms) == ("wait web/c: ErrImageNeverPull", None)
    assert render(planned([offline], observed(sandbox()))).startswith("create")


def test_policy_always_is_content_with_a_pull_as_young_as_the_need():
    fresh = pod("web", spec(image_pull_policy="Always"))
    accepted = {"uid-web": NOW_MS - 10}
    seen = observed(sandbox(), accepted_at_ms=accepted)
    assert render(planned([fresh], seen)) == "pull demo/web:1: the image is needed"
    seen = observed(sandbox(), accepted_at_ms=accepted, pulls={PullKey(IMAGE): Pull(NOW_MS - 5)})
    assert render(planned([fresh], seen)).startswith("create")
    seen = observed(sandbox(), accepted_at_ms=accepted, pulls={PullKey(IMAGE): Pull(NOW_MS - 20)})
    assert render(planned([fresh], seen)).startswith("pull")


def test_what_docker_refused_is_left_alone_for_a_while():
    refused = {("uid-web", "c"): Failure("CreateContainerError", "bad mount", 2, NOW_MS)}
    plan = planned([pod()], observed(sandbox(), failures=refused))
    assert (render(plan), plan.wake_at_ms) == ("wait web/c: CreateContainerError", NOW_MS + 2000)


@pytest.mark.parametrize(
    ("assigned", "found", "id", "expected"),
    [
        ([], [sandbox()], "box-web", "remove sandbox box-web: not assigned"),
        ([], [sandbox(None, id="dead", state=State.EXITED)], "dead", "remove sandbox dead: "),
        ([pod(delete_grace_s=0)], [sandbox(), container()], "web-c-0", "kill web/c: deleted"),
        ([], [container(state=State.EXITED)], "web-c-0", "remove web-c-0: not assigned"),
    ],
)
def test_what_docker_cannot_end_is_left_alone_for_a_while(assigned, found, id, expected):
    stuck = {id: Failure("FailedKillPod", "device or resource busy", 3, NOW_MS)}
    plan = planned(assigned, observed(*found, stuck=stuck))
    assert (render(plan), plan.wake_at_ms) == ("", NOW_MS + 4000)
    later = planned(assigned, observed(*found, stuck=stuck), now_ms=NOW_MS + 4000)
    assert render(later).startswith(expected)


def test_the_pool_is_filled_one_at_a_time_once_the_node_is_quiet():
    busy = observed(worked_at_ms=NOW_MS)
    plan = planned([], busy, STOCKED)
    assert (render(plan), plan.wake_at_ms) == ("", NOW_MS + QUIET_MS)
    assert render(planned([], observed(), STOCKED)) == (
        "create sandbox longshore_pool_node-1_0: the pool is short"
    )
    one = observed(sandbox(None))
    assert render(planned([], one, STOCKED)) == (
        "create sandbox longshore_pool_node-1_1: the pool is short"
    )
    full = observed(sandbox(None), sandbox(None, id="b", name="longshore_pool_node-1_1"))
    assert render(planned([], full, STOCKED)) == ""


def test_the_pools_of_two_clusters_have_different_names():
    host = replace(STOCKED, cluster="7f3a")
    assert render(planned([], observed(), host)) == (
        "create sandbox longshore_pool_node-1_7f3a-0: the pool is short"
    )


def test_the_pool_never_takes_time_from_pods():
    plan = planned([pod("web", hostname="x")], observed(), STOCKED)
    assert render(plan) == "create sandbox longshore_POD_web_default_uid-web: assigned"
    assert render(planned([], observed(busy=frozenset({"uid-web"})), STOCKED)) == ""


def test_dead_and_surplus_sandboxes_of_the_pool_are_removed():
    dead = sandbox(None, state=State.EXITED)
    assert (
        render(planned([], observed(dead), STOCKED))
        == "remove sandbox box-None: not of use to the pool"
    )
    assert render(planned([], observed(sandbox(None)), HOST)) == (
        "remove sandbox box-None: not of use to the pool"
    )


def test_a_container_is_told_its_environment_and_command_as_kubernetes_fills_them_in():
    told = spec(
        command=("serve", "$(GREETING)"),
        args=("--ip=$(IP)", "$$(IP)", "$(NOBODY)"),
        env=(
            EnvVar(
                name="IP",
                value_from=EnvVarSource(field_ref=ObjectFieldSelector(field_path="status.podIP")),
            ),
            EnvVar(
                name="APP",
                value_from=EnvVarSource(
                    field_ref=ObjectFieldSelector(field_path="metadata.labels['app']")
                ),
            ),
            EnvVar(name="GREETING", value="hello $(APP)"),
        ),
        resources=ResourceRequirements(limits={"cpu": "500m", "memory": "64Mi"}),
    )
    plan = planned([pod("web", told)], observed(sandbox()))
    config = plan.actions[0].config
    assert config.entrypoint == ("serve", "hello web")
    assert config.command == ("--ip=172.17.0.2", "$(IP)", "$(NOBODY)")
    assert config.env == {
        "HOSTNAME": "web",
        "IP": "172.17.0.2",
        "APP": "web",
        "GREETING": "hello web",
    }
    assert (config.cpu_limit_milli, config.cpu_request_milli) == (500, 500)
    assert config.memory_limit_bytes == 64 << 20
