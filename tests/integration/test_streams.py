"""Exec, attach and port-forward on real Docker and a real nats-server."""

import asyncio
import hashlib
import random
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from node_agent.engine.docker import Docker
from node_agent.host import Clock, MemoryDisk
from node_agent.loop import Agent
from node_agent.settings import Settings
from node_agent.storage.memory import MemoryStorage
from orchestrator.runtime.streams import Streams
from proto import codec, subjects
from proto.bus.nats import NatsBus
from proto.bus.stream import Stream
from proto.errors import BadRequest, NotFound, Unavailable
from proto.frames import WINDOW_BYTES, Channel
from proto.messages import (
    AssignedPod,
    Assignment,
    AttachRequest,
    ExecRequest,
    ForwardRequest,
    NodeReport,
    StreamOutcome,
)
from tests import servers
from tests.images import busybox_image
from tests.integration.test_agent import empty
from tests.unit.node_agent import given
from tests.unit.node_agent.node import FakeProber, is_running, pod

pytestmark = [pytest.mark.docker, pytest.mark.integration]

PATIENCE_S = 60
MIB = 1 << 20
SERVE = "mkdir /www; echo hello > /www/index.html; httpd -f -p 8080 -h /www"


class Cluster:
    """One agent, and the control plane's end of the bus."""

    def __init__(self, streams: Streams, node: str, nats: servers.Server) -> None:
        self.streams = streams
        self.nats = nats
        self._node = node
        spec = given.spec("c", image="demo/busybox:1", command=("sh", "-c", SERVE))
        self.web = replace(given.pod("web", spec), uid=uuid.uuid4().hex)
        cat = given.spec("c", image="demo/busybox:1", command=("cat",), stdin=True)
        self.cat = replace(given.pod("cat", cat), uid=uuid.uuid4().hex)

    @asynccontextmanager
    async def execute(self, *command: str, **options: Any) -> AsyncIterator[Stream]:
        asked = ExecRequest(
            pod_uid=self.web.uid, container="c", command=command, has_stdout=True, **options
        )
        async with asyncio.timeout(PATIENCE_S), self.streams.open(self._node, asked) as stream:
            yield stream

    @asynccontextmanager
    async def open(self, asked: AttachRequest | ForwardRequest) -> AsyncIterator[Stream]:
        async with asyncio.timeout(PATIENCE_S), self.streams.open(self._node, asked) as stream:
            yield stream

    async def serving(self, port: int) -> None:
        """The pod's program runs before it listens: wait until it does."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    async with self.open(ForwardRequest(pod_uid=self.web.uid, port=port)):
                        return
                except Unavailable:
                    await asyncio.sleep(0.05)


@asynccontextmanager
async def cluster() -> AsyncIterator[Cluster]:
    """Both pods run."""
    await busybox_image()
    name = f"test-{uuid.uuid4().hex[:8]}"
    engine = Docker("unix:///var/run/docker.sock", name)
    async with servers.nats() as nats:
        control = await NatsBus.connect(nats.url, name="control", timeout_s=20)
        bus = await NatsBus.connect(nats.url, name=name, timeout_s=20)
        settings = Settings(node_name=name, internal_ip="127.0.0.1", sandbox_pool=0)
        agent = Agent(
            settings,
            bus,
            engine,
            MemoryStorage(),
            MemoryDisk(),
            FakeProber(),
            Clock(),
            random.Random(1),
        )
        found = Cluster(Streams(control, lambda: uuid.uuid4().hex), name, nats)
        reports = await control.subscribe(subjects.report(name))
        try:
            async with asyncio.TaskGroup() as tasks:
                work = tasks.create_task(agent.run())
                await _until_running(control, reports.get, name, (found.web, found.cat))
                yield found
                work.cancel()
        finally:
            await empty(engine)
            await engine.close()
            await bus.close()
            await control.close()


async def _until_running(
    control: NatsBus, heard: Callable[[], Any], node: str, pods: tuple[AssignedPod, ...]
) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await heard()  # the agent listens
        assignment = Assignment(node=node, epoch=1, generation=1, pods=pods)
        await control.publish(subjects.assignment(node), codec.encode(assignment))
        while True:
            report = codec.decode((await heard()).payload, NodeReport)
            if all(is_running(pod(report, wanted.name)) for wanted in pods):
                return


async def outcome(stream: Stream) -> tuple[dict[Channel, bytes], StreamOutcome]:
    """Everything on each channel, and how it ended."""
    found: dict[Channel, bytes] = {}
    while (frame := await stream.receive()) is not None:
        if frame.channel is Channel.OUTCOME:
            return found, codec.decode(frame.data, StreamOutcome)
        found[frame.channel] = found.get(frame.channel, b"") + frame.data
    raise AssertionError("no outcome")


def processes(*argv: str) -> list[int]:
    """Of this machine, with exactly this command line."""
    wanted = b"".join(word.encode() + b"\0" for word in argv)
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == wanted:
                found.append(int(path.parent.name))
        except OSError:
            pass  # it ended meanwhile
    return found


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.05)


async def test_a_programs_outputs_are_told_apart_and_its_exit_code_comes_last():
    async with (
        cluster() as here,
        here.execute("sh", "-c", "echo out; echo err >&2; exit 7", has_stderr=True) as stream,
    ):
        found, ended = await outcome(stream)
        assert found == {Channel.STDOUT: b"out\n", Channel.STDERR: b"err\n"}
        assert ended == StreamOutcome(exit_code=7)


async def test_sixteen_megabytes_through_a_program_arrive_whole_for_a_slow_reader_as_well():
    content = random.Random(1).randbytes(16 * MIB)
    async with cluster() as here, here.execute("cat", has_stdin=True) as stream:
        digest, waited, at_most = hashlib.sha256(), 0, 0

        async def read() -> StreamOutcome:
            nonlocal waited, at_most
            while (frame := await stream.receive()) is not None:
                if frame.channel is Channel.OUTCOME:
                    return codec.decode(frame.data, StreamOutcome)
                digest.update(frame.data)
                at_most = max(at_most, sum(waiting.cost for waiting in stream._inbox))
                if waited < 20:
                    waited += 1
                    await asyncio.sleep(0.02)
            raise AssertionError("no outcome")

        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(read())
            await stream.send(Channel.STDIN, content, is_last=True)
        assert reading.result() == StreamOutcome(exit_code=0)
        assert digest.digest() == hashlib.sha256(content).digest()
        assert at_most <= WINDOW_BYTES


async def test_a_reader_that_leaves_ends_the_program_though_it_reads_no_input():
    seconds = str(random.SystemRandom().randrange(10**6, 10**7))
    async with cluster() as here:
        async with here.execute("sleep", seconds):
            await until(lambda: processes("sleep", seconds))
        await until(lambda: not processes("sleep", seconds))


async def test_a_server_that_restarts_may_break_a_stream_but_leaves_no_hole_in_it():
    content = b"".join(b"%d\n" % number for number in range(1, 1_500_001))
    async with cluster() as here:
        received, ended = b"", None
        try:
            async with here.execute("seq", "1", "1500000") as stream:
                while (frame := await stream.receive()) is not None:
                    if frame.channel is Channel.OUTCOME:
                        ended = codec.decode(frame.data, StreamOutcome)
                        break
                    if len(received) < MIB <= len(received) + len(frame.data):
                        await here.nats.restart()
                    received += frame.data
        except Unavailable:
            assert content.startswith(received)
        else:
            assert (received == content, ended) == (True, StreamOutcome(exit_code=0))


async def test_input_after_its_end_is_ignored():
    async with cluster() as here, here.execute("cat", has_stdin=True) as stream:
        await stream.send(Channel.STDIN, b"before", is_last=True)
        await stream.send(Channel.STDIN, b"after", is_last=True)
        assert await outcome(stream) == ({Channel.STDOUT: b"before"}, StreamOutcome(exit_code=0))


async def test_a_terminal_has_the_size_it_is_told():
    async with (
        cluster() as here,
        here.execute("sh", "-c", "read go; stty size; tty", has_stdin=True, is_tty=True) as stream,
    ):
        await stream.send(Channel.RESIZE, b'{"Width":99,"Height":33}\n')
        await stream.send(Channel.STDIN, b"go\n")
        found, ended = await outcome(stream)
        assert b"33 99\r\n/dev/pts/" in found[Channel.STDOUT]
        assert ended == StreamOutcome(exit_code=0)


async def test_a_container_goes_on_when_who_was_attached_leaves():
    async with cluster() as here:
        for word in (b"one\n", b"two\n"):
            asked = AttachRequest(
                pod_uid=here.cat.uid, container="c", has_stdin=True, has_stdout=True
            )
            async with here.open(asked) as stream:
                await stream.send(Channel.STDIN, word, is_last=True)
                frame = await stream.receive()
                assert frame is not None
                assert frame.data == word


async def test_a_connection_reaches_the_pods_port_and_a_closed_port_says_so():
    async with cluster() as here:
        await here.serving(8080)
        async with here.open(ForwardRequest(pod_uid=here.web.uid, port=8080)) as stream:
            await stream.send(Channel.STDIN, b"GET / HTTP/1.0\r\n\r\n")
            found, ended = await outcome(stream)
            assert found[Channel.STDOUT].startswith(b"HTTP/1.1 200 OK")
            assert found[Channel.STDOUT].endswith(b"hello\n")
            assert ended == StreamOutcome()
        with pytest.raises(Unavailable, match=r"failed to connect to .*:81 in the pod"):
            async with here.open(ForwardRequest(pod_uid=here.web.uid, port=81)):
                pass


async def test_what_is_not_there_is_refused_by_name():
    async with cluster() as here:
        asked = AttachRequest(pod_uid="nobody", container="c", has_stdout=True)
        with pytest.raises(NotFound, match="is not on this node"):
            async with here.open(asked):
                pass
        with pytest.raises(BadRequest, match="container x is not valid for pod web"):
            async with here.open(replace(asked, pod_uid=here.web.uid, container="x")):
                pass
