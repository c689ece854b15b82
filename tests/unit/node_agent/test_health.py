"""Verdicts, which probes are made, and what the agent does about them, on virtual time."""

import asyncio

import pytest

from node_agent.core.health import UNASKED, Health, Kind, Verdict, after
from node_agent.core.observed import State, by_pod
from node_agent.core.probes import targets
from node_agent.core.question import port
from proto.kinds.container import ContainerPort
from proto.kinds.handler import ExecAction
from proto.kinds.probe import Probe, default_probe
from tests.unit.node_agent.given import container, observed, pod, sandbox, spec
from tests.unit.node_agent.node import Node, pod as reported
from tests.unit.node_agent.test_loop import a_node, on_virtual_time


def probe(program: str = "check", **fields: object) -> Probe:
    found = default_probe(Probe(exec=ExecAction(command=(program,)), **fields))
    assert found is not None
    return found


def verdict(results: str, asked: Probe) -> Verdict:
    """After ``+`` and ``-``, one a second."""
    found = UNASKED
    for second, result in enumerate(results, 1):
        found = after(found, asked, is_success=result == "+", now_ms=second * 1000)
    return found


@pytest.mark.parametrize(
    ("results", "is_good", "since_s"),
    [
        ("", None, 0),
        ("-", None, 0),
        ("---", False, 3),
        ("+", True, 1),
        ("+--", True, 1),
        ("+---", False, 4),
        ("+--+--", True, 1),
        ("+---+", True, 5),
        ("++++", True, 1),
    ],
)
def test_a_result_counts_once_it_was_seen_often_enough_in_a_row(results, is_good, since_s):
    found = verdict(results, probe(failure_threshold=3, success_threshold=1))
    assert (found.is_good, found.since_ms) == (is_good, since_s * 1000)


def test_a_success_may_have_to_be_seen_more_than_once():
    assert verdict("++-++", probe(success_threshold=3)).is_good is None
    assert verdict("++-+++", probe(success_threshold=3)).is_good is True


def due(health: Health, state: State = State.RUNNING, **fields: object) -> list[str]:
    """The probes made of a container that has all three."""
    of = spec(startup_probe=probe(), readiness_probe=probe(), liveness_probe=probe())
    assigned = pod("web", of, **fields)
    seen = observed(sandbox(), container(of=of, state=state))
    found = targets({assigned.uid: assigned}, by_pod(seen), health, "10.0.0.1")
    return [str(target.kind) for target in found]


def says(**kinds: bool) -> Health:
    return Health({("web-c-0", Kind(k)): Verdict(is_good=v) for k, v in kinds.items()})


def test_a_container_is_asked_whether_it_started_and_only_then_anything_else():
    assert due(Health()) == ["startup"]
    assert due(says(startup=True)) == ["readiness", "liveness"]
    assert due(says(startup=False)) == []
    assert due(says(startup=True, liveness=False)) == []
    assert due(says(startup=True, readiness=False)) == ["readiness", "liveness"]
    assert due(Health(), State.EXITED) == []


def test_of_a_pod_that_leaves_only_readiness_is_asked():
    assert due(says(startup=True), delete_grace_s=30) == ["readiness"]
    assert due(Health(), delete_grace_s=30) == []


def test_a_port_may_be_named():
    of = spec(ports=(ContainerPort(name="web", container_port=8080),))
    assert (port(of, "web"), port(of, 80), port(of, "x")) == (8080, 80, None)


# ------------------------------------------------------------------ the whole agent


def is_ready(node: Node) -> bool:
    found = reported(node.reports[-1], "web") if node.reports else None
    return bool(found and all(s.ready for s in found.status.container_statuses))


def restarts(node: Node) -> int:
    found = reported(node.reports[-1], "web")
    return found.status.container_statuses[0].restart_count if found else 0


def ready_condition(node: Node) -> str:
    found = reported(node.reports[-1], "web")
    assert found is not None
    return next(c.status for c in found.status.conditions if c.type == "Ready")


@on_virtual_time
async def test_a_pod_is_ready_while_its_probe_says_so():
    async with a_node() as (node, engine):
        engine.exit_codes["check"] = 1
        await node.assign(pod("web", spec(readiness_probe=probe(period_seconds=1))))
        await node.running("web")
        await node.until(lambda _: "Unhealthy" in node.reasons())
        assert (is_ready(node), ready_condition(node)) == (False, "False")
        engine.exit_codes["check"] = 0
        await node.until(lambda _: is_ready(node))
        assert ready_condition(node) == "True"
        engine.exit_codes["check"] = 1
        await node.until(lambda _: not is_ready(node))
        assert restarts(node) == 0
        texts = {event.message for event in node.events if event.reason == "Unhealthy"}
        assert texts == {"Readiness probe failed: command terminated with exit code 1"}


@on_virtual_time
async def test_a_container_that_is_not_alive_is_restarted():
    async with a_node() as (node, engine):
        engine.exit_codes["check"] = 0
        of = spec(liveness_probe=probe(period_seconds=2, failure_threshold=2))
        await node.assign(pod("web", of))
        await node.running("web")
        assert is_ready(node)
        engine.exit_codes["check"] = 1
        await node.until(lambda _: "Killing" in node.reasons())
        engine.exit_codes["check"] = 0
        await node.until(lambda _: restarts(node) == 1 and is_ready(node))
        (killed,) = (event.message for event in node.events if event.reason == "Killing")
        assert killed == "Container c failed liveness probe, will be restarted"


@on_virtual_time
async def test_a_container_that_does_not_start_in_time_is_restarted():
    async with a_node() as (node, engine):
        engine.exit_codes["up"] = 1
        of = spec(startup_probe=probe("up", period_seconds=5), liveness_probe=probe("false"))
        await node.assign(pod("web", of))
        await node.until(lambda _: "Killing" in node.reasons())
        assert not any("Liveness" in event.message for event in node.events)
        found = reported(node.reports[-1], "web")
        assert found is not None
        assert not found.status.container_statuses[0].started


@on_virtual_time
async def test_a_restarted_agent_finds_a_ready_pod_ready_and_tells_no_other_time():
    async with a_node() as (node, engine):
        of = spec(readiness_probe=probe(period_seconds=5), startup_probe=probe())
        await node.assign(pod("web", of))
        await node.until(lambda _: is_ready(node))
        before = reported(node.reports[-1], "web")
        await node.kill()
        engine.exit_codes["check"] = 1  # it is not asked at once, and once is not enough
        node.reports.clear()
        await node.start()
        await node.running("web")
        assert reported(node.reports[0], "web").status == before.status
        await node.until(lambda _: not is_ready(node))


@on_virtual_time
async def test_an_engine_that_hangs_says_nothing_of_its_containers():
    async with a_node() as (node, engine):
        asked = spec(liveness_probe=probe(period_seconds=1, failure_threshold=1))
        await node.assign(pod("web", asked))
        await node.running("web")
        (before,) = engine.containers
        engine.hang()
        report = await node.until(lambda r: r.facts.engine_error, within_s=16)
        assert report.facts.engine_error == "no answer within 10 s"
        await asyncio.sleep(200)
        engine.resume()
        await node.until(lambda r: not r.facts.engine_error, within_s=10)
        await node.assign(pod("web", asked), pod("b"))
        await node.running("b")
        assert [c for c in engine.containers if c.pod.name == "web"] == [before]
        assert any("probe errored: " in event.message for event in node.events)
