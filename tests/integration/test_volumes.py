"""Volumes on the machine's own Docker, disk and tmpfs; agents that are killed leave nothing."""

import asyncio
import contextlib
import shutil
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from node_agent.core.contents import SourceKey
from node_agent.core.observed import State
from node_agent.engine import ExecOptions, LogOptions
from node_agent.engine.docker import Docker
from node_agent.storage.files import FileStorage
from proto import codec, subjects
from proto.bus.nats import NatsBus
from proto.kinds.volume import HostPathVolumeSource, Volume, VolumeMount
from proto.messages import (
    AssignedPod,
    AssignedSource,
    Assignment,
    ContentPiece,
    ContentRequest,
    NodeReport,
)
from tests import servers
from tests.images import busybox_image
from tests.integration.test_agent import SLEEP, empty, now_ms
from tests.unit.node_agent import given
from tests.unit.node_agent.node import Node, is_running, pod as reported
from tests.unit.node_agent.test_contents import answering
from tests.unit.node_agent.test_volumes import CACHE, FILES, HIDDEN, KEYS, ROOM, held, secret

SETTINGS = SourceKey("ConfigMap", "default", "settings")
IMAGE = "demo/busybox:1"

pytestmark = pytest.mark.docker


def a_pod(*volumes: Volume, mounts: tuple[VolumeMount, ...] = (), **fields: object) -> AssignedPod:
    """A pod whose container c0 sees each volume under its name, unless it is said how."""
    mounts = mounts or tuple(VolumeMount(name=v.name, mount_path=f"/{v.name}") for v in volumes)
    own = given.spec("c0", image=IMAGE, command=SLEEP, volume_mounts=mounts)
    found = given.pod("web", own, volumes=volumes, **fields)
    return replace(found, uid=uuid.uuid4().hex, sources=sources("5", "6"))


def sources(settings: str, keys: str) -> tuple[AssignedSource, ...]:
    return (
        AssignedSource(kind="ConfigMap", name="settings", version=settings),
        AssignedSource(kind="Secret", name="keys", version=keys),
    )


@pytest.fixture
def tmpfs() -> Iterator[Path]:
    path = Path("/dev/shm") / f"longshore-test-{uuid.uuid4().hex[:8]}"
    yield path
    shutil.rmtree(path, ignore_errors=True)


@contextlib.asynccontextmanager
async def a_node(disk: Path, tmpfs: Path, **settings: object) -> AsyncIterator[tuple[Node, dict]]:
    """A running agent, and the contents that it is told; nothing of its pods is left afterwards."""
    await busybox_image()
    name = "node-1"
    engine = Docker("unix:///var/run/docker.sock", name, uuid.uuid4().hex[:8])
    contents = {SETTINGS: held(), KEYS: secret()}
    try:
        async with asyncio.TaskGroup() as tasks:
            storage = FileStorage(disk, tmpfs)
            own = {"sandbox_pool": 0, **settings}
            node = Node(engine, now_ms, tasks, name=name, storage=storage, **own)
            await node.listen()
            await node.start()
            try:
                async with answering(node, contents):
                    yield node, contents
                    await node.assign()
                    async with asyncio.timeout(30):
                        while await engine.list() or await engine.volumes():
                            await asyncio.sleep(0.05)
                    await until(lambda: left(disk, tmpfs) == [], f"{left(disk, tmpfs)} is gone")
            finally:
                await node.stop()
    finally:
        await empty(engine)
        await engine.close()


def left(*places: Path) -> list[Path]:
    """What a node has in its folders."""
    return [path for place in places for path in place.glob("*/*")]


async def until(holds: Callable[[], object], what: str, within_s: float = 30) -> None:
    try:
        async with asyncio.timeout(within_s):
            while not holds():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not within {within_s:.0f} s: {what}") from None


async def sh(node: Node, script: str, container: str = "c0") -> str:
    """What a script prints in the newest attempt at a container."""
    containers, _ = await node.existing()
    running = [c for c in containers if c.container == container and c.state is State.RUNNING]
    console = await node.engine.execute(running[0].id, ExecOptions(command=("sh", "-c", script)))
    said = b""
    while (output := await console.read()) is not None:
        said += output.data
    await console.close()
    return said.decode()


