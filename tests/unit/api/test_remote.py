"""Exec, attach and port-forward, as clients speak them, over nodes that tests play."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from orchestrator.api.remote import status
from proto import codec
from proto.bus.stream import Stream
from proto.errors import Unavailable
from proto.frames import WINDOW_BYTES, Channel
from proto.messages import ExecRequest, ForwardRequest, StreamOutcome, StreamRequest
from tests.unit.api.server import Running, running
from tests.unit.api.spdy_client import Client

POD = "/api/v1/namespaces/default/pods/p"
V5 = "v5.channel.k8s.io"
V4 = "v4.channel.k8s.io"
TUNNEL = "SPDY/3.1+portforward.k8s.io"
SUCCESS = {"metadata": {}, "status": "Success"}


class Programs:
    """What the node ``n1`` runs, by the first word of the command; and what became of it."""

    def __init__(self) -> None:
        self.seen: list[tuple[Channel, bytes, bool]] = []
        self.gone = asyncio.Event()

    async def serve(self, request: StreamRequest, stream: Stream) -> StreamOutcome:
        if isinstance(request, ForwardRequest):
            return await self._echo(request.port, stream)
        command = request.command[0] if isinstance(request, ExecRequest) else "cat"
        match command:
            case "fail":
                await stream.send(Channel.STDOUT, b"out")
                await stream.send(Channel.STDERR, b"err")
                return StreamOutcome(exit_code=7)
            case "flood":
                await stream.send(Channel.STDOUT, bytes(4 * WINDOW_BYTES))
                return StreamOutcome(exit_code=0)
            case "wait":
                await stream.wait_closed()
                self.gone.set()
                raise Unavailable("the client left")
            case "broken":
                return StreamOutcome(error="the engine went away")
        return await self._echo(0, stream)

    async def _echo(self, port: int, stream: Stream) -> StreamOutcome:
        """Everything back, until the end of the input; port 9 refuses, port 70 answers then."""
        if port == 9:
            return StreamOutcome(error="connection refused")
        if port == 70:
            while (frame := await stream.receive()) is not None and not frame.is_last:
                pass
            await stream.send(Channel.STDOUT, bytes(4 * WINDOW_BYTES))
            return StreamOutcome()
        while (frame := await stream.receive()) is not None:
            self.seen.append((frame.channel, frame.data, frame.is_last))
            if frame.channel is Channel.STDIN and frame.data:
                await stream.send(Channel.STDOUT, frame.data)
            if frame.is_last or frame.data == b"bye":
                return StreamOutcome(exit_code=0)
        self.gone.set()
        return StreamOutcome()


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Running, Programs]]:
    """An API with a pod on the node ``n1``."""
    programs = Programs()
    async with running(nodes={"n1": programs.serve}) as api, asyncio.timeout(20):
        container = {"name": "c", "image": "busybox"}
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}
        body["spec"] = {"containers": [container], "nodeName": "n1"}
        assert (await api.ask("POST", "/api/v1/namespaces/default/pods", body))[0] == 201
        yield api, programs


async def until_closed(socket: aiohttp.ClientWebSocketResponse) -> dict[int, bytes]:
    """What came on each channel."""
    found: dict[int, bytes] = {}
    async for message in socket:
        found[message.data[0]] = found.get(message.data[0], b"") + message.data[1:]
    assert socket.close_code == 1000
    return found


# ------------------------------------------------------------------- WebSocket


async def test_output_comes_before_the_exit_code_and_on_its_own_channels():
    async with serving() as (api, _):
        url = f"{api.url}{POD}/exec?command=fail&stdout=true&stderr=true"
        async with api.http.ws_connect(url, protocols=[V5]) as socket:
            assert socket.protocol == V5
            found = await until_closed(socket)
        assert (found[1], found[2]) == (b"out", b"err")
        assert json.loads(found[3]) == {
            "metadata": {},
            "status": "Failure",
            "reason": "NonZeroExitCode",
            "message": "command terminated with exit code 7",
            "details": {"causes": [{"reason": "ExitCode", "message": "7"}]},
        }


async def test_input_its_end_and_the_terminals_size_arrive_in_order():
    async with serving() as (api, programs):
        url = f"{api.url}{POD}/exec?command=cat&stdin=true&stdout=1&tty=true"
        async with api.http.ws_connect(url, protocols=[V5]) as socket:
            await socket.send_bytes(b'\x04{"Width":99,"Height":33}\n')
            await socket.send_bytes(b"\x00hello")
            await socket.send_bytes(b"\xff\x00")
            found = await until_closed(socket)
        assert found[1] == b"hello"
        assert json.loads(found[3]) == SUCCESS
        assert programs.seen == [
            (Channel.RESIZE, b'{"Width":99,"Height":33}\n', False),
            (Channel.STDIN, b"hello", False),
            (Channel.STDIN, b"", True),
        ]
        (asked,) = api.nodes["n1"].asked
        assert (asked.command, asked.has_stdin, asked.is_tty, asked.has_stderr) == (
            ("cat",),
            True,
            True,
            False,
        )


async def test_attach_needs_no_command():
    async with serving() as (api, _):
        url = f"{api.url}{POD}/attach?stdin=true&stdout=true"
        async with api.http.ws_connect(url, protocols=[V5, V4]) as socket:
            await socket.send_bytes(b"\x00bye")
            assert (await until_closed(socket))[1] == b"bye"


async def test_a_client_that_leaves_ends_the_program():
    async with serving() as (api, programs):
        url = f"{api.url}{POD}/exec?command=wait&stdout=true"
        async with api.http.ws_connect(url, protocols=[V4]) as socket:
            await socket.close()
        await programs.gone.wait()


async def test_a_client_that_reads_late_gets_everything():
    async with serving() as (api, _):
        url = f"{api.url}{POD}/exec?command=flood&stdout=true"
        async with api.http.ws_connect(url, protocols=[V4]) as socket:
            await asyncio.sleep(0.5)
            found = await until_closed(socket)
        assert len(found[1]) == 4 * WINDOW_BYTES


async def test_what_ends_a_program_before_its_time_is_told_on_the_error_channel():
    async with serving() as (api, _):
        url = f"{api.url}{POD}/exec?command=broken&stdout=true"
        async with api.http.ws_connect(url, protocols=[V4]) as socket:
            told = json.loads((await until_closed(socket))[3])
        assert told["message"] == "Internal error occurred: the engine went away"
        assert told["reason"] == "InternalError"


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("exec?stdout=true", "at least one command"),
        ("exec?command=a", "at least 1 of stdin, stdout, stderr"),
        ("exec?command=a&stdout=1&container=x", "container x is not valid for pod p"),
        ("attach", "at least 1 of stdin, stdout, stderr"),
        ("attach?stdout=true", "unable to upgrade"),
        ("portforward", "unable to upgrade"),
    ],
)
async def test_an_impossible_request_is_refused_before_anything_starts(part, said):
    async with serving() as (api, _):
        code, found = await api.ask("POST", f"{POD}/{part}")
        assert code == 400
        assert said in found["message"]
        assert api.nodes["n1"].asked == []


@pytest.mark.parametrize("part", ["exec?command=a&stdout=1", "portforward?ports=80"])
async def test_a_websocket_of_no_known_protocol_is_refused(part):
    async with serving() as (api, _):
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            await api.http.ws_connect(f"{api.url}{POD}/{part}", protocols=["v9.example"])
        assert raised.value.status == 400


async def test_a_websocket_without_a_protocol_is_served_and_told_failures_as_text():
    async with serving() as (api, _):
        async with api.http.ws_connect(f"{api.url}{POD}/portforward?ports=80") as socket:
            assert socket.protocol is None
            assert [await socket.receive_bytes() for _ in range(2)] == [b"\0P\0", b"\1P\0"]
            await socket.send_bytes(b"\0bye")
            assert await until_closed(socket) == {0: b"bye"}
        url = f"{api.url}{POD}/exec?command=fail&stdout=true&stderr=true"
        async with api.http.ws_connect(url) as socket:
            found = await until_closed(socket)
        assert found == {1: b"out", 2: b"err", 3: b"command terminated with exit code 7"}


def test_a_program_that_ended_well_and_a_container_without_exit_code_are_successes():
    assert status(StreamOutcome(exit_code=0)) == SUCCESS
    assert status(StreamOutcome()) == SUCCESS


# ------------------------------------------------------------------------ SPDY


class Spdy:
    """A client on an upgraded connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.client = Client()
        self._reader = reader
        self.writer = writer

    async def until_last(self, *streams: int) -> dict[int, bytes]:
        """What came on these streams, once all of them have ended."""
        found = dict.fromkeys(streams, b"")
        open_ = set(streams)
        while open_:
            chunk = await self._reader.read(65_536)
            assert chunk, f"hung up before streams {open_} ended"
            for stream, data, is_last in self.client.feed(chunk):
                found[stream] += data
                if is_last:
                    open_.remove(stream)
        return found


