"""The API on a port."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import structlog
from aiohttp import web

from orchestrator.api.app import Api
from orchestrator.api.limits import HEADER_BYTES_MAX
from orchestrator.runtime.audit import AuditLog
from orchestrator.runtime.control_plane import ControlPlane

log = structlog.get_logger()

SHUTDOWN_S = 2.0
"""For answers under way, once watches have been ended."""

CONNECTIONS_MAX = 10_000
"""At once; beyond it a client is told to come back, instead of leaving none for etcd and NATS. It
is well below what a daemon gets that asks for it, as ours does: systemd's hard limit of file
descriptors is 524,288, Docker's 1,048,576."""

IDLE_S = 90.0
"""Until a connection is closed on which no whole request came. Source: apiserver, IdleTimeout."""

_FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"


@asynccontextmanager
async def listening(
    plane: ControlPlane,
    host: str,
    port: int,
    clock: Callable[[], int],
    audit: AuditLog | None = None,
) -> AsyncIterator[int]:
    """Answer for a control plane while the context is open; the port, which may be chosen by 0.

    Raises:
        OSError: The address cannot be had.
    """
    api = Api(plane.world, plane.verbs, plane.tokens, plane.streams, plane.usages, clock, audit)
    async with serving(api, host, port) as chosen:
        yield chosen


@asynccontextmanager
async def serving(api: Api, host: str, port: int) -> AsyncIterator[int]:
    """The same for an API of any parts."""
    # Without handler_cancellation a watch outlives its client until the next change.
    runner = web.AppRunner(
        api.build(),
        handler_cancellation=True,
        access_log=None,
        shutdown_timeout=SHUTDOWN_S,
        keepalive_timeout=IDLE_S,
        max_line_size=HEADER_BYTES_MAX,
        max_field_size=HEADER_BYTES_MAX,
    )
    await runner.setup()
    server = runner.server
    assert server is not None  # noqa: S101  it is set up
    listener: asyncio.Server | None = None
    try:
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(lambda: _Door(server), host, port)
        chosen: int = listener.sockets[0].getsockname()[1]
        log.info("api.listening", host=host, port=chosen)
        yield chosen
    finally:
        if listener is not None:
            listener.close()
        await runner.cleanup()


class _Door(asyncio.Protocol):
    """Hands a new connection to the server, if there are not too many."""

    def __init__(self, server: web.Server) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if len(self._server.connections) < CONNECTIONS_MAX:
            handler = self._server()
            transport.set_protocol(handler)
            handler.connection_made(transport)
        else:
            cast("asyncio.Transport", transport).write(_FULL)
            transport.close()