async def test_each_kind_of_volume_is_what_it_should_be(tmp_path, tmpfs):
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv" / "there").write_text("of the host")
    host = Volume(name="host", host_path=HostPathVolumeSource(path=f"{tmp_path}/srv", type=""))
    mounts = (
        *(VolumeMount(name=v, mount_path=f"/{v}") for v in ("room", "cache", "files", "hidden")),
        VolumeMount(name="host", mount_path="/host", read_only=True),
        VolumeMount(name="room", mount_path="/part", sub_path="a/b"),
        VolumeMount(name="files", mount_path="/level", sub_path="level"),
    )
    async with a_node(tmp_path / "agent", tmpfs) as (node, _):
        await node.assign(a_pod(ROOM, CACHE, FILES, HIDDEN, host, mounts=mounts))
        await node.running("web")
        assert await sh(node, "cat /files/level /level /hidden/password") == "lowlowhush"
        assert await sh(node, "cat /host/there") == "of the host"
        assert await sh(node, "echo x > /part/x; cat /room/a/b/x") == "x\n"
        assert await sh(node, "stat -c %a /room /cache") == "777\n777\n"
        for at in ("/files", "/hidden", "/host", "/level"):
            assert "Read-only file system" in await sh(node, f"touch {at}/new {at} 2>&1")
        kinds = await sh(node, "grep -E ' /(cache|hidden|room) ' /proc/mounts")
        on = {line.split()[1]: line.split()[2:4] for line in kinds.splitlines()}
        assert on["/hidden"][0] == on["/cache"][0] == "tmpfs"
        assert "size=1024k" in on["/cache"][1]
        assert on["/room"][0] != "tmpfs"
        said = await sh(node, "dd if=/dev/zero of=/cache/x bs=1k count=2000 2>&1; true")
        assert "No space left on device" in said
    assert (tmp_path / "srv" / "there").exists()


@pytest.mark.parametrize("volume", [ROOM, CACHE], ids=["disk", "memory"])
async def test_room_is_shared_by_a_pods_containers_and_outlives_them(volume, tmp_path, tmpfs):
    assigned = a_pod(volume)
    mounts = assigned.spec.containers[0].volume_mounts
    (at,) = (mount.mount_path for mount in mounts)
    first = given.spec(
        "first",
        image=IMAGE,
        command=("sh", "-c", f"echo from init > {at}/a"),
        volume_mounts=mounts,
    )
    beside = given.spec("c1", image=IMAGE, command=SLEEP, volume_mounts=mounts)
    spec = assigned.spec
    spec = replace(spec, init_containers=(first,), containers=(*spec.containers, beside))
    async with a_node(tmp_path / "agent", tmpfs) as (node, _):
        await node.assign(replace(assigned, spec=spec))
        await node.running("web")
        assert await sh(node, f"cat {at}/a; echo from c0 > {at}/b") == "from init\n"
        assert await sh(node, f"cat {at}/b", "c1") == "from c0\n"
        containers, _ = await node.existing()
        for container in containers:
            if container.state is State.RUNNING:
                await node.engine.signal(container.id, "SIGKILL")
        await node.until(
            lambda r: (
                is_running(web := reported(r, "web"))
                and all(s.restart_count for s in web.status.container_statuses)
            )
        )
        assert await sh(node, f"cat {at}/a {at}/b") == "from init\nfrom c0\n"