@asynccontextmanager
async def upgraded(api: Running, path: str, protocol: str) -> AsyncIterator[Spdy]:
    """POST, 101, and then SPDY."""
    url = urlsplit(api.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        lines = [f"POST {path} HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: SPDY/3.1"]
        lines += ["Content-Length: 0", f"X-Stream-Protocol-Version: {protocol}", "", ""]
        writer.write("\r\n".join(lines).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"X-Stream-Protocol-Version: " + protocol.encode() in head
        yield Spdy(reader, writer)
    finally:
        writer.close()


async def test_exec_over_spdy_ends_all_streams_after_the_status():
    async with (
        serving() as (api, _),
        upgraded(api, f"{POD}/exec?command=cat&stdin=1&stdout=1&stderr=1", V4) as spdy,
    ):
        names = {1: "error", 3: "stdin", 5: "stdout", 7: "stderr"}
        for id, name in names.items():
            spdy.writer.write(spdy.client.open(id, streamtype=name))
        spdy.writer.write(spdy.client.data(3, b"hello") + spdy.client.data(3, is_last=True))
        found = await spdy.until_last(*names)
        assert (found[5], found[7], json.loads(found[1])) == (b"hello", b"", SUCCESS)


async def test_a_spdy_client_that_leaves_ends_the_program():
    async with serving() as (api, programs):
        async with upgraded(api, f"{POD}/exec?command=wait&stdout=1", V4) as spdy:
            for id, name in ((1, "error"), (3, "stdout")):
                spdy.writer.write(spdy.client.open(id, streamtype=name))
            await spdy.writer.drain()
        await programs.gone.wait()


# ---------------------------------------------------------------- port-forward


def connection(client: Client, number: int, port: int) -> Iterator[bytes]:
    """The two streams of one connection: error, then data."""
    for offset, name in ((1, "error"), (3, "data")):
        headers = {"streamtype": name, "port": str(port), "requestid": str(number)}
        yield client.open(4 * number + offset, **headers)


async def test_connections_share_a_session_and_each_ends_by_itself():
    async with (
        serving() as (api, _),
        upgraded(api, f"{POD}/portforward", "portforward.k8s.io") as spdy,
    ):
        for number in range(3):
            for frame in connection(spdy.client, number, 80):
                spdy.writer.write(frame)
        for number in (2, 0):
            spdy.writer.write(spdy.client.data(4 * number + 3, b"for %d" % number))
            spdy.writer.write(spdy.client.data(4 * number + 3, is_last=True))
        found = await spdy.until_last(1, 3, 9, 11)
        assert found == {1: b"", 3: b"for 0", 9: b"", 11: b"for 2"}
        spdy.writer.write(spdy.client.data(7, b"bye"))
        assert await spdy.until_last(5, 7) == {5: b"", 7: b"bye"}


async def test_a_port_where_nobody_listens_is_told_on_the_error_stream():
    async with (
        serving() as (api, _),
        upgraded(api, f"{POD}/portforward", "portforward.k8s.io") as spdy,
    ):
        for frame in connection(spdy.client, 0, 9):
            spdy.writer.write(frame)
        found = await spdy.until_last(1, 3)
        assert found[1] == b"error forwarding port 9 to pod p: connection refused"


async def test_the_same_session_is_spoken_inside_a_websocket():
    async with (
        serving() as (api, _),
        api.http.ws_connect(f"{api.url}{POD}/portforward", protocols=[TUNNEL]) as socket,
    ):
        client, ended, found = Client(), set(), b""
        sent = b"".join(connection(client, 0, 80)) + client.data(3, b"bye")
        for at in range(0, len(sent), 7):  # messages are no frames
            await socket.send_bytes(sent[at : at + 7])
        while ended != {1, 3}:
            for stream, data, is_last in client.feed(await socket.receive_bytes()):
                found += data
                ended |= {stream} if is_last else set()
        assert found == b"bye"


async def test_a_client_that_leaves_closes_its_connections():
    async with serving() as (api, programs):
        async with upgraded(api, f"{POD}/portforward", "portforward.k8s.io") as spdy:
            for frame in connection(spdy.client, 0, 80):
                spdy.writer.write(frame)
            spdy.writer.write(spdy.client.data(3, b"x"))
            await spdy.writer.drain()
            while not programs.seen:
                await asyncio.sleep(0.01)
        await programs.gone.wait()


async def test_channels_for_two_ports_begin_with_their_numbers():
    async with serving() as (api, _):
        url = f"{api.url}{POD}/portforward?ports=80,443"
        async with api.http.ws_connect(url, protocols=[V4]) as socket:
            greetings = [await socket.receive_bytes() for _ in range(4)]
            assert sorted(greetings) == [b"\0P\0", b"\1P\0", b"\2\xbb\1", b"\3\xbb\1"]
            await socket.send_bytes(b"\2second")
            assert await socket.receive_bytes() == b"\2second"
            await socket.send_bytes(b"\0bye")
            await socket.send_bytes(b"\2bye")
            assert await until_closed(socket) == {0: b"bye", 2: b"bye"}


@pytest.mark.parametrize("ports", ["", "?ports=0", "?ports=x", "?ports=80,65536"])
async def test_impossible_ports_are_refused(ports):
    async with serving() as (api, _):
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            await api.http.ws_connect(f"{api.url}{POD}/portforward{ports}", protocols=[V4])
        assert raised.value.status == 400


def test_the_request_of_a_stream_survives_the_bus():
    asked = ExecRequest(pod_uid="u", container="c", command=("a", "b"), is_tty=True)
    assert codec.decode(codec.encode(asked), StreamRequest) == asked
