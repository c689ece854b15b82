"""The orchestrator as a process: what it was asked before it is told to stop, it still does."""

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from tests import servers
from tests.integration.daemon import NAMESPACES, PATIENCE_S, orchestrator

pytestmark = pytest.mark.integration

WRITERS = 50


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