async def test_a_change_is_seen_by_a_running_container_all_at_once(tmp_path, tmpfs):
    assigned = a_pod(FILES, HIDDEN)
    watch = (
        "trap 'exit 0' TERM; while :; do ( cd -P /files/..data && a=$(cat a) && b=$(cat b) && [ $a != $b ] && "
        "echo torn ) 2>/dev/null; done"
    )
    own = replace(assigned.spec.containers[0], command=("sh", "-c", watch))
    assigned = replace(assigned, spec=replace(assigned.spec, containers=(own,)))
    async with a_node(tmp_path / "agent", tmpfs) as (node, contents):
        contents[SETTINGS] = held("5", a="0\n", b="0\n")
        await node.assign(assigned)
        await node.running("web")
        for n in range(1, 6):
            contents[SETTINGS] = held(f"1{n}", a=f"{n}\n", b=f"{n}\n")
            await node.assign(replace(assigned, sources=sources(f"1{n}", "6")))
            async with asyncio.timeout(20):
                while await sh(node, "cat /files/a") != f"{n}\n":
                    await asyncio.sleep(0.05)
        contents[SETTINGS] = held("20", b="left\n")
        contents[KEYS] = secret("21", password=b"new")
        await node.assign(replace(assigned, sources=sources("20", "21")))
        async with asyncio.timeout(20):
            while await sh(node, "cat /hidden/password") != "new":
                await asyncio.sleep(0.05)
        assert await sh(node, "ls -A /files | grep -v '^[.][.]'") == "b\n"
        hidden = (await sh(node, "ls -A /files | grep '^[.][.]'")).split()
        assert len(hidden) == 2, "no older files stay"
        (container,), _ = await node.existing()
        assert container.attempt == 0
        stream = await node.engine.logs(container.id, LogOptions())
        assert await stream.read() == b""
        await stream.close()


async def test_a_volume_that_cannot_be_made_is_told_and_made_once_it_can(tmp_path, tmpfs):
    path = tmp_path / "later"
    host = Volume(name="host", host_path=HostPathVolumeSource(path=str(path), type="Directory"))
    async with a_node(tmp_path / "agent", tmpfs) as (node, _):
        await node.assign(a_pod(host))
        await until(lambda: "FailedMount" in node.reasons(), "FailedMount")
        (event,) = [e for e in node.events if e.reason == "FailedMount"][:1]
        assert event.message == (
            'MountVolume.SetUp failed for volume "host" : '
            f"hostPath type check failed: {path} is not a directory"
        )
        path.mkdir()
        await node.running("web")


# ------------------------------------------------------------------- kill -9


class Outside:
    """A control plane's end on a real bus, and an agent in a process of its own to be killed."""

    def __init__(self, bus: NatsBus, nats_url: str, cluster: str, disk: Path, tmpfs: Path) -> None:
        self.bus = bus
        self.assignment = Assignment(node="node-1", epoch=1, generation=0)
        self.reports: list[NodeReport] = []
        self._process: asyncio.subprocess.Process | None = None
        self._argv = [
            servers.binary("node-agent"),
            "--node-name=node-1",
            f"--cluster={cluster}",
            f"--nats={nats_url}",
            f"--state-dir={disk}",
            f"--secrets-dir={tmpfs}",
            "--internal-ip=127.0.0.1",
            "--sandbox-pool=0",
            "--log-level=warning",
        ]

    async def answer(self) -> None:
        """Contents, forever."""
        subscription = await self.bus.subscribe(subjects.content("node-1"))
        while True:
            envelope = await subscription.get()
            asked = codec.decode(envelope.payload, ContentRequest)
            found = (held() if asked.kind == "ConfigMap" else secret()).content
            whole = codec.encode(found)
            version = "5" if asked.kind == "ConfigMap" else "6"
            reply = ContentPiece(version=version, size=len(whole), piece=whole)
            await self.bus.publish(envelope.reply, codec.encode(reply))

    async def insist(self) -> None:
        """Say what to run, again and again."""
        while True:
            payload = codec.encode(self.assignment)
            await self.bus.publish(subjects.assignment("node-1"), payload)
            await asyncio.sleep(0.1)

    async def listen(self) -> None:
        subscription = await self.bus.subscribe(subjects.report("node-1"))
        while True:
            self.reports.append(codec.decode((await subscription.get()).payload, NodeReport))

    def runs(self, uid: str) -> bool:
        """Whether the last report says so of a pod."""
        return any(is_running(p) for r in self.reports[-1:] for p in r.pods if p.uid == uid)

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(*self._argv)

    async def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()
            self._process = None


