"""A large file through exec, and the memory it costs the processes on its way."""

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path

import aiohttp
from msgspec import Struct

MIB = 1 << 20
LARGE = "/tmp/large"
SEED = "/tmp/seed"
SAMPLE_S = 0.02
STDOUT, OUTCOME = 1, 3

PROCESSES = ("orchestrator", "node-1", "nats-server")
"""Of an embedded cluster, that the bytes go through."""


class Pulled(Struct, frozen=True):
    """What arrived.

    Attributes:
        status: How the program ended, as the API says it.
        grown_mib: How much each process grew beyond what it had before, at its most.
    """

    size: int
    sha256: str
    took_s: float
    status: str
    grown_mib: Mapping[str, float]


def making(size_mib: int) -> str:
    """Shell that makes a file whose parts differ, and prints its SHA-256."""
    return (
        f"seq 1000000 8000000 | head -c {16 * MIB} > {SEED}; "
        f"for i in $(seq {size_mib // 16}); do cat {SEED}; done > {LARGE}; "
        f"rm {SEED}; sha256sum {LARGE}"
    )


async def shell(server: str, pod: str, script: str) -> str:
    """What a script prints in a pod's container."""
    asked = [("command", word) for word in ("sh", "-c", script)]
    url = f"{server}{pod}/exec"
    said = b""
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(
            url, params=[*asked, ("stdout", "true")], protocols=["v5.channel.k8s.io"]
        ) as channels,
    ):
        async for frame in channels:
            if frame.data[0] == STDOUT:
                said += frame.data[1:]
    return said.decode()


def resident_mib(data: Path, process: str) -> float:
    """Memory of a process of the embedded cluster in that folder."""
    pid = (data / "pids" / f"{process}.pid").read_text().strip()
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


async def pull(server: str, pod: str, data: Path, *, pauses_s: float = 0) -> Pulled:
    """``cat`` the large file of a pod's container through the API.

    Args:
        server: Of the API.
        pod: Its path.
        data: The embedded cluster's folder.
        pauses_s: How long the reader sleeps after each tenth of a second's reading, if at all.
    """
    before = {name: resident_mib(data, name) for name in PROCESSES}
    most = dict(before)

    async def look() -> None:
        while True:
            for name in PROCESSES:
                most[name] = max(most[name], resident_mib(data, name))
            await asyncio.sleep(SAMPLE_S)

    url = f"{server}{pod}/exec?command=cat&command={LARGE}&stdout=true"
    digest, size, status = hashlib.sha256(), 0, ""
    began_s = rested_s = time.perf_counter()
    async with (
        aiohttp.ClientSession() as http,
        asyncio.TaskGroup() as tasks,
        http.ws_connect(url, protocols=["v5.channel.k8s.io"], max_msg_size=0) as channels,
    ):
        looking = tasks.create_task(look())
        async for frame in channels:
            if frame.data[0] == STDOUT:
                digest.update(memoryview(frame.data)[1:])
                size += len(frame.data) - 1
            elif frame.data[0] == OUTCOME:
                status = json.loads(frame.data[1:])["status"]
            if pauses_s and time.perf_counter() - rested_s > 0.1:
                await asyncio.sleep(pauses_s)
                rested_s = time.perf_counter()
        took_s = time.perf_counter() - began_s
        looking.cancel()
    grown = {name: most[name] - before[name] for name in PROCESSES}
    return Pulled(size, digest.hexdigest(), took_s, status, grown)
