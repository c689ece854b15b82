"""Hooks: what containers are told after their start and before their end."""

import asyncio

import pytest
from msgspec.structs import replace

from node_agent.core.actions import render
from node_agent.core.observed import Container, Hook, HookKind, State
from proto.kinds.handler import ExecAction, SleepAction
from proto.kinds.lifecycle import Lifecycle, LifecycleHandler
from tests.unit.node_agent.given import NOW_MS, container, observed, planned, pod, sandbox, spec
from tests.unit.node_agent.node import Node, pod as reported, state_reason
from tests.unit.node_agent.test_loop import a_node, on_virtual_time

TOLD = spec(
    lifecycle=Lifecycle(
        post_start=LifecycleHandler(exec=ExecAction(command=("hello",))),
        pre_stop=LifecycleHandler(exec=ExecAction(command=("goodbye",))),
    )
)


def steps(*found: Container, grace_s: int | None = None, **memory: object) -> str:
    assigned = pod("web", TOLD, delete_grace_s=grace_s)
    return render(planned([assigned], observed(sandbox(), *found, **memory)))


def hook(kind: HookKind, **fields: object) -> dict:
    return {"hooks": {("web-c-0", kind): Hook(**fields)}}


POST_START, PRE_STOP = HookKind.POST_START, HookKind.PRE_STOP


def test_a_container_that_was_started_is_told_so_once():
    running = container(of=TOLD)
    assert steps(running, **hook(POST_START)) == "postStart hook of web/c: started"
    assert steps(running, **hook(POST_START, began_at_ms=NOW_MS)) == ""
    assert steps(running, **hook(POST_START, began_at_ms=NOW_MS, is_done=True)) == ""
    assert steps(running) == "", "an earlier agent may have told it"


def test_a_container_whose_hook_failed_ends():
    failed = hook(POST_START, began_at_ms=NOW_MS, is_done=True, error="no")
    assert steps(container(of=TOLD), **failed) == "preStop hook of web/c: failed postStart hook"


@pytest.mark.parametrize(
    ("began_s", "is_done", "signalled_s", "expected"),
    [
        (None, False, None, "preStop hook of web/c: deleted"),
        (5, False, None, ""),
        (5, True, None, "SIGTERM web/c: deleted"),
        (5, True, 1, ""),
        (30, False, None, "kill web/c: deleted"),
        (30, True, None, "SIGTERM web/c: deleted"),
        (31, True, 1, ""),
        (32, True, 2, "kill web/c: deleted"),
    ],
)
def test_a_hook_before_the_end_is_on_the_containers_grace(began_s, is_done, signalled_s, expected):
    memory: dict = {}
    if began_s is not None:
        memory = hook(PRE_STOP, began_at_ms=NOW_MS - began_s * 1000, is_done=is_done)
    if signalled_s is not None:
        memory["signalled_at_ms"] = {"web-c-0": NOW_MS - signalled_s * 1000}
    assert steps(container(of=TOLD), grace_s=30, **memory) == expected


def test_who_has_no_time_to_end_is_told_nothing():
    assert steps(container(of=TOLD), grace_s=0) == "kill web/c: deleted"


def test_a_container_that_is_not_assigned_any_more_is_just_asked():
    plan = planned([], observed(sandbox(), container(of=TOLD)))
    assert render(plan) == "SIGTERM web/c: not assigned"


def test_a_start_says_whether_a_hook_follows():
    made = container(of=TOLD, state=State.CREATED)
    (action,) = planned([pod("web", TOLD)], observed(sandbox(), made)).actions
    assert action.has_hook
    plain = container(state=State.CREATED)
    (action,) = planned([pod("web")], observed(sandbox(), plain)).actions
    assert not action.has_hook


def sleeping(after_s: int, before_s: int) -> Lifecycle:
    return Lifecycle(
        post_start=LifecycleHandler(sleep=SleepAction(seconds=after_s)),
        pre_stop=LifecycleHandler(sleep=SleepAction(seconds=before_s)),
    )


def seconds(node: Node) -> float:
    return asyncio.get_running_loop().time()


@on_virtual_time
async def test_a_pod_has_started_when_its_hook_is_done_and_ends_after_the_other():
    async with a_node() as (node, engine):
        assigned = pod("web", spec(lifecycle=sleeping(5, 7)))
        began_s = seconds(node)
        await node.assign(assigned)
        await node.running("web")
        assert 5 <= seconds(node) - began_s < 7
        began_s = seconds(node)
        await node.assign(replace(assigned, delete_grace_s=30))
        await node.until(lambda r: (w := reported(r, "web")) and w.is_gone)
        assert 7 <= seconds(node) - began_s < 9
        assert not engine.containers


@on_virtual_time
async def test_a_hook_that_takes_too_long_is_cut_short_by_the_grace():
    async with a_node() as (node, engine):
        engine.ignores_signals = lambda _: True
        assigned = pod("web", spec(lifecycle=sleeping(0, 1000)))
        await node.assign(assigned)
        await node.running("web")
        began_s = seconds(node)
        await node.assign(replace(assigned, delete_grace_s=10))
        await node.until(lambda r: (w := reported(r, "web")) and w.is_gone)
        assert 10 <= seconds(node) - began_s < 14
        assert "FailedPreStopHook" in node.reasons()


@on_virtual_time
async def test_a_hook_that_fails_ends_the_container_which_is_tried_again():
    async with a_node() as (node, engine):
        engine.exit_codes["hello"] = 1
        await node.assign(pod("web", TOLD))
        await node.until(lambda r: state_reason(reported(r, "web")) == "CrashLoopBackOff")
        assert "FailedPostStartHook" in node.reasons()
        engine.exit_codes["hello"] = 0
        await node.running("web", within_s=60)