async def test_an_agent_killed_between_any_two_steps_leaves_nothing_and_restarts_nothing(
    tmp_path, tmpfs
):
    """Of a pod that is deleted after the kill, and of another that stays."""
    await busybox_image()
    cluster = uuid.uuid4().hex[:8]
    engine = Docker("unix:///var/run/docker.sock", "node-1", cluster)
    pods, secrets = tmp_path / "node-1" / "pods", tmpfs / f"{cluster}.node-1" / "pods"

    def has(what: str) -> Callable[[], object]:
        return lambda: list(pods.glob(what)) + list(secrets.glob(what))

    async with servers.nats() as nats, asyncio.TaskGroup() as tasks:
        bus = await NatsBus.connect(nats.url, name="control", timeout_s=20)
        outside = Outside(bus, nats.url, cluster, tmp_path, tmpfs)
        work = [
            tasks.create_task(task)
            for task in (outside.answer(), outside.insist(), outside.listen())
        ]
        stays = replace(given.pod("stays", given.spec(image=IMAGE, command=SLEEP)), uid="stays")
        try:
            outside.assignment = Assignment(node="node-1", epoch=1, generation=1, pods=(stays,))
            await outside.start()
            await until(lambda: outside.runs("stays"), "the one that stays runs")
            staying = await engine.list()
            assert len(staying) == 2  # its holder and its container
            places = tmp_path / "node-1", secrets.parent
            (last_word,) = left(*places)  # the file for it, of the one that stays
            await outside.kill()
            for moment in ("contents", "*", "*/files/*", "volume", "sandbox", "container", "going"):
                assigned = a_pod(ROOM, CACHE, FILES, HIDDEN)
                generation = outside.assignment.generation + 1
                fence = {"node": "node-1", "epoch": 1}
                pods_now = (stays, assigned)
                outside.assignment = Assignment(**fence, generation=generation, pods=pods_now)
                await outside.start()
                await reached(moment, engine, has, tmp_path, partial(outside.runs, assigned.uid))
                leaving = replace(assigned, delete_grace_s=0)
                if moment == "going":
                    outside.assignment = Assignment(
                        **fence, generation=generation + 1, pods=(stays, leaving)
                    )
                    await until(lambda: not list(pods.glob("*/files")), "the first folder went")
                await outside.kill()
                pods_now = (stays, leaving)
                outside.assignment = Assignment(**fence, generation=generation + 2, pods=pods_now)
                await outside.start()
                await until(
                    lambda uid=assigned.uid: any(
                        p.uid == uid and p.is_gone for r in outside.reports[-1:] for p in r.pods
                    ),
                    f"gone after a kill at {moment}",
                )
                assert sorted(await engine.list()) == sorted(staying), moment
                assert await engine.volumes() == []
                assert not has("*")(), moment
                outside.assignment = Assignment(**fence, generation=generation + 3, pods=(stays,))
                await until(lambda: left(*places) == [last_word], f"no more is left after {moment}")
                await outside.kill()
        finally:
            await outside.kill()
            for task in work:
                task.cancel()
            await bus.close()
            await empty(engine)
            await engine.close()
    mounted = Path("/proc/self/mountinfo").read_text()
    assert str(tmp_path) not in mounted
    assert str(tmpfs) not in mounted


async def reached(
    moment: str,
    engine: Docker,
    has: Callable[[str], Callable[[], object]],
    disk: Path,
    runs: Callable[[], object],
) -> None:
    """Once the agent has come so far."""
    match moment:
        case "contents":
            await until(lambda: list((disk / "node-1").glob("contents/*")), "contents are kept")
        case "volume":
            async with asyncio.timeout(30):
                while not await engine.volumes():
                    await asyncio.sleep(0.005)
        case "sandbox" | "container":
            async with asyncio.timeout(30):
                while len(await engine.list()) < (3 if moment == "sandbox" else 4):
                    await asyncio.sleep(0.005)
        case "going":
            await until(runs, "it runs")
        case folders:
            await until(has(folders), f"{folders} is there")
