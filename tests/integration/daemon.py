"""The orchestrator as a process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from tests import servers

NAMESPACES = "/api/v1/namespaces"
PATIENCE_S = 30.0


@asynccontextmanager
async def orchestrator(
    etcd: servers.Server, nats: servers.Server, *flags: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """One that leads, and its URL."""
    port = servers.free_port()
    argv = [f"--etcd={etcd.url}", f"--nats={nats.url}", f"--port={port}", *flags]
    process = await asyncio.create_subprocess_exec(
        servers.binary("orchestrator"), *argv, stdout=asyncio.subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession() as http, asyncio.timeout(PATIENCE_S):
            while not await _leads(http, url):
                await asyncio.sleep(0.05)
        yield process, url
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _leads(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(f"{url}{NAMESPACES}/default") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False
