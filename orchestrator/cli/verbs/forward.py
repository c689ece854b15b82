"""`longshore port-forward`: local ports that lead to ports of a pod.

Each connection has a WebSocket of its own: channel 0 for data, 1 for what went wrong, and the port
as the first message of each. Where a workload or a service is meant, a connection that comes after
its pod has gone goes to another one.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

from msgspec import Struct

from orchestrator.cli.client import Json
from orchestrator.cli.refused import Refused, ServerRefused
from orchestrator.cli.resources import select
from orchestrator.cli.session import Session
from orchestrator.cli.verbs.execution import interruptible
from orchestrator.cli.verbs.pods import phase, pod_of
from orchestrator.cli.websocket import Socket
from proto.errors import LongshoreError

PROTOCOL = "v4.channel.k8s.io"
DATA, ERROR = 0, 1
CHUNK = 32 * 1024

LINGER_S = 30.0
"""For the pod to answer after the local side has ended: this protocol knows no half-close."""


class Port(Struct, frozen=True):
    """What is forwarded.

    Attributes:
        local: 0 for any that is free.
        remote: A number, or the name of a port of the pod or service.
    """

    local: int
    remote: str


def parse_port(text: str) -> Port:
    """``REMOTE``, ``LOCAL:REMOTE`` or ``:REMOTE``.

    Raises:
        Refused: It is none.

    >>> parse_port("8080"), parse_port(":80"), parse_port("5000:http")
    (Port(local=8080, remote='8080'), Port(local=0, remote='80'), Port(local=5000, remote='http'))
    """
    local, colon, remote = text.partition(":")
    if not colon:
        remote = local
    if not remote or (local and not local.isdigit()) or int(local or 0) > 65_535:
        raise Refused(f"{text!r} is no port", hint="8080, 5000:8080 or :8080")
    return Port(int(local or 0), remote)


async def forward(
    session: Session, word: str, ports: Sequence[str], addresses: Sequence[str]
) -> None:
    """Until the user has had enough."""
    parsed = [parse_port(text) for text in ports]
    if not parsed:
        raise Refused("name at least one port", hint=f"longshore port-forward {word} 8080:80")
    target = _Target(session, word)
    await target.find()
    async with contextlib.AsyncExitStack() as stack:
        connections = await stack.enter_async_context(_Connections.some(session, target))
        for port in parsed:
            remote, local = await target.port(port.remote), port.local
            for address in addresses:
                server = await _listening(connections.taker(remote), address, local)
                stack.callback(server.close)
                local = server.sockets[0].getsockname()[1]
                shown = f"[{address}]" if ":" in address else address
                session.screen.say(f"Forwarding from {shown}:{local} -> {remote}")
        with interruptible():
            await asyncio.Event().wait()


Take = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]


class _Connections:
    """Those that are open; all end with the context."""

    def __init__(self, session: Session, target: "_Target", group: asyncio.TaskGroup) -> None:
        self._session = session
        self._target = target
        self._group = group
        self._open: set[asyncio.Task[None]] = set()

    @classmethod
    @contextlib.asynccontextmanager
    async def some(cls, session: Session, target: "_Target") -> AsyncIterator["_Connections"]:
        """None yet."""
        async with asyncio.TaskGroup() as group:
            connections = cls(session, target, group)
            try:
                yield connections
            finally:
                for task in connections._open:
                    task.cancel()

    def taker(self, remote: int) -> Take:
        """What a listening socket calls for each connection to that port of the pod."""

        def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            serving = _serve(self._session, self._target, remote, reader, writer)
            task = self._group.create_task(serving)
            self._open.add(task)
            task.add_done_callback(self._open.discard)

        return take


class _Target:
    """The pod that connections go to."""

    def __init__(self, session: Session, word: str) -> None:
        self._session = session
        self._word = word
        self._pod: Json = {}

    async def find(self) -> None:
        """Choose one.

        Raises:
            Refused: None runs.
        """
        pod = await pod_of(self._session, self._word)
        if phase(pod) != "Running":
            raise Refused(
                f"unable to forward port because pod is not running. Current status={phase(pod)}",
                hint=f"longshore describe pod {pod['metadata']['name']}",
            )
        self._pod = pod

    async def path(self) -> str:
        """Of its port-forward."""
        pods = (await self._session.client.types()).of_kind("v1", "Pod")
        metadata = self._pod["metadata"]
        return pods.path(metadata["namespace"], metadata["name"], "portforward")

    async def port(self, remote: str) -> int:
        """The container's port behind a number or a name, or behind a service's port.

        Raises:
            Refused: There is no such port.
        """
        wanted = remote
        if "/" in self._word:
            types = await self._session.client.types()
            [selection] = select([self._word], types)
            if selection.type.kind == "Service":
                path = selection.type.path(self._session.namespace, selection.names[0])
                service = await self._session.client.get(path)
                wanted = _target_port(service, remote)
        if wanted.isdigit():
            return int(wanted)
        for container in self._pod["spec"]["containers"]:
            for port in container.get("ports") or ():
                if port.get("name") == wanted:
                    return int(port["containerPort"])
        raise Refused(f"{self._word} has no port named {remote!r}")


def _target_port(service: Json, remote: str) -> str:
    for port in service["spec"].get("ports") or ():
        if remote in (str(port["port"]), port.get("name")):
            return str(port.get("targetPort") or port["port"])
    raise Refused(f"service {service['metadata']['name']} does not have a service port {remote}")


async def _listening(take: Take, address: str, port: int) -> asyncio.Server:
    try:
        return await asyncio.start_server(take, address, port)
    except OSError as error:
        raise Refused(
            f"unable to listen on port {port} of {address}: {error.strerror}",
            hint="another local port: 5000:80, or :80 for any that is free",
        ) from None


async def _serve(
    session: Session,
    target: _Target,
    remote: int,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """One connection; what goes wrong with it is told, and ends it alone."""
    port = writer.get_extra_info("sockname")[1]
    session.screen.say(f"Handling connection for {port}")
    try:
        try:
            await _carried(session, await target.path(), remote, reader, writer)
        except ServerRefused as error:
            if error.code != 404:
                raise
            await target.find()
            await _carried(session, await target.path(), remote, reader, writer)
    except* (LongshoreError, OSError) as errors:
        session.screen.tell(f"error: forwarding {port} -> {remote}: {errors.exceptions[0]}")
    finally:
        writer.close()


async def _carried(
    session: Session,
    path: str,
    remote: int,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    params = {"ports": str(remote)}
    async with (
        session.client.websocket(path, params, PROTOCOL) as socket,
        asyncio.TaskGroup() as group,
    ):
        down = group.create_task(_down(socket, writer))
        up = group.create_task(_up(socket, reader))
        await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        if not down.done():
            await asyncio.wait((down,), timeout=LINGER_S)
        up.cancel()
        down.cancel()


async def _up(socket: Socket, reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(CHUNK):
            await socket.send(DATA, chunk)


async def _down(socket: Socket, writer: asyncio.StreamWriter) -> None:
    """Until the pod has said all.

    Raises:
        Refused: The pod's port does not take connections.
    """
    opened: set[int] = set()
    with contextlib.suppress(ConnectionError):
        while True:
            channel, content = await socket.receive()
            if channel not in opened:
                opened.add(channel)  # the first message of each is the port
            elif channel == ERROR and content:
                raise Refused(content.decode(errors="replace").strip())
            elif content:
                writer.write(content)
                await writer.drain()
