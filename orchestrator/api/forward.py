"""``pods/portforward``: TCP connections to a pod, through the API.

kubectl opens two SPDY streams for each connection, ``data`` and ``error``, on an upgraded
connection or inside a WebSocket. Other clients have two WebSocket channels for each port. Source:
kubelet, pkg/kubelet/server/portforward (now k8s.io/kubelet/pkg/cri/streaming).

All connections of one client share its one TCP connection, which has no credit of its own: while a
pod does not take what it is sent, `BACKLOG` pieces wait here, and then the client's other
connections wait as well.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from orchestrator.api import resources, spdy, wire
from orchestrator.api.call import Call
from orchestrator.api.wire import WebSocketWire, Wire
from orchestrator.runtime.streams import Streams
from proto import codec
from proto.bus.stream import Stream
from proto.errors import BadRequest, LongshoreError, Unavailable
from proto.frames import Channel
from proto.kinds.pod import Pod
from proto.messages import ForwardRequest, StreamOutcome

log = structlog.get_logger()

SPDY_PROTOCOL = "portforward.k8s.io"
TUNNEL_PROTOCOL = "SPDY/3.1+portforward.k8s.io"
CHANNEL_PROTOCOL = "v4.channel.k8s.io"

BACKLOG = 8
"""Pieces of some 32 KiB that wait for one connection."""

CONNECTIONS_MAX = 256
"""Of one client at once."""

Piece = tuple[bytes, bool]
"""Bytes for the pod, and whether they are the last."""

Send = Callable[[bytes], Awaitable[None]]


async def forward(call: Call) -> web.StreamResponse:
    """Connections to a pod, until the client has gone."""
    pod, request = resources.find(call).object, call.request
    if not pod.spec.node_name:
        raise BadRequest(f"pod {pod.metadata.name} does not have a host assigned")
    streams = call.services.streams
    if not wire.is_websocket(request):
        async with wire.upgraded(request, [SPDY_PROTOCOL]) as (response, connection):
            await _Tunnel(connection, streams, pod).run()
            return response
    is_tunnel = TUNNEL_PROTOCOL in request.headers.get("Sec-WebSocket-Protocol", "")
    ports = [] if is_tunnel else _ports(request)
    protocol = TUNNEL_PROTOCOL if is_tunnel else CHANNEL_PROTOCOL
    async with wire.websocket(request, [protocol]) as socket:
        carried = WebSocketWire(socket)
        if is_tunnel:
            await _Tunnel(carried, streams, pod).run()
        else:
            await _Channels(carried, streams, pod, ports).run()
        await socket.close()
        return socket


def _ports(request: web.Request) -> list[int]:
    texts = [text for value in request.query.getall("ports", []) for text in value.split(",")]
    ports = [_port(text) for text in texts]
    if not ports:
        raise BadRequest('query parameter "ports" is required')
    return ports


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65_536):
        raise BadRequest(f"{text!r} is no port: it must be from 1 to 65535")
    return int(text)


class _Connection:
    """One TCP connection, and what waits to be sent on it."""

    def __init__(self, streams: Streams, pod: Pod, port: int) -> None:
        self._streams = streams
        self._pod = pod
        self._port = port
        self.inbox: asyncio.Queue[Piece] = asyncio.Queue(BACKLOG)

    async def run(self, send: Send) -> str:
        """Connect, and copy until the pod has ended it. Returns what went wrong."""
        asked = ForwardRequest(pod_uid=self._pod.metadata.uid, port=self._port)
        try:
            async with self._streams.open(self._pod.spec.node_name, asked) as stream:
                outcome = await self._copy(stream, send)
        except LongshoreError as error:
            outcome = StreamOutcome(error=str(error))
        if not outcome.error:
            return ""
        return (
            f"error forwarding port {self._port} to pod {self._pod.metadata.name}: {outcome.error}"
        )

    async def _copy(self, stream: Stream, send: Send) -> StreamOutcome:
        async with asyncio.TaskGroup() as tasks:
            inward = tasks.create_task(self._copy_in(stream))
            outward = tasks.create_task(_copy_out(stream, send))
            await asyncio.wait((outward,))
            inward.cancel()
        return outward.result()

    async def _copy_in(self, stream: Stream) -> None:
        is_taken = True
        while True:
            data, is_last = await self.inbox.get()
            if is_taken:
                try:
                    await stream.send(Channel.STDIN, data, is_last=is_last)
                except Unavailable:
                    is_taken = False  # what comes is thrown away, until the other direction ends


async def _copy_out(stream: Stream, send: Send) -> StreamOutcome:
    try:
        while (frame := await stream.receive()) is not None:
            if frame.channel is Channel.OUTCOME:
                return codec.decode(frame.data, StreamOutcome)
            await send(frame.data)
    except LongshoreError as error:
        return StreamOutcome(error=str(error))
    return StreamOutcome()


class _Pair:
    """The two SPDY streams of a connection, and the task that serves it."""

    def __init__(self, connection: _Connection, data: int, error: int) -> None:
        self.connection = connection
        self.data = data
        self.error = error
        self.task: asyncio.Task[None] | None = None


class _Tunnel:
    """Any number of connections in one SPDY session."""

    def __init__(self, carrier: Wire, streams: Streams, pod: Pod) -> None:
        self._wire = carrier
        self._streams = streams
        self._pod = pod
        self._session = spdy.Session()
        self._errors: dict[str, int] = {}
        """Error streams whose data stream is not there yet, by request id."""
        self._pairs: dict[int, _Pair] = {}
        """By data stream."""

    async def run(self) -> None:
        """Until the client has gone."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while chunk := await self._wire.read():
                    for event in self._session.feed(chunk):
                        await self._take(event, tasks)
                for pair in self._pairs.values():
                    if pair.task is not None:
                        pair.task.cancel()
        except* (ConnectionError, BadRequest) as gone:
            log.info("forward.client_left", error=str(gone.exceptions[0]))

    async def _take(self, event: spdy.Event, tasks: asyncio.TaskGroup) -> None:
        match event:
            case spdy.Opened():
                await self._open(event, tasks)
            case spdy.Data(stream=id, data=data, is_last=is_last) if id in self._pairs:
                await self._pairs[id].connection.inbox.put((data, is_last))
            case spdy.Reset(stream=id) if id in self._pairs:
                task = self._pairs[id].task
                if task is not None:
                    task.cancel()
            case spdy.Ping():
                await self._wire.write(self._session.pong(event))
            case _:
                pass  # of a connection that has ended

    async def _open(self, event: spdy.Opened, tasks: asyncio.TaskGroup) -> None:
        await self._wire.write(self._session.accept(event.stream))
        headers = event.headers
        request_id = headers.get("requestid", "")
        if headers.get("streamtype") == "error":
            if len(self._errors) >= CONNECTIONS_MAX:
                raise BadRequest("too many connections are half open")
            self._errors[request_id] = event.stream
            return
        error = self._errors.pop(request_id, None)
        if headers.get("streamtype") != "data" or error is None:
            raise BadRequest(f"unexpected stream: {dict(headers)}")
        if len(self._pairs) >= CONNECTIONS_MAX:
            raise BadRequest(f"more than {CONNECTIONS_MAX} connections at once")
        connection = _Connection(self._streams, self._pod, _port(headers.get("port", "")))
        pair = self._pairs[event.stream] = _Pair(connection, event.stream, error)
        pair.task = tasks.create_task(self._serve(pair))

    async def _serve(self, pair: _Pair) -> None:
        """One connection, whose end the client waits for on both streams."""

        async def send(data: bytes) -> None:
            await self._wire.write(self._session.data(pair.data, data))

        problem = ""
        try:
            problem = await pair.connection.run(send)
        finally:
            self._pairs.pop(pair.data, None)
            end = self._session.data(pair.data, is_last=True)
            end += self._session.data(pair.error, problem.encode(), is_last=True)
            await self._wire.write(end)


