"""Puts a question to a container, or tells it something. Rules and words: the kubelet, pkg/probe.

An HTTP answer from 200 to 399 is good, and so is a connection, a program that exits with 0, and a
gRPC health service that answers SERVING. Each question ends within its own timeout.
"""

import asyncio
import os
from typing import TYPE_CHECKING, assert_never

import aiohttp
from msgspec import Struct
from yarl import URL

from node_agent.core import question as questions
from node_agent.core.question import Question
from node_agent.engine import Console, Engine, ExecOptions
from proto.errors import LongshoreError
from proto.kinds.handler import (
    ExecAction,
    GRPCAction,
    HTTPGetAction,
    SleepAction,
    TCPSocketAction,
)

if TYPE_CHECKING:
    from grpc.aio import AioRpcError

REDIRECTS_MAX = 10
"""Followed on the same host. Source: Go, net/http."""

OUTPUT_BYTES_MAX = 10_240
"""Of a program's output, to tell of its failure. Source: kubelet, maxReadLength."""

USER_AGENT = "kube-probe/1.32"
"""Programs tell probes from users by it."""


ENGINE_PATIENCE_S = 1.0
"""For an engine to say that it is there, after it ran a probe's program for too long."""


class Outcome(Struct, frozen=True):
    """Whether the answer was good, and what to tell people where it was not.

    Attributes:
        is_success: None: the engine could not ask, which says nothing of the container.
    """

    is_success: bool | None
    text: str = ""


class Checks:
    """Asks. Holds one HTTP client, made when first needed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._http: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Let go of the client."""
        if self._http is not None:
            await self._http.close()

    async def ask(self, question: Question) -> Outcome:
        """One question; every way for it not to be answered is a failure."""
        try:
            async with asyncio.timeout(question.timeout_s):
                match question.handler:
                    case ExecAction() as action:
                        return await self._execute(question, action)
                    case HTTPGetAction() as action:
                        return await self._get(question, action)
                    case TCPSocketAction() as action:
                        return await _connect(question, action)
                    case GRPCAction() as action:
                        return await _ask_grpc(question, action)
                    case SleepAction(seconds=seconds):
                        await asyncio.sleep(seconds)
                        return Outcome(is_success=True)
                    case handler:
                        assert_never(handler)
        except TimeoutError:
            is_asked = not isinstance(question.handler, ExecAction) or await self._has_engine()
            return Outcome(is_success=False if is_asked else None, text=_late(question))

    async def _has_engine(self) -> bool:
        """Whether it was not the engine that hung."""
        try:
            async with asyncio.timeout(ENGINE_PATIENCE_S):
                await self._engine.ping()
        except (TimeoutError, LongshoreError):
            return False
        return True

    async def _execute(self, question: Question, action: ExecAction) -> Outcome:
        options = ExecOptions(command=action.command)
        try:
            console = await self._engine.execute(question.container_id, options)
            try:
                said = await _output(console)
                code = await console.exit_code()
            finally:
                await console.close()
        except LongshoreError as error:
            return Outcome(is_success=None, text=str(error))
        return Outcome(code == 0, said or f"command terminated with exit code {code}")

    async def _get(self, question: Question, action: HTTPGetAction) -> Outcome:
        port = questions.port(question.spec, action.port)
        if port is None:
            return _no_port(question, action.port)
        headers = {"User-Agent": USER_AGENT, "Accept": "*/*"}
        headers |= {header.name: header.value for header in action.http_headers}
        url = _url(action, action.host or question.address, port)
        try:
            for _ in range(REDIRECTS_MAX):
                async with self._client().get(
                    url, headers=headers, allow_redirects=False
                ) as answer:
                    goes_to = _redirection(url, answer)
                if goes_to is None:
                    break
                url = goes_to
            else:
                return Outcome(is_success=False, text=f"stopped after {REDIRECTS_MAX} redirects")
        except (aiohttp.ClientError, ValueError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            return Outcome(is_success=False, text=f'Get "{url}": {error}')
        is_good = question.is_any_answer_good or 200 <= answer.status < 400
        return Outcome(is_good, f"HTTP probe failed with statuscode: {answer.status}")

    def _client(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=False, force_close=True, limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._http


async def _output(console: Console) -> str:
    said = b""
    while (piece := await console.read()) is not None:
        said += piece.data[: OUTPUT_BYTES_MAX - len(said)]
    return said.decode(errors="replace").strip()


def _url(action: HTTPGetAction, host: str, port: int) -> URL:
    """The path may hold a query, and signs that are escaped already."""
    rooted = action.path if action.path.startswith("/") else f"/{action.path}"
    named = f"[{host}]" if ":" in host else host
    return URL(f"{action.scheme.lower()}://{named}:{port}{rooted}")


def _redirection(url: URL, answer: aiohttp.ClientResponse) -> URL | None:
    """Where the question goes next; an answer that points to another host is good as it is."""
    location = answer.headers.get("Location")
    if answer.status not in (301, 302, 303, 307, 308) or not location:
        return None
    goes_to = url.join(URL(location))
    return goes_to if goes_to.host == url.host else None


async def _connect(question: Question, action: TCPSocketAction) -> Outcome:
    port = questions.port(question.spec, action.port)
    if port is None:
        return _no_port(question, action.port)
    host = action.host or question.address
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        if isinstance(error, TimeoutError):
            raise
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        text = f"dial tcp {host}:{port}: connect: {reason}"
        return Outcome(is_success=False, text=text)
    writer.close()
    return Outcome(is_success=True)


async def _ask_grpc(question: Question, action: GRPCAction) -> Outcome:
    # Here, since it costs an agent 20 MB that most never need.
    from grpc import StatusCode, aio  # noqa: PLC0415
    from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: PLC0415

    async with aio.insecure_channel(f"{question.address}:{action.port}") as channel:
        request = health_pb2.HealthCheckRequest(service=action.service)
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(request)
        except aio.AioRpcError as error:
            return Outcome(is_success=False, text=_rpc_failed(error, StatusCode.UNIMPLEMENTED))
    if answer.status == health_pb2.HealthCheckResponse.SERVING:
        return Outcome(is_success=True)
    name = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return Outcome(is_success=False, text=f'service unhealthy (responded with "{name}")')


def _rpc_failed(error: "AioRpcError", unimplemented: object) -> str:
    if error.code() is unimplemented:
        return (
            "error: this server does not implement the grpc health api "
            f"(grpc.health.v1.Health): {error.details()}"
        )
    return f"error: health rpc probe failed: {error.details()}"


def _no_port(question: Question, named: int | str) -> Outcome:
    text = f'container "{question.spec.name}" has no port of the name "{named}"'
    return Outcome(is_success=False, text=text)


def _late(question: Question) -> str:
    address, seconds = question.address, question.timeout_s
    match question.handler:
        case ExecAction(command=command):
            return f'command "{" ".join(command)}" timed out after {seconds}s'
        case HTTPGetAction(port=named):
            return f"no answer from {address}:{named} within {seconds}s"
        case TCPSocketAction(port=named):
            return f"dial tcp {address}:{named}: i/o timeout after {seconds}s"
        case GRPCAction():
            return f"timeout: health rpc did not complete within {seconds}s"
        case SleepAction():
            return f"the pause is longer than the {seconds}s that were left"
        case handler:
            assert_never(handler)
