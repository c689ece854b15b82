"""The page's server: its files, its state as it changes, explanations, and reads of the API."""

import asyncio
import contextlib
import errno
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import httpx
from aiohttp import hdrs, web

from orchestrator.cli.client import Client, Json
from orchestrator.cli.connection import translated
from orchestrator.cli.mirror import Mirror, mirrored
from orchestrator.cli.overview import ControlPlane, Usage, overview
from orchestrator.cli.refused import Refused, ServerRefused, first_of
from orchestrator.cli.ui import guard
from orchestrator.cli.ui.picture import picture
from orchestrator.cli.verbs.status import control_plane, usage_of_nodes
from orchestrator.cli.verbs.why import logs_of, now_ms
from orchestrator.cli.why import Explanation, explain
from orchestrator.cli.why.pods import explain_gone_pod
from proto import codec
from proto.errors import LongshoreError
from proto.kinds.pod import Pod
from proto.meta import Resource

PAGE = Path(__file__).parent / "page"

HOST = "127.0.0.1"

DRAW_EVERY_S, LOOK_EVERY_S = 0.25, 2.0
"""A change is seen within the first; ages and back-offs, without one, within the second."""

MEASURE_EVERY_S = 5.0
"""The control plane's answer and the nodes' usage. Source: metrics-server, 15 s."""

SILENCE_S_MAX = 15.0
"""After that much quiet a stream says that it is there: a browser then notices a lost one."""

TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing from elsewhere, nothing inline: what a pod writes can never become a program here."""

DATA_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"
"""Of what comes from the API: data, whatever it says that it is."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

PASSED = ("Content-Type", "Retry-After", "Warning")
"""Of an answer's headers."""


_FIELDS = {
    "pod": "pods",
    "node": "nodes",
    "deploy": "deployments",
    "rs": "replica_sets",
    "rc": "replication_controllers",
    "sts": "stateful_sets",
    "ds": "daemon_sets",
    "job": "jobs",
}
"""Kinds as the page's addresses name them, by their field of `Seen`."""


class Live:
    """The state as it is now, made once for all who look, and only while somebody does."""

    def __init__(self, client: Client, mirror: Mirror) -> None:
        self._client = client
        self._mirror = mirror
        self._plane = ControlPlane(server=client.server, version="", latency_ms=0)
        self._usage: Usage = {}
        self._measured_s = 0.0
        self._changed = asyncio.Condition()
        self._viewers = 0
        self._current = b""

    async def run(self) -> None:
        """Keep it up to date, until cancelled."""
        looks = self._mirror.changes(at_most_every_s=DRAW_EVERY_S, at_least_every_s=LOOK_EVERY_S)
        async for seen in looks:
            if not self._viewers:
                continue
            behind = self._mirror.problem
            if time.monotonic() - self._measured_s >= MEASURE_EVERY_S and not behind:
                behind = await self._measure()
            now = overview(seen, self._plane, self._usage)
            state = codec.encode(picture(seen, now, behind))
            async with self._changed:
                self._current = state
                self._changed.notify_all()

    async def _measure(self) -> str:
        try:
            with translated(self._client.server):
                self._plane = await control_plane(self._client)
                self._usage = await usage_of_nodes(self._client)
        except LongshoreError as error:
            return str(error)
        self._measured_s = time.monotonic()
        return ""

    async def explained(self, kind: str, namespace: str, name: str) -> Explanation | None:
        """Why an object is as it is; None when it is not there."""
        seen = self._mirror.seen()
        every: Sequence[Resource] = getattr(seen, _FIELDS[kind]) if kind in _FIELDS else ()
        for found in every:
            if (found.metadata.namespace, found.metadata.name) == (namespace, name):
                looked_at = [found] if isinstance(found, Pod) else seen.pods_of(found)
                logs = await logs_of(self._client, looked_at)
                return explain(found, replace(seen, logs=logs))
        return explain_gone_pod(namespace, name, seen) if kind == "pod" else None

    async def states(self) -> AsyncGenerator[bytes, None]:
        """The present state, then each later one; empty bytes when it was quiet for long."""
        self._viewers += 1
        self._mirror.ring()  # what was made for an earlier viewer is old
        try:
            while True:
                async with self._changed:
                    try:
                        async with asyncio.timeout(SILENCE_S_MAX):
                            await self._changed.wait()
                        state = self._current
                    except TimeoutError:
                        state = b""
                yield state
        finally:
            self._viewers -= 1


