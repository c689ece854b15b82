"""What every engine does: one suite for the one in memory and for Docker."""

import asyncio
import os
import random
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from node_agent.core import naming
from node_agent.core.actions import ContainerConfig, SandboxConfig
from node_agent.core.confinement import Confinement
from node_agent.core.naming import PodKey
from node_agent.core.observed import Container, Sandbox, State
from node_agent.core.volume_actions import Mount, NamedVolume, TmpfsConfig
from node_agent.engine import (
    AttachOptions,
    Console,
    Engine,
    EngineVolume,
    ExecOptions,
    Image,
    LogOptions,
)
from node_agent.engine.docker import Docker
from node_agent.engine.fake import FakeEngine
from proto.errors import AlreadyExists, BadRequest, NotFound, Rejected, Retryable
from proto.kinds.container import Container as ContainerSpec
from tests.images import busybox_image, import_image

SOCKET = "unix:///var/run/docker.sock"
PATIENCE_S = 20.0
IMAGE = "demo/busybox:1"
SLEEP = ("sh", "-c", "trap 'exit 143' TERM; sleep 1000 & wait")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture(params=["fake", pytest.param("docker", marks=pytest.mark.docker)])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    """An engine with the BusyBox image, for a node of its own; emptied afterwards."""
    node = f"contract-{uuid.uuid4().hex[:8]}"
    found: Engine
    if request.param == "fake":
        found = FakeEngine(node, now_ms, random.Random(1), images=[IMAGE], delays={})
    else:
        await busybox_image()
        found = Docker(SOCKET, node)
    found.test_node = node
    yield found
    for item in await found.list():
        await found.remove(item.id)
    for volume in await found.volumes():
        await found.remove_volume(volume.name)
    await found.close()


def key() -> PodKey:
    return PodKey("default", "web", uuid.uuid4().hex)


def sandbox_config(engine: Engine, pod: PodKey | None = None) -> SandboxConfig:
    node = engine.test_node
    name = naming.sandbox_name(pod) if pod else naming.pool_name(node, "0")
    return SandboxConfig(name=name, labels=naming.sandbox_labels(node))


def container_config(
    engine: Engine, pod: PodKey, sandbox: str, *, command: tuple[str, ...] = SLEEP, **fields: object
) -> ContainerConfig:
    spec = ContainerSpec(name="c", image=IMAGE)
    given = {"image": IMAGE, **fields}
    return ContainerConfig(
        name=naming.container_name(pod, "c", 0),
        labels=naming.container_labels(
            engine.test_node, pod, spec, attempt=0, backoff=2, grace_s=7
        ),
        sandbox_id=sandbox,
        entrypoint=command,
        **given,
    )


@asynccontextmanager
async def running(engine: Engine, **fields: object) -> AsyncIterator[str]:
    """A container that runs, by its id."""
    pod = key()
    sandbox = await engine.create_sandbox(sandbox_config(engine, pod))
    await engine.start(sandbox)
    id = await engine.create_container(container_config(engine, pod, sandbox, **fields))
    await engine.start(id)
    yield id


