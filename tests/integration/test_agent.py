"""The agent on the machine's own Docker."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from node_agent.core.observed import Container, State
from node_agent.engine.docker import Docker
from node_agent.engine.inspection import LOG_LIMITS, LogLimits
from proto import codec, subjects
from proto.bus.nats import NatsBus
from proto.kinds.container import ContainerPort, EnvVar, ResourceRequirements
from proto.kinds.ephemeral import EphemeralContainer
from proto.messages import AssignedPod, Assignment, LogRequest, NodeReport, StreamFailed
from tests import servers
from tests.images import busybox_image
from tests.unit.node_agent import given
from tests.unit.node_agent.node import Node, is_running, pod, state_reason

pytestmark = pytest.mark.docker

SLEEP = ("sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def a_pod(name: str, *scripts: str, **fields: object) -> AssignedPod:
    """A pod with a container c0, c1… for each shell script; one that sleeps when there is none."""
    commands = [("sh", "-c", script) for script in scripts] or [SLEEP]
    containers = [
        given.spec(f"c{n}", image="demo/busybox:1", command=command)
        for n, command in enumerate(commands)
    ]
    found = given.pod(name, *containers, **fields)
    return replace(found, uid=uuid.uuid4().hex)


async def empty(engine: Docker) -> None:
    """Remove everything; Docker may still be making what a cancelled agent had asked for."""
    looks_in_a_row = 0
    while looks_in_a_row < 3:
        found = await engine.list()
        for item in found:
            await engine.remove(item.id)
        looks_in_a_row = 0 if found else looks_in_a_row + 1
        await asyncio.sleep(0.1)


@asynccontextmanager
async def a_node(*, logs: LogLimits = LOG_LIMITS, **settings: object) -> AsyncIterator[Node]:
    """A running agent on a node of its own; nothing of it is left afterwards."""
    await busybox_image()
    name = f"test-{uuid.uuid4().hex[:8]}"
    engine = Docker("unix:///var/run/docker.sock", name, logs=logs)
    try:
        async with asyncio.TaskGroup() as tasks:
            node = Node(engine, now_ms, tasks, name=name, **{"sandbox_pool": 0, **settings})
            await node.listen()
            await node.start()
            try:
                yield node
            finally:
                await node.stop()
    finally:
        await empty(engine)
        await engine.close()


async def test_assigned_pods_run_with_an_address_each():
    async with a_node(sandbox_pool=1) as node:
        await node.assign(a_pod("a"), a_pod("b"))
        a, b = await node.running("a", "b")
        assert a.status.phase == b.status.phase == "Running"
        assert a.status.pod_ip.count(".") == b.status.pod_ip.count(".") == 3
        assert a.status.pod_ip != b.status.pod_ip
        assert [c.status for c in a.status.conditions] == ["True"] * 5
        assert {"Pulled", "Created", "Started"} <= set(node.reasons())
        (report,) = node.reports[-1:]
        assert report.facts.capacity["pods"] == "110"
        assert report.facts.labels["kubernetes.io/arch"] in ("amd64", "arm64")


async def test_a_killed_container_is_started_again_within_half_a_second():
    async with a_node() as node:
        await node.assign(a_pod("web"))
        await node.running("web")
        (victim,), _ = await node.existing()
        await node.engine.signal(victim.id, "SIGKILL")
        await node.until(
            lambda r: (
                is_running(w := pod(r, "web")) and w.status.container_statuses[0].restart_count
            )
        )
        containers, _ = await node.existing()
        dead, new = sorted(containers, key=lambda c: c.attempt)
        assert dead.id == victim.id
        assert new.created_at_ms - dead.finished_at_ms < 500
        status = pod(node.reports[-1], "web").status.container_statuses[0]
        assert status.last_state.terminated.exit_code == 137


async def test_init_containers_run_first_and_a_sidecar_beside():
    first = [
        given.spec(
            name, image="demo/busybox:1", command=("sh", "-c", script), restart_policy=policy
        )
        for name, script, policy in (
            ("logger", "trap 'exit 0' TERM; sleep 1000 & wait", "Always"),
            ("setup", "echo ready to go", ""),
        )
    ]
    found = a_pod("job", "sleep 0.2; echo done", policy="Never")
    found = replace(found, spec=replace(found.spec, init_containers=tuple(first)))
    async with a_node() as node:
        await node.assign(found)
        report = await node.until(
            lambda r: (job := pod(r, "job")) and job.status.phase == "Succeeded"
        )
        said = await node.logs(LogRequest(pod_uid=found.uid, container="setup"))
        assert said == b"ready to go\n"
        logger, setup = pod(report, "job").status.init_container_statuses
        (own,) = pod(report, "job").status.container_statuses
        assert setup.state.terminated.finished_at <= own.state.terminated.started_at
        await node.until(lambda r: pod(r, "job").status.init_container_statuses[0].state.terminated)
        assert logger.restart_count == 0
        assert any(event.field_path == "spec.initContainers{setup}" for event in node.events)


async def test_a_pod_starts_afresh_when_its_sandbox_is_killed():
    async with a_node(sandbox_pool=1) as node:
        await node.assign(a_pod("web"))
        await node.running("web")
        (old,), (sandbox,) = await node.existing()
        await node.engine.signal(sandbox.id, "SIGKILL")
        await node.until(
            lambda r: (
                is_running(w := pod(r, "web")) and w.status.container_statuses[0].restart_count
            )
        )
        containers, (renewed,) = await node.existing()
        assert renewed.id != sandbox.id
        (new,) = [c for c in containers if c.state is State.RUNNING]
        assert (new.id != old.id, new.sandbox_id) == (True, renewed.id)


async def test_a_new_agent_adopts_what_runs_and_restarts_nothing():
    async with a_node(sandbox_pool=1) as node:
        await node.assign(a_pod("a"), a_pod("b", hostname="b"))
        before = await node.running("a", "b")
        existing = await node.existing()
        await node.kill()
        node.reports.clear()
        await node.start()  # no control plane tells it anything
        after = await node.running("a", "b")
        assert [p.status for p in after] == [p.status for p in before]
        assert sorted(c.id for c in (await node.existing())[0]) == sorted(c.id for c in existing[0])


async def test_a_deleted_pod_is_gone_with_everything_it_had():
    async with a_node() as node:
        web = a_pod("web")
        await node.assign(web)
        await node.running("web")
        began = time.monotonic()
        await node.assign(replace(web, delete_grace_s=20))
        await node.until(lambda r: pod(r, "web").is_gone)
        assert time.monotonic() - began < 10  # its shell ends when asked
        assert await node.existing() == ([], [])
        assert "Killing" in node.reasons()


async def test_a_program_that_will_not_end_is_killed_after_its_grace():
    async with a_node() as node:
        deaf = a_pod("deaf", "trap '' TERM; while true; do sleep 1; done")
        await node.assign(deaf)
        await node.running("deaf")
        await node.assign(replace(deaf, delete_grace_s=1))
        await node.until(lambda r: pod(r, "deaf").is_gone)
        assert await node.existing() == ([], [])


async def test_containers_of_a_pod_reach_each_other_on_loopback():
    async with a_node() as node:
        server = "mkdir -p /w && echo it works > /w/index.html && httpd -f -p 8080 -h /w"
        client = (
            "until wget -q -O - http://127.0.0.1:8080/ 2>/dev/null; do sleep 0.1; done; sleep 1000"
        )
        web = a_pod("web", server, client)
        await node.assign(web)
        await node.running("web")
        assert await eventual_log(node, web, "c1", until=b"works") == b"it works\n"


async def test_a_pod_from_the_pool_bears_its_own_name():
    async with a_node(sandbox_pool=1) as node:
        await node.until(lambda r: r.facts.capacity)
        async with asyncio.timeout(20):
            while not [s for s in await node.engine.list() if s.state is State.RUNNING]:
                await asyncio.sleep(0.05)
        web = a_pod(
            "web-7d4b9",
            "while [ $(hostname) != web-7d4b9 ]; do sleep 0.05; done; echo $HOSTNAME $(hostname); sleep 1000",
        )
        await node.assign(web)
        await node.running("web-7d4b9")
        assert await eventual_log(node, web, "c0", until=b"\n") == b"web-7d4b9 web-7d4b9\n"


async def test_a_published_port_answers_on_the_node():
    async with a_node() as node:
        server = given.spec(
            image="demo/busybox:1",
            command=("sh", "-c", "mkdir /w; echo hello > /w/index.html; exec httpd -f -p 80 -h /w"),
            ports=(ContainerPort(container_port=80, host_port=18765, protocol="TCP"),),
        )
        await node.assign(replace(given.pod("web", server), uid=uuid.uuid4().hex))
        await node.running("web")
        answer = b""
        async with asyncio.timeout(20):
            while b"hello" not in answer:
                await asyncio.sleep(0.05)
                reader, writer = await asyncio.open_connection("127.0.0.1", 18765)
                try:
                    writer.write(b"GET / HTTP/1.0\r\n\r\n")
                    answer = await reader.read()
                except ConnectionError:
                    continue
                finally:
                    writer.close()


async def test_a_pod_that_never_restarts_succeeds_or_fails():
    async with a_node() as node:
        good, bad = a_pod("good", "exit 0", policy="Never"), a_pod("bad", "exit 3", policy="Never")
        await node.assign(good, bad)
        report = await node.until(
            lambda r: {p.status.phase for p in r.pods} == {"Succeeded", "Failed"}
        )
        assert state_reason(pod(report, "good")) == "Completed"
        failed = pod(report, "bad").status.container_statuses[0].state.terminated
        assert (failed.exit_code, failed.reason) == (3, "Error")


async def test_a_program_that_does_not_exist_is_reported_and_tried_again_later():
    async with a_node() as node:
        broken = given.spec(image="demo/busybox:1", command=("/no/such/program",))
        await node.assign(replace(given.pod("web", broken), uid=uuid.uuid4().hex))
        report = await node.until(lambda r: state_reason(pod(r, "web")) == "CrashLoopBackOff")
        ended = pod(report, "web").status.container_statuses[0].last_state.terminated
        assert (ended.exit_code, ended.reason) == (128, "StartError")
        assert "/no/such/program" in ended.message


async def test_a_container_over_its_memory_limit_is_reported_as_killed_for_it():
    async with a_node() as node:
        greedy = given.spec(
            image="demo/busybox:1",
            command=("tail", "/dev/zero"),
            resources=ResourceRequirements(limits={"memory": "16Mi"}),
        )
        await node.assign(replace(given.pod("web", greedy, policy="Never"), uid=uuid.uuid4().hex))
        report = await node.until(lambda r: r.pods and r.pods[0].status.phase == "Failed")
        ended = pod(report, "web").status.container_statuses[0].state.terminated
        assert (ended.exit_code, ended.reason) == (137, "OOMKilled")


async def test_a_container_is_added_to_a_pod_that_runs_and_sees_the_others_processes():
    async with a_node() as node:
        web = a_pod("web", "sleep 4321 & wait")
        await node.assign(web)
        await node.running("web")
        (before,), _ = await node.existing()
        script = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; done; hostname"
        debugger = EphemeralContainer(
            name="debugger",
            image="demo/busybox:1",
            image_pull_policy="IfNotPresent",
            command=("sh", "-c", script),
            target_container_name="c0",
        )
        debugged = replace(web, spec=replace(web.spec, ephemeral_containers=(debugger,)))
        await node.assign(debugged)
        report = await node.until(
            lambda r: any(
                s.state.terminated for s in pod(r, "web").status.ephemeral_container_statuses
            )
        )
        (status,) = pod(report, "web").status.ephemeral_container_statuses
        assert status.state.terminated.exit_code == 0
        assert b"sleep 4321" in await eventual_log(node, debugged, "debugger", until=b"web")
        containers, _ = await node.existing()
        assert {c.id for c in containers if c.container == "c0"} == {before.id}
        await node.kill()
        node.reports.clear()
        await node.start()
        await node.until(lambda r: pod(r, "web").status.ephemeral_container_statuses == (status,))
        assert len((await node.existing())[0]) == 2


async def test_containers_of_a_pod_may_share_their_processes():
    async with a_node() as node:
        looks = "until grep -qa 'sleep.4321' /proc/[0-9]*/cmdline; do sleep 0.1; done; echo seen; sleep 1000"
        web = a_pod("web", "sleep 4321 & wait", looks, share_process_namespace=True)
        await node.assign(web)
        await node.running("web")
        assert await eventual_log(node, web, "c1", until=b"\n") == b"seen\n"


async def test_an_image_that_cannot_be_had_keeps_nobody_else_waiting():
    async with a_node() as node:
        missing = given.spec(image="127.0.0.1:1/no/such:1")
        await node.assign(replace(given.pod("stuck", missing), uid=uuid.uuid4().hex), a_pod("web"))
        await node.running("web")
        report = await node.until(lambda r: state_reason(pod(r, "stuck")) == "ImagePullBackOff")
        assert pod(report, "stuck").status.phase == "Pending"
        assert {"Pulling", "Failed", "BackOff"} <= set(node.reasons())


async def test_what_no_assignment_knows_is_removed_and_what_is_foreign_is_not():
    async with a_node() as node, a_node() as neighbour:
        await neighbour.assign(a_pod("theirs"))
        await neighbour.running("theirs")
        await node.assign(a_pod("ours"))
        await node.running("ours")
        await node.assign()
        async with asyncio.timeout(20):
            while await node.existing() != ([], []):
                await asyncio.sleep(0.05)
        (theirs,), _ = await neighbour.existing()
        assert theirs.state is State.RUNNING


async def test_the_environment_of_a_container_is_filled_in():
    async with a_node() as node:
        spec = given.spec(
            "c0",
            image="demo/busybox:1",
            command=("sh", "-c"),
            args=("echo $(GREETING); sleep 1000",),
            env=(EnvVar(name="WHO", value="world"), EnvVar(name="GREETING", value="hello $(WHO)")),
        )
        web = replace(given.pod("web", spec), uid=uuid.uuid4().hex)
        await node.assign(web)
        await node.running("web")
        assert await eventual_log(node, web, "c0", until=b"\n") == b"hello world\n"


# ------------------------------------------------------------------------ logs


async def eventual_log(node: Node, pod: AssignedPod, container: str, *, until: bytes) -> bytes:
    """What a container wrote, once that is part of it."""
    async with asyncio.timeout(20):
        while True:
            found = await log(node, pod, container)
            if isinstance(found, bytes) and until in found:
                return found
            await asyncio.sleep(0.05)


async def log(
    node: Node, pod: AssignedPod, container: str = "c0", *, pause_s: float = 0, **options: object
) -> bytes | StreamFailed:
    request = LogRequest(pod_uid=pod.uid, container=container, **options)
    return await node.logs(request, pause_s=pause_s)


async def test_a_log_is_followed_to_its_end_in_both_outputs():
    async with a_node() as node:
        web = a_pod(
            "web",
            "for i in 1 2 3; do echo out $i; echo err $i >&2; sleep 0.1; done",
            policy="Never",
        )
        await node.assign(web)
        await node.until(
            lambda r: pod(r, "web").status.phase == "Succeeded" or is_running(pod(r, "web"))
        )
        found = await log(node, web, follow=True)
        assert sorted(found.splitlines()) == sorted(
            line for i in (b"1", b"2", b"3") for line in (b"out " + i, b"err " + i)
        )
        assert await log(node, web, tail_lines=2) in (b"out 3\nerr 3\n", b"err 3\nout 3\n")
        assert await log(node, web, limit_bytes=5) == found[:5]
        stamped = await log(node, web, timestamps=True, tail_lines=1)
        assert stamped[:2] == b"20"
        assert b"Z " in stamped


async def test_a_slow_reader_loses_nothing_of_a_large_log():
    async with a_node() as node:
        web = a_pod("web", "seq 1 60000", policy="Never")
        await node.assign(web)
        await node.until(lambda r: pod(r, "web").status.phase == "Succeeded")
        found = await log(node, web, pause_s=0.02)
        assert found.split() == [str(n).encode() for n in range(1, 60_001)]


async def test_a_terminals_log_is_as_it_was_written():
    async with a_node() as node:
        spec = given.spec("c0", image="demo/busybox:1", command=("echo", "hello"), tty=True)
        web = replace(given.pod("web", spec, policy="Never"), uid=uuid.uuid4().hex)
        await node.assign(web)
        await node.until(lambda r: pod(r, "web").status.phase == "Succeeded")
        assert await log(node, web) == b"hello\r\n"


async def test_the_log_of_the_last_attempt_is_kept():
    async with a_node() as node:
        web = a_pod("web", "echo one of many; sleep 0.2; exit 1")
        await node.assign(web)
        await node.until(lambda r: state_reason(pod(r, "web")) == "CrashLoopBackOff")
        assert await log(node, web, previous=True) == b"one of many\n"
        assert await log(node, web) == b"one of many\n"


async def test_a_log_that_cannot_be_read_says_why():
    async with a_node() as node:
        web = a_pod("web")
        stuck = replace(
            given.pod("stuck", given.spec("c0", image="127.0.0.1:1/no:1")), uid="u-stuck"
        )
        await node.assign(web, stuck)
        await node.running("web")
        assert (await log(node, a_pod("elsewhere"))).code == 404
        found = await log(node, web, "nobody")
        why = "container nobody is not valid for pod web: valid containers are: c0"
        assert found == StreamFailed(code=400, reason=why)
        found = await log(node, web, previous=True)
        assert found == StreamFailed(
            code=400, reason='previous terminated container "c0" in pod "web" not found'
        )
        found = await log(node, stuck)
        assert found.code == 400
        assert found.reason.startswith('container "c0" in pod "stuck" is waiting to start: ')


# --------------------------------------------------------------------- process


@asynccontextmanager
async def a_process(
    name: str, nats_url: str, state_dir: Path, *more: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The daemon itself; killed when the test has not ended it."""
    with (state_dir / "log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            servers.binary("node-agent"),
            f"--node-name={name}",
            f"--nats={nats_url}",
            f"--state-dir={state_dir}",
            "--sandbox-pool=0",
            "--internal-ip=10.0.0.1",
            "--label=disk=fast",
            *more,
            stderr=log,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.integration
async def test_the_daemon_stops_cleanly_and_its_successor_adopts_its_containers(tmp_path: Path):
    await busybox_image()
    name = f"test-{uuid.uuid4().hex[:8]}"
    engine = Docker("unix:///var/run/docker.sock", name)
    try:
        async with servers.nats() as server:
            control = await NatsBus.connect(server.url, name="control", timeout_s=20)
            reports = await control.subscribe(subjects.report(name))

            async def until(holds: Callable[[NodeReport], object]) -> NodeReport:
                async with asyncio.timeout(30):
                    while True:
                        payload = (await reports.get()).payload
                        if holds(report := codec.decode(payload, NodeReport)):
                            return report

            async with a_process(name, server.url, tmp_path) as process:
                first = await until(lambda report: report.facts.capacity)
                assert first.facts.labels["disk"] == "fast"
                assignment = Assignment(node=name, epoch=1, generation=1, pods=(a_pod("web"),))
                await control.publish(subjects.assignment(name), codec.encode(assignment))
                await until(lambda report: is_running(pod(report, "web")))
                before = await engine.list()
                process.terminate()
                await until(lambda report: report.is_leaving)
                assert await process.wait() == 0
            assert await engine.list() == before
            going_off = "--shutdown-grace-period-s=20"
            async with a_process(name, server.url, tmp_path, going_off) as process:
                report = await until(lambda r: r.incarnation > first.incarnation and r.pods)
                assert is_running(pod(report, "web"))
                assert await engine.list() == before
                process.terminate()
                report = await until(lambda r: r.is_leaving)
                assert report.facts.is_shutting_down
                status = pod(report, "web").status
                assert (status.phase, status.reason) == ("Failed", "Terminated")
                assert await process.wait() == 0
            left = [await engine.inspect(item.id) for item in await engine.list()]
            assert not any(isinstance(f, Container) and f.state is State.RUNNING for f in left)
            await control.close()
    finally:
        await empty(engine)
        await engine.close()


async def test_the_daemon_says_which_setting_is_wrong(tmp_path: Path):
    process = await asyncio.create_subprocess_exec(
        servers.binary("node-agent"),
        "--heartbeat-ms=1",
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert b"heartbeat_ms" in said
