"""``pods/exec`` and ``pods/attach``: a client's terminal, connected to a container.

Errors that are known before the connection is upgraded are answered as any other; later ones, and
the exit code, go on the error channel. Texts: kubernetes, pkg/registry/core/pod/strategy.go, and
client-go, tools/remotecommand/errorstream.go.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog
from aiohttp import web

from orchestrator.api import resources, wire
from orchestrator.api.call import Call
from orchestrator.api.console import (
    SPDY_PROTOCOLS,
    WEBSOCKET_PROTOCOLS,
    Console,
    SpdyConsole,
    WebSocketConsole,
)
from orchestrator.api.logs import container_of, flag
from proto import codec
from proto.bus.stream import Stream
from proto.errors import BadRequest, LongshoreError, Unavailable
from proto.frames import Channel
from proto.kinds.pod import Pod
from proto.messages import AttachRequest, ExecRequest, StreamOutcome

log = structlog.get_logger()

Request = ExecRequest | AttachRequest


async def execute(call: Call) -> web.StreamResponse:
    """A program beside those of a container."""
    pod = resources.find(call).object
    command = tuple(call.request.query.getall("command", []))
    if not command:
        raise BadRequest("you must specify at least one command for the container")
    asked = ExecRequest(command=command, **_asked(call.request, pod))
    return await _connect(call, pod, asked)


async def attach(call: Call) -> web.StreamResponse:
    """A container's own program."""
    pod = resources.find(call).object
    return await _connect(call, pod, AttachRequest(**_asked(call.request, pod)))


def _asked(request: web.Request, pod: Pod) -> dict[str, Any]:
    query = request.query
    is_tty = flag(query, "tty")
    streams = {
        "has_stdin": flag(query, "stdin"),
        "has_stdout": flag(query, "stdout"),
        "has_stderr": flag(query, "stderr") and not is_tty,  # a terminal has one output
    }
    if not any(streams.values()):
        raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
    container = container_of(pod, query.get("container", ""))
    if not pod.spec.node_name:
        raise BadRequest(f"pod {pod.metadata.name} does not have a host assigned")
    return {"pod_uid": pod.metadata.uid, "container": container, "is_tty": is_tty, **streams}


async def _connect(call: Call, pod: Pod, asked: Request) -> web.StreamResponse:
    request = call.request
    if not wire.is_websocket(request):
        wire.spoken(request, SPDY_PROTOCOLS)  # before anything is started
    async with call.services.streams.open(pod.spec.node_name, asked) as stream:
        if wire.is_websocket(request):
            async with wire.websocket(request, WEBSOCKET_PROTOCOLS) as socket:
                await _relay(WebSocketConsole(socket), stream)
                return socket
        async with wire.upgraded(request, SPDY_PROTOCOLS) as (response, connection):
            console = SpdyConsole(connection)
            if await console.await_streams(_channels(asked)):
                await _relay(console, stream)
            return response


def _channels(asked: Request) -> frozenset[Channel]:
    wanted = {
        Channel.OUTCOME: True,
        Channel.STDIN: asked.has_stdin,
        Channel.STDOUT: asked.has_stdout,
        Channel.STDERR: asked.has_stderr,
    }
    return frozenset(channel for channel, is_wanted in wanted.items() if is_wanted)


async def _relay(console: Console, stream: Stream) -> None:
    """Until the program has ended, or the client has gone; that ends the program."""
    try:
        async with asyncio.TaskGroup() as tasks:
            inward = tasks.create_task(_copy_in(console, stream))
            outward = tasks.create_task(_copy_out(console, stream))
            await asyncio.wait((inward, outward), return_when=asyncio.FIRST_COMPLETED)
            inward.cancel()
            outward.cancel()
        if not outward.cancelled():
            await console.finish(status(outward.result()))
    except* (ConnectionError, BadRequest) as gone:
        log.info("console.client_left", error=str(gone.exceptions[0]))


async def _copy_in(console: Console, stream: Stream) -> None:
    """Until the client has gone, also when nobody takes its input any more."""
    is_taken = True
    while (said := await console.receive()) is not None:
        if is_taken:
            try:
                await stream.send(said.channel, said.data, is_last=said.is_last)
            except Unavailable:
                is_taken = False


async def _copy_out(console: Console, stream: Stream) -> StreamOutcome:
    try:
        while (frame := await stream.receive()) is not None:
            if frame.channel is Channel.OUTCOME:
                return codec.decode(frame.data, StreamOutcome)
            await console.send(frame.channel, frame.data)
    except LongshoreError as error:
        return StreamOutcome(error=str(error))
    return StreamOutcome(error="the node ended the stream without a word")


def status(outcome: StreamOutcome) -> Mapping[str, Any]:
    """What the client is told on the error channel."""
    if outcome.error:
        return {
            "metadata": {},
            "status": "Failure",
            "reason": "InternalError",
            "message": f"Internal error occurred: {outcome.error}",
            "details": {"causes": [{"message": outcome.error}]},
            "code": 500,
        }
    if not outcome.exit_code:
        return {"metadata": {}, "status": "Success"}
    code = str(outcome.exit_code)
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": f"command terminated with exit code {code}",
        "details": {"causes": [{"reason": "ExitCode", "message": code}]},
    }
