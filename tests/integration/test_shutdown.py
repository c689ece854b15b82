"""The orchestrator as a process: what it was asked before it is told to stop, it still does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests import servers

pytestmark = pytest.mark.integration

NAMESPACES = "/api/v1/namespaces"
WRITERS = 50
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


async def test_writes_under_way_are_made_and_watches_end_well_when_it_stops(tmp_path: Path):
    log = tmp_path / "audit.log"
    made: list[str] = []
    refused: list[int] = []

    async def write(http: aiohttp.ClientSession, url: str, writer: int) -> None:
        """Until nobody answers any more."""
        for number in range(100_000):
            name = f"n{writer}-{number}"
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            try:
                async with http.post(url + NAMESPACES, json=body) as response:
                    await response.read()
            except aiohttp.ClientError:
                return
            if response.status == 201:
                made.append(name)
            else:
                refused.append(response.status)

    async with (
        servers.etcd() as etcd,
        servers.nats() as nats,
        orchestrator(etcd, nats, f"--audit-log={log}") as (process, url),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
        asyncio.timeout(PATIENCE_S),
    ):
        watch = await http.get(f"{url}{NAMESPACES}?watch=1", timeout=aiohttp.ClientTimeout())
        async with asyncio.TaskGroup() as tasks:
            for writer in range(WRITERS):
                tasks.create_task(write(http, url, writer))
            while len(made) < 2 * WRITERS:
                await asyncio.sleep(0.01)
            process.terminate()
            assert (await watch.read()).endswith(b"}\n")  # a last chunk, and no reset
        assert await process.wait() == 0
        assert refused == []
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    answered = {
        line["objectRef"]["name"] for line in lines if line["responseStatus"].get("code") == 201
    }
    assert answered >= set(made)
