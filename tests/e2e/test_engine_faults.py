"""Docker itself fails under an agent: on a host with a dockerd of its own."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from node_agent.core.observed import State
from node_agent.engine.docker import Docker
from proto.kinds.handler import ExecAction
from proto.kinds.probe import Probe, default_probe
from proto.messages import AssignedPod
from tests.e2e.host import Host
from tests.e2e.testbed import Testbed
from tests.unit.node_agent import given
from tests.unit.node_agent.node import Node, is_running, pod as reported, state_reason

pytestmark = [pytest.mark.e2e, pytest.mark.docker]

ALIVE = default_probe(
    Probe(
        exec=ExecAction(command=("true",)), period_seconds=1, timeout_seconds=5, failure_threshold=2
    )
)
SCRIPT = "trap 'exit 0' TERM; sleep 1000 & wait"


def a_pod(name: str, image: str = "demo/busybox:1", **fields: object) -> AssignedPod:
    own = given.spec("c0", image=image, command=("sh", "-c", SCRIPT), **fields)
    return replace(given.pod(name, own), uid=uuid.uuid4().hex)


@pytest.fixture
def host(testbed: Testbed) -> Host:
    testbed.repair()
    testbed.wipe()
    return testbed.hosts[0]


@asynccontextmanager
async def an_agent(host: Host) -> AsyncIterator[Node]:
    """On this host's Docker."""
    engine = Docker(f"unix://{host.engine.socket_path}", host.name)
    try:
        async with asyncio.TaskGroup() as tasks:
            node = Node(
                engine, lambda: time.time_ns() // 1_000_000, tasks, name=host.name, sandbox_pool=0
            )
            await node.listen()
            await node.start()
            try:
                yield node
            finally:
                await node.stop()
    finally:
        await engine.close()


async def running(node: Node) -> dict[str, tuple[str, int]]:
    """What runs, by pod: (container's id, when it started)."""
    found, _ = await node.existing()
    return {c.pod.name: (c.id, c.started_at_ms) for c in found if c.state is State.RUNNING}


async def test_an_engine_that_hangs_is_told_of_and_nothing_restarts(host: Host) -> None:
    async with an_agent(host) as node:
        pods = a_pod("probed", liveness_probe=ALIVE), a_pod("plain")
        await node.assign(*pods)
        await node.running("probed", "plain")
        before = await running(node)

        host.pause_docker()
        try:
            report = await node.until(lambda r: r.facts.engine_error)
            beats = len(node.beats)
            await node.assign(*pods, a_pod("later"))  # heard, though nothing can be done about it
            async with asyncio.timeout(30):
                while node.beats[-1].generation < 2:
                    await asyncio.sleep(0.05)
        finally:
            host.resume_docker()

        assert report.facts.engine_error == "Docker did not answer within 10 s"
        assert len(node.beats) > beats
        await node.until(lambda r: not r.facts.engine_error)
        await node.running("probed", "plain", "later")
        assert before.items() <= (await running(node)).items()


async def test_dockerd_is_restarted_under_its_containers(host: Host) -> None:
    """With live-restore they go on; without, they end, and each is started once more."""
    async with an_agent(host) as node:
        await node.assign(a_pod("web"))
        await node.running("web")
        before = await running(node)

        host.set_live_restore(True)
        try:
            host.kill_docker()  # its own containerd keeps dockerd from ending by itself
            await node.until(lambda r: r.facts.engine_error)
            host.start_docker()
            await node.until(lambda r: not r.facts.engine_error)
            await node.running("web")
            assert await running(node) == before
        finally:
            host.set_live_restore(False)

        host.stop_docker()
        host.start_docker()
        await node.until(
            lambda r: (
                is_running(web := reported(r, "web"))
                and web.status.container_statuses[0].restart_count == 1
            )
        )
        assert (await running(node)).keys() == before.keys()


async def test_an_image_that_is_removed_is_missed_at_the_next_start(host: Host) -> None:
    engine = host.engine
    engine.call("POST", "/images/demo/busybox:1/tag?repo=demo/gone&tag=1")
    async with an_agent(host) as node:
        await node.assign(a_pod("web", "demo/gone:1"), a_pod("beside"))
        await node.running("web", "beside")
        before = await running(node)

        engine.call("DELETE", "/images/demo/gone:1?force=1")
        assert await running(node) == before
        await node.engine.signal(before["web"][0], "SIGKILL")
        await node.until(
            lambda r: state_reason(reported(r, "web")) in ("ErrImagePull", "ImagePullBackOff")
        )
        assert "Failed" in node.reasons()
        assert (await running(node)).keys() == {"beside"}

        engine.call("POST", "/images/demo/busybox:1/tag?repo=demo/gone&tag=1")
        await node.running("web", "beside")
        assert (await running(node))["beside"] == before["beside"]