class _Channels:
    """One connection for each port, each with a channel for data and one for errors."""

    def __init__(self, carrier: Wire, streams: Streams, pod: Pod, ports: list[int]) -> None:
        self._wire = carrier
        self._ports = ports
        self._connections = [_Connection(streams, pod, port) for port in ports]

    async def run(self) -> None:
        """Until all connections have ended, or the client has gone."""
        try:
            async with asyncio.TaskGroup() as tasks:
                serving = [
                    tasks.create_task(self._serve(index)) for index in range(len(self._ports))
                ]
                reading = tasks.create_task(self._read())
                everything = tasks.create_task(asyncio.wait(serving))
                await asyncio.wait((reading, everything), return_when=asyncio.FIRST_COMPLETED)
                for task in (reading, everything, *serving):
                    task.cancel()
        except* (ConnectionError, BadRequest) as gone:
            log.info("forward.client_left", error=str(gone.exceptions[0]))

    async def _read(self) -> None:
        while message := await self._wire.read():
            index, is_error = divmod(message[0], 2)
            if is_error or index >= len(self._connections):
                raise BadRequest(f"there is no channel {message[0]} to write to")
            await self._connections[index].inbox.put((message[1:], False))

    async def _serve(self, index: int) -> None:
        data, error = bytes((2 * index,)), bytes((2 * index + 1,))
        port = self._ports[index].to_bytes(2, "little")
        await self._wire.write(data + port)  # the client pairs channels and ports by these
        await self._wire.write(error + port)
        problem = await self._connections[index].run(lambda piece: self._wire.write(data + piece))
        if problem:
            await self._wire.write(error + problem.encode())