class Server:
    """The application.

    Args:
        client: With the user's credentials.
        live: The state.
        port: That it listens on.
    """

    def __init__(self, client: Client, live: Live, port: int) -> None:
        self._client = client
        self._live = live
        self._port = port

    def build(self) -> web.Application:
        """For a runner with ``handler_cancellation``."""
        app = web.Application(middlewares=[self._guarded])
        app.router.add_get("/", self._page)
        app.router.add_get("/page/{name}", self._page)
        app.router.add_get("/live", self._stream)
        app.router.add_get("/why/{kind}/{namespace}/{name}", self._why)
        app.router.add_route("*", r"/{path:[\s\S]*}", self._proxy)
        return app

    @web.middleware
    async def _guarded(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        asked = guard.Asked(
            method=request.method,
            path=request.raw_path,
            host=request.headers.get(hdrs.HOST, ""),
            origin=request.headers.get(hdrs.ORIGIN, ""),
            fetch_site=request.headers.get("Sec-Fetch-Site", ""),
        )
        if why := guard.refusal(asked, self._port):
            return _said(403, "Forbidden", why)
        try:
            with translated(self._client.server):
                return await handler(request)
        except ServerRefused as error:
            return _said(error.code, error.reason, error.message)
        except LongshoreError as error:
            return _said(502, "Unavailable", str(error))

    async def _page(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info.get("name", "index.html")
        file = next((one for one in PAGE.iterdir() if one.name == name), None)
        if file is None:
            return _said(404, "NotFound", f"the page has no {name}")
        return web.Response(
            body=file.read_bytes(),
            content_type=TYPES[file.suffix],
            charset="utf-8",
            headers=HEADERS,
        )

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events, each one whole state."""
        response = web.StreamResponse(headers=HEADERS | {"Content-Type": "text/event-stream"})
        await response.prepare(request)
        async with contextlib.aclosing(self._live.states()) as states:
            async for state in states:
                await response.write(b"data: %b\n\n" % state if state else b": still here\n\n")
        return response

    async def _why(self, request: web.Request) -> web.StreamResponse:
        kind, namespace, name = (request.match_info[key] for key in ("kind", "namespace", "name"))
        found = await self._live.explained(kind, "" if namespace == "-" else namespace, name)
        if found is None:
            return _said(404, "NotFound", f"{kind} {name} is not there")
        return _data(codec.encode(found))

    async def _proxy(self, request: web.Request) -> web.StreamResponse:
        """A read of the API, as it comes."""
        path = guard.proxied_path(request.raw_path.partition("?")[0])
        if path is None:
            return _said(404, "NotFound", "there is nothing at this path")
        async with self._client.reading(
            path, request.query, accept=request.headers.get(hdrs.ACCEPT, "*/*")
        ) as answer:
            passed = {name: answer.headers[name] for name in PASSED if name in answer.headers}
            response = web.StreamResponse(status=answer.status_code, headers=_DATA_HEADERS | passed)
            await response.prepare(request)
            try:
                async for chunk in answer.aiter_bytes():
                    await response.write(chunk)
            except httpx.HTTPError:
                if request.transport is not None:
                    request.transport.abort()  # it broke: there can be no second answer
        return response


_DATA_HEADERS = HEADERS | {"Content-Security-Policy": DATA_POLICY}


def _data(body: bytes, status: int = 200) -> web.Response:
    return web.Response(
        body=body, status=status, content_type="application/json", headers=_DATA_HEADERS
    )


def _said(code: int, reason: str, message: str) -> web.Response:
    """As the API says it."""
    status: Json = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }
    return _data(codec.encode(status), code)


@contextlib.asynccontextmanager
async def serving(client: Client, port: int) -> AsyncGenerator[str, None]:
    """The page at an address, for the length of the block.

    Args:
        client: Of the cluster.
        port: 0 for any that is free.

    Raises:
        Refused: The port is taken.
    """
    try:
        async with mirrored(client, now_ms) as mirror, asyncio.TaskGroup() as tasks:
            live = Live(client, mirror)
            running = tasks.create_task(live.run())
            try:
                async with _listening(client, live, port) as address:
                    yield address
            finally:
                running.cancel()
    except* LongshoreError as group:
        raise first_of(group) from None


@contextlib.asynccontextmanager
async def _listening(client: Client, live: Live, port: int) -> AsyncGenerator[str, None]:
    try:
        listener = socket.create_server((HOST, port))
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise Refused(
            f"port {port} cannot be had: {error.strerror}", hint="longshore ui --port 0 takes any"
        ) from None
    port = listener.getsockname()[1]
    app = Server(client, live, port).build()
    # A page that was closed ends its streams at once, and so do we.
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.5, access_log=None)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield f"http://{HOST}:{port}/"
    finally:
        await runner.cleanup()


async def serve(client: Client, port: int, arrived: Callable[[str], None]) -> None:
    """Serve the page until cancelled.

    Args:
        client: Of the cluster.
        port: 0 for any that is free.
        arrived: Called with the page's address.
    """
    async with serving(client, port) as address:
        arrived(address)
        await asyncio.Event().wait()
