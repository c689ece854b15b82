"""What people do to an agent's containers with Docker itself, and what of it the agent minds."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator

import aiodocker
import pytest
from msgspec.structs import replace

from proto.kinds.container import ContainerPort
from tests.integration.test_agent import a_node, a_pod
from tests.unit.node_agent import given
from tests.unit.node_agent.node import is_running, pod

pytestmark = pytest.mark.docker


@contextlib.asynccontextmanager
async def docker() -> AsyncIterator[aiodocker.Docker]:
    async with aiodocker.Docker(url="unix:///var/run/docker.sock") as found:
        yield found


def restarts(report, name: str) -> int:
    found = pod(report, name)
    return found.status.container_statuses[0].restart_count if is_running(found) else 0


async def test_docker_ps_tells_namespace_pod_and_container():
    async with a_node() as node, docker() as engine:
        found = a_pod("web")
        await node.assign(found)
        await node.running("web")
        listed = await engine.containers.list(
            filters=f'{{"label": ["longshore.dev/pod-uid={found.uid}"]}}'
        )
        (ours,) = [container["Names"] for container in listed]
        assert ours == [f"/longshore_c0_web_default_{found.uid}_0"]
        labels = listed[0]["Labels"]
        told = {key: labels[f"longshore.dev/{key}"] for key in ("namespace", "pod", "container")}
        assert told == {"namespace": "default", "pod": "web", "container": "c0"}


async def test_a_container_that_is_removed_by_hand_is_made_again_and_counts_as_restarted():
    async with a_node() as node:
        await node.assign(a_pod("web"), a_pod("beside"))
        await node.running("web", "beside")
        containers, _ = await node.existing()
        (victim,) = [c for c in containers if c.pod.name == "web"]
        (neighbour,) = [c for c in containers if c.pod.name == "beside"]
        await node.engine.remove(victim.id)
        report = await node.until(lambda r: restarts(r, "web") == 1)
        assert restarts(report, "beside") == 0
        assert neighbour.id in {c.id for c in (await node.existing())[0]}


async def test_copies_that_people_start_with_our_labels_are_left_alone():
    """As from an image that was committed from a pod's container."""
    async with a_node() as node, docker() as engine:
        await node.assign(a_pod("web"))
        await node.running("web")
        (own,), (box,) = await node.existing()
        copies = []
        for id in (own.id, box.id):
            shown = await engine.containers.container(id).show()
            labels = shown["Config"]["Labels"]
            config = {"Image": "demo/busybox:1", "Cmd": ["sleep", "600"], "Labels": labels}
            copies.append(await engine.containers.run(config, name=f"by-hand-{uuid.uuid4().hex}"))
        try:
            await node.kill()
            await node.start()  # so that everything is looked at
            await node.assign()
            async with asyncio.timeout(30):
                while await node.existing() != ([], []):
                    await asyncio.sleep(0.05)
            for copy in copies:
                assert (await copy.show())["State"]["Running"]
        finally:
            for copy in copies:
                await copy.delete(force=True)


async def test_what_fails_in_one_pod_is_told_and_holds_up_no_other():
    """A port that somebody has, and a program that is not in the image."""
    ports = (ContainerPort(container_port=80, host_port=18_099),)
    spec = given.spec("c0", image="demo/busybox:1", command=("sleep", "600"), ports=ports)
    first, taken, absent = a_pod("first"), a_pod("taken"), a_pod("absent")
    first, taken = (
        replace(p, spec=replace(p.spec, containers=(spec,), termination_grace_period_seconds=1))
        for p in (first, taken)
    )
    wrong = given.spec("c0", image="demo/busybox:1", command=("no-such-program",))
    absent = replace(absent, spec=replace(absent.spec, containers=(wrong,)))
    async with a_node() as node:
        await node.assign(first)
        await node.running("first")
        await node.assign(first, taken, absent, a_pod("fine"))
        await node.running("fine")

        def is_told(name: str, reason: str, text: str) -> bool:
            found = (e for e in node.events if (e.pod, e.reason) == (name, reason))
            return any(text in event.message for event in found)

        await node.until(
            lambda _: is_told("taken", "FailedCreatePodSandBox", "port is already allocated")
        )
        await node.until(lambda _: is_told("absent", "Failed", "no-such-program"))
        await node.assign(taken)  # the port is given back
        await node.running("taken", within_s=60)
