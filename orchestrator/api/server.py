"""The API on a port."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
from aiohttp import web

from orchestrator.api.app import Api
from orchestrator.runtime.control_plane import ControlPlane

log = structlog.get_logger()

SHUTDOWN_S = 2.0
"""For answers under way, once watches have been ended."""


@asynccontextmanager
async def listening(
    plane: ControlPlane, host: str, port: int, clock: Callable[[], int]
) -> AsyncIterator[int]:
    """Answer for a control plane while the context is open; the port, which may be chosen by 0.

    Raises:
        OSError: The address cannot be had.
    """
    api = Api(plane.world, plane.verbs, plane.tokens, plane.streams, clock)
    async with serving(api, host, port) as chosen:
        yield chosen


@asynccontextmanager
async def serving(api: Api, host: str, port: int) -> AsyncIterator[int]:
    """The same for an API of any parts."""
    # Without handler_cancellation a watch outlives its client until the next change.
    runner = web.AppRunner(
        api.build(), handler_cancellation=True, access_log=None, shutdown_timeout=SHUTDOWN_S
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        chosen: int = runner.addresses[0][1]
        log.info("api.listening", host=host, port=chosen)
        yield chosen
    finally:
        await runner.cleanup()