async def container(engine: Engine, id: str, state: State) -> Container:
    """The container once it is in that state."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = await engine.inspect(id)
            assert isinstance(found, Container)
            if found.state is state:
                return found
            await asyncio.sleep(0.02)


async def test_a_sandbox_runs_with_an_address_and_belongs_to_the_pod_in_its_name(engine: Engine):
    pod = key()
    id = await engine.create_sandbox(sandbox_config(engine, pod))
    made = await engine.inspect(id)
    assert isinstance(made, Sandbox)
    assert (made.state, made.pod, made.ip) == (State.CREATED, pod, "")
    await engine.start(id)
    found = await engine.inspect(id)
    assert isinstance(found, Sandbox)
    assert (found.state, found.ip.count(".")) == (State.RUNNING, 3)
    assert abs(found.started_at_ms - now_ms()) < 10_000


async def test_a_sandbox_of_the_pool_becomes_a_pods_by_its_new_name(engine: Engine):
    id = await engine.create_sandbox(sandbox_config(engine))
    found = await engine.inspect(id)
    assert isinstance(found, Sandbox)
    assert found.pod is None
    pod = key()
    await engine.rename(id, naming.sandbox_name(pod))
    found = await engine.inspect(id)
    assert isinstance(found, Sandbox)
    assert found.pod == pod


async def test_a_container_remembers_what_it_was_made_with(engine: Engine):
    async with running(engine) as id:
        found = await container(engine, id, State.RUNNING)
        assert (found.container, found.attempt, found.backoff, found.grace_s) == ("c", 0, 2, 7)
        assert found.spec_hash == naming.spec_hash(ContainerSpec(name="c", image=IMAGE))
        assert found.image == IMAGE
        assert found.image_id.startswith("sha256:")
        sandbox = await engine.inspect(found.sandbox_id)
        assert isinstance(sandbox, Sandbox)
        assert sandbox.pod == found.pod


async def test_a_volume_is_known_by_its_pod_and_stays_while_anything_has_it(engine: Engine):
    pod = key()
    name = naming.volume_name(pod.uid, "cache")
    labels = naming.volume_labels(engine.test_node, pod, "cache")
    config = TmpfsConfig("cache", name, labels, 1 << 20)
    await engine.create_volume(config)
    await engine.create_volume(config)
    assert await engine.volumes() == [EngineVolume(name, pod, "cache")]
    box = await engine.create_sandbox(replace(sandbox_config(engine, pod), tmpfs=(name,)))
    await engine.start(box)
    mount = Mount(name="cache", target="/cache", tmpfs=name)
    id = await engine.create_container(container_config(engine, pod, box, mounts=(mount,)))
    await engine.start(id)
    await container(engine, id, State.RUNNING)
    for item in (box, id):
        with pytest.raises(AlreadyExists):
            await engine.remove_volume(name)
        await engine.remove(item)
    await engine.remove_volume(name)
    await engine.remove_volume(name)
    assert await engine.volumes() == []


async def test_a_volume_that_outlives_pods_is_made_with_the_container_that_mounts_it(
    engine: Engine,
):
    pod = key()
    name = f"pvc-{pod.uid}"
    made = NamedVolume("local", {}, naming.stored_labels(engine.test_node, name))
    mount = Mount(name="data", target="/data", tmpfs=name, named=made)
    box = await engine.create_sandbox(sandbox_config(engine, pod))
    await engine.start(box)
    id = await engine.create_container(container_config(engine, pod, box, mounts=(mount,)))
    assert await engine.volumes() == [EngineVolume(name, None, name)]
    with pytest.raises(AlreadyExists):
        await engine.remove_volume(name)
    await engine.remove(id)
    await engine.remove(box)
    assert await engine.volumes() == [EngineVolume(name, None, name)]
    await engine.remove_volume(name)
    assert await engine.volumes() == []


async def test_starting_what_runs_changes_nothing(engine: Engine):
    async with running(engine) as id:
        before = await engine.inspect(id)
        await engine.start(id)
        assert await engine.inspect(id) == before


async def test_a_signal_ends_a_container_and_its_exit_code_is_kept(engine: Engine):
    async with running(engine) as id:
        await engine.signal(id, "SIGTERM")
        found = await container(engine, id, State.EXITED)
        assert found.exit_code == 143
        assert abs(found.finished_at_ms - now_ms()) < 10_000
        await engine.signal(id, "SIGTERM")  # nothing: it does not run


async def test_a_killed_container_reports_137(engine: Engine):
    async with running(engine) as id:
        await engine.signal(id, "SIGKILL")
        assert (await container(engine, id, State.EXITED)).exit_code == 137


async def test_a_name_is_taken_once(engine: Engine):
    config = sandbox_config(engine, key())
    await engine.create_sandbox(config)
    with pytest.raises(AlreadyExists):
        await engine.create_sandbox(config)
    other = await engine.create_sandbox(sandbox_config(engine, key()))
    with pytest.raises(AlreadyExists):
        await engine.rename(other, config.name)


async def test_a_container_needs_its_image_and_its_sandbox(engine: Engine):
    pod = key()
    sandbox = await engine.create_sandbox(sandbox_config(engine, pod))
    with pytest.raises(NotFound):
        await engine.create_container(
            container_config(engine, pod, sandbox, image="demo/nothing:1")
        )
    with pytest.raises((NotFound, BadRequest)):
        id = await engine.create_container(container_config(engine, pod, "0" * 64))
        await engine.start(id)


async def test_a_container_cannot_start_in_a_sandbox_that_does_not_run(engine: Engine):
    pod = key()
    sandbox = await engine.create_sandbox(sandbox_config(engine, pod))
    id = await engine.create_container(container_config(engine, pod, sandbox))
    with pytest.raises((Rejected, Retryable)):
        await engine.start(id)
    found = await engine.inspect(id)
    assert isinstance(found, Container)
    assert found.has_failed_to_start
    assert found.error


async def test_what_is_not_there_is_not_found(engine: Engine):
    assert await engine.inspect("0" * 64) is None
    with pytest.raises(NotFound):
        await engine.start("0" * 64)
    with pytest.raises(NotFound):
        await engine.signal("0" * 64, "SIGTERM")
    with pytest.raises(NotFound):
        await engine.rename("0" * 64, "longshore_pool_nobody_1")
    await engine.remove("0" * 64)


async def test_the_list_shows_what_is_there_and_in_which_state(engine: Engine):
    pod = key()
    id = await engine.create_sandbox(sandbox_config(engine, pod))
    (listed,) = await engine.list()
    assert (listed.id, listed.name, listed.state) == (id, naming.sandbox_name(pod), State.CREATED)
    await engine.start(id)
    assert [item.state for item in await engine.list()] == [State.RUNNING]
    await engine.remove(id)
    assert await engine.list() == []


async def test_events_tell_of_starts_deaths_and_removals(engine: Engine):
    events = await engine.events()
    try:
        async with running(engine) as id:
            await engine.signal(id, "SIGKILL")
            await container(engine, id, State.EXITED)
            await engine.remove(id)
        seen: list[str] = []
        async with asyncio.timeout(PATIENCE_S):
            while "destroy" not in seen:
                event = await events.get()
                if event.id == id:
                    seen.append(event.action)
        assert seen == ["start", "die", "destroy"]
    finally:
        await events.close()


async def test_images_are_known_by_name(engine: Engine):
    assert IMAGE in {name for image in await engine.images() for name in image.names}


async def test_an_image_is_removed_under_all_of_its_names_unless_a_container_has_it(engine: Engine):
    used = next(image for image in await engine.images() if IMAGE in image.names)
    async with running(engine):
        assert used.id in await engine.images_in_use()
        with pytest.raises(AlreadyExists):
            await engine.remove_image(used)
        assert used in await engine.images()
    name = f"longshore-contract-{uuid.uuid4().hex[:6]}"
    own = await another_image(engine, f"{name}:1", f"{name}:2")
    assert own.id not in await engine.images_in_use()
    await engine.remove_image(own)
    assert own.id not in {image.id for image in await engine.images()}
    await engine.remove_image(own)


async def another_image(engine: Engine, *names: str) -> Image:
    """An image of its own, that no container has."""
    if isinstance(engine, FakeEngine):
        engine._add_image(names[0])
    else:
        await import_image(os.urandom(8).hex(), *names)
    return next(image for image in await engine.images() if names[0] in image.names)


async def test_an_unknown_image_cannot_be_pulled(engine: Engine):
    with pytest.raises((Rejected, Retryable)):
        await engine.pull("127.0.0.1:1/nobody/nothing:1")


async def test_what_a_container_has_used_only_grows(engine: Engine):
    async with running(engine) as id, asyncio.timeout(PATIENCE_S):
        before = await engine.usage(id)
        assert before.memory_bytes > 0
        assert abs(before.at_ns // 1_000_000 - now_ms()) < 10_000
        after = before
        while after.at_ns == before.at_ns:
            await asyncio.sleep(0.01)
            after = await engine.usage(id)
        assert after.at_ns > before.at_ns
        assert after.cpu_ns >= before.cpu_ns


async def test_only_what_runs_uses_anything(engine: Engine):
    with pytest.raises(NotFound):
        await engine.usage("0" * 64)
    async with running(engine) as id:
        await engine.signal(id, "SIGKILL")
        await container(engine, id, State.EXITED)
        with pytest.raises(BadRequest):
            await engine.usage(id)


@pytest.mark.docker
async def test_docker_tells_the_same_as_the_kernels_files(tmp_path: Path):
    """An agent in a container has no such files."""
    await busybox_image()
    node = f"contract-{uuid.uuid4().hex[:8]}"
    seeing, asking = Docker(SOCKET, node), Docker(SOCKET, node, cgroup_root=tmp_path)
    seeing.test_node = node
    try:
        async with running(seeing, command=("sh", "-c", "while :; do :; done")) as id:
            seen, told = await seeing.usage(id), await asking.usage(id)
            assert 0 < told.at_ns - seen.at_ns < PATIENCE_S * 1e9
            assert 0 <= told.cpu_ns - seen.cpu_ns <= told.at_ns - seen.at_ns
            assert abs(told.memory_bytes - seen.memory_bytes) < 1 << 20
            await seeing.signal(id, "SIGKILL")
            await container(seeing, id, State.EXITED)
            with pytest.raises(BadRequest):
                await asking.usage(id)
    finally:
        for item in await seeing.list():
            await seeing.remove(item.id)
        await seeing.close()
        await asking.close()


async def test_a_log_of_nothing_is_not_found(engine: Engine):
    with pytest.raises(NotFound):
        await engine.logs("0" * 64, LogOptions())


async def said(console: Console) -> tuple[bytes, int | None]:
    """Everything a program writes, and its exit code."""
    found = b""
    while (output := await console.read()) is not None:
        assert 0 < len(output.data) <= 65_536
        found += output.data
    return found, await console.exit_code()


async def test_an_executed_program_reads_its_input_to_the_end(engine: Engine):
    async with running(engine) as id, asyncio.timeout(PATIENCE_S):
        console = await engine.execute(id, ExecOptions(command=("cat",), has_stdin=True))
        try:
            await console.write(b"hello ")
            await console.write(b"world")
            await console.end_input()
            assert await said(console) == (b"hello world", 0)
        finally:
            await console.close()


@pytest.mark.parametrize(
    ("command", "output", "exit_code"),
    [(("echo", "a", "b"), b"a b\n", 0), (("false",), b"", 1), (("cat",), b"", 0)],
)
async def test_an_executed_programs_exit_code_is_told(
    engine: Engine, command: tuple[str, ...], output: bytes, exit_code: int
):
    async with running(engine) as id, asyncio.timeout(PATIENCE_S):
        console = await engine.execute(id, ExecOptions(command=command))
        try:
            assert await said(console) == (output, exit_code)
        finally:
            await console.close()


async def test_a_program_that_is_not_there_ends_with_an_exit_code(engine: Engine):
    async with running(engine) as id, asyncio.timeout(PATIENCE_S):
        console = await engine.execute(id, ExecOptions(command=("nothing-by-that-name",)))
        try:
            _, exit_code = await said(console)
            assert exit_code in (126, 127)
        finally:
            await console.close()


async def test_who_attaches_sees_what_the_container_writes_from_then_on(engine: Engine):
    async with (
        running(engine, command=("cat",), is_stdin_open=True) as id,
        asyncio.timeout(PATIENCE_S),
    ):
        console = await engine.attach(id, AttachOptions(has_stdin=True))
        try:
            await console.write(b"hello\n")
            output = await console.read()
            assert output is not None
            assert (output.data, output.is_error) == (b"hello\n", False)
        finally:
            await console.close()
        await container(engine, id, State.RUNNING)


async def test_only_what_runs_can_be_entered(engine: Engine):
    with pytest.raises(NotFound):
        await engine.execute("0" * 64, ExecOptions(command=("true",)))
    with pytest.raises(NotFound):
        await engine.attach("0" * 64, AttachOptions())
    async with running(engine) as id:
        await engine.signal(id, "SIGKILL")
        await container(engine, id, State.EXITED)
        with pytest.raises(BadRequest):
            await engine.execute(id, ExecOptions(command=("true",)))
        with pytest.raises(BadRequest):
            await engine.attach(id, AttachOptions())


async def test_the_engine_describes_its_host(engine: Engine):
    info = await engine.info()
    assert info.cpus > 0
    assert info.memory_bytes > 0
    assert info.version


async def test_the_engine_says_that_it_is_there(engine: Engine):
    await engine.ping()


async def test_an_image_tells_as_whom_it_runs(engine: Engine):
    assert await engine.image_user(IMAGE) == ""
    with pytest.raises(NotFound):
        await engine.image_user("nothing.invalid/nothing:1")


async def test_a_volume_tells_where_it_is_on_its_host(engine: Engine):
    pod = key()
    labels = naming.volume_labels(engine.test_node, pod, "cache")
    name = naming.volume_name(pod.uid, "cache")
    await engine.create_volume(TmpfsConfig("cache", name, labels, 0))
    assert (await engine.volume_path(name)).startswith("/")
    with pytest.raises(NotFound):
        await engine.volume_path(f"{name}-other")


async def test_what_an_engine_can_do_about_memory_is_found_out_once_and_leaves_nothing(
    engine: Engine,
):
    lowest = await engine.lowest_oom_score()
    assert lowest in (-1000, 0)
    assert await engine.lowest_oom_score() == lowest
    assert await engine.list() == []
    async with running(engine, confinement=Confinement(oom_score=max(lowest, -997))) as id:
        await container(engine, id, State.RUNNING)
