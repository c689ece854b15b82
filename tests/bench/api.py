"""How fast the API answers: one reader, many readers, large lists, many watchers, many writers.

The clients run beside the cluster on the same machine and take their share of it.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median, quantiles
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from tests.bench import raw, start
from tests.bench.embedded import embedded
from tests.bench.figures import Figure
from tests.e2e.kubeapi import CORE, KubeApi, Object, name_of, pod
from tests.e2e.testbed import Testbed
from tests.e2e.waiting import eventually, stopwatch

PODS = 10_000
WRITERS = 100
WRITES_PER_S = 500
PACED = PODS // 2
WARM_UP = 1_000
"""Paced writes that do not count: two seconds in which everything is done for the first time."""
READERS = 16
READS = 8_000
LISTS = 9
WATCHERS = 1_000
CHANGES = 11
EXECS = 40

PODS_PATH = f"{CORE}/pods"
MERGE = "application/merge-patch+json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def measure(testbed: Testbed) -> list[Figure]:
    """An embedded cluster with 10,000 pods that no scheduler takes."""
    host = testbed.hosts[0]
    testbed.repair()
    testbed.wipe()
    with embedded(testbed, host.engine) as api:
        start.await_calm(host.engine)  # or its pool of sandboxes is filled beside
        found = _exec(api, str(host.engine.socket_path))
        start.await_calm(host.engine)
        found += asyncio.run(_load(api.server))
    return found


async def _load(server: str) -> list[Figure]:
    # The writes are measured while there is next to nothing, the paced ones before the flood that
    # leaves work behind; and again they make what is listed.
    return [
        await _paced_writes(server),
        *await _writes(server),
        *await _reads(server),
        *await _lists(server),
        await _fan_out(server),
    ]


class _Connection:
    """HTTP/1.1 kept alive, with no more work than it takes: the server is what is measured."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, server: str) -> "_Connection":
        address = urlsplit(server)
        assert address.hostname is not None
        return cls(*await asyncio.open_connection(address.hostname, address.port, limit=2**26))

    def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        accept: str = "*/*",
        type_: str = "application/json",
    ) -> None:
        self._writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAccept: {accept}\r\n"
            f"Content-Type: {type_}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )

    async def status(self) -> tuple[int, dict[str, str]]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = (line.partition(": ") for line in head[1:] if line)
        return int(head[0].split()[1]), {name.lower(): value for name, _, value in fields}

    async def ask(self, method: str, path: str, body: bytes = b"", **how: str) -> bytes:
        self.send(method, path, body, **how)
        status, headers = await self.status()
        found = await self.reader.readexactly(int(headers["content-length"]))
        assert status < 300, (method, path, status, found[:500])
        return found

    def close(self) -> None:
        self._writer.close()


async def _writes(server: str) -> list[Figure]:
    """5,000 creates by 100 clients, each with one under way at a time."""
    count = PODS - PACED
    names = iter(range(count))
    took_ms: list[float] = []

    async def write(connection: _Connection) -> None:
        for number in names:
            body = _unscheduled(f"p{number:05}")
            elapsed = stopwatch()
            await connection.ask("POST", PODS_PATH, body)
            took_ms.append(1000 * elapsed())

    elapsed = stopwatch()
    await _side_by_side(server, WRITERS, write)
    took_s = elapsed()
    p50_ms, p99_ms = _p50_p99(took_ms)
    how = f"{count:,} creates, {WRITERS} clients that never pause: the queue of one busy core"
    return [
        Figure(section="api", name="saturated: write p99", measured=p99_ms, unit="ms", note=how),
        Figure(section="api", name="saturated: write p50", measured=p50_ms, unit="ms", note=how),
        Figure(
            section="api", name="saturated: writes", measured=count / took_s, unit="per s", note=how
        ),
    ]


async def _paced_writes(server: str) -> Figure:
    """500 creates a second by 100 clients, each timed from the moment it was due."""
    due = enumerate(range(PODS - PACED, PODS))
    took_ms: list[float] = []
    began_s = time.perf_counter()

    async def write(connection: _Connection) -> None:
        for turn, number in due:
            body = _unscheduled(f"p{number:05}")
            due_s = began_s + turn / WRITES_PER_S
            await asyncio.sleep(due_s - time.perf_counter())
            await connection.ask("POST", PODS_PATH, body)
            if turn >= WARM_UP:
                took_ms.append(1000 * (time.perf_counter() - due_s))

    await _side_by_side(server, WRITERS, write)
    p50_ms, p99_ms = _p50_p99(took_ms)
    return Figure(
        section="api",
        name=f"write p99, {WRITES_PER_S} a second",
        measured=p99_ms,
        unit="ms",
        goal=15,
        note=f"{WRITERS} clients, from when each was due; p50 {p50_ms:.1f} ms; warm, embedded etcd",
    )


def _unscheduled(name: str) -> bytes:
    manifest: Object = pod(name)
    manifest["spec"]["schedulerName"] = "nobody"
    return json.dumps(manifest).encode()


async def _reads(server: str) -> list[Figure]:
    """GET of one pod: by one client for its latency, by some for the rate."""
    path = f"{PODS_PATH}/p00000"
    took_ms: list[float] = []

    async def read(connection: _Connection) -> None:
        for _ in range(READS // 4):
            elapsed = stopwatch()
            await connection.ask("GET", path)
            took_ms.append(1000 * elapsed())

    await _side_by_side(server, 1, read)
    p50_ms, p99_ms = _p50_p99(took_ms)
    left = iter(range(READS))

    async def read_one_of_many(connection: _Connection) -> None:
        for _ in left:
            await connection.ask("GET", path)

    elapsed = stopwatch()
    await _side_by_side(server, READERS, read_one_of_many)
    rate = READS / elapsed()
    return [
        Figure(section="api", name="GET p50", measured=p50_ms, unit="ms", note="one client"),
        Figure(section="api", name="GET p99", measured=p99_ms, unit="ms", note="one client"),
        Figure(section="api", name="GET", measured=rate, unit="per s", note=f"{READERS} clients"),
    ]


async def _lists(server: str) -> list[Figure]:
    connection = await _Connection.open(server)
    found = []
    for name, accept, goal in (
        ("JSON", "application/json", 150),
        ("a Table", TABLE, 300),
    ):
        took_ms = []
        for _ in range(LISTS):
            elapsed = stopwatch()
            size = len(await connection.ask("GET", PODS_PATH, accept=accept))
            took_ms.append(1000 * elapsed())
        found.append(
            Figure(
                section="api",
                name=f"list of {PODS:,} pods as {name}",
                measured=median(took_ms),
                unit="ms",
                goal=goal,
                runs=tuple(took_ms),
                note=f"{size / 1e6:.1f} MB, median of {LISTS}",
            )
        )
    connection.close()
    return found


async def _fan_out(server: str) -> Figure:
    """From a change being sent until the last of 1,000 watchers has it."""
    watched = f"{CORE}/pods?watch=1&fieldSelector=metadata.name%3Dp00000"
    watchers = [await _Connection.open(server) for _ in range(WATCHERS)]
    for watcher in watchers:
        watcher.send("GET", watched)
        status, _ = await watcher.status()
        assert status == 200
        await _event(watcher)  # the pod as it is
    writer = await _Connection.open(server)
    took_ms = []
    for number in range(CHANGES):
        patch = json.dumps({"metadata": {"labels": {"change": str(number)}}}).encode()
        elapsed = stopwatch()
        async with asyncio.TaskGroup() as tasks:
            for watcher in watchers:
                tasks.create_task(_event(watcher))
            await asyncio.sleep(0)  # all of them wait before the change is made
            tasks.create_task(writer.ask("PATCH", f"{PODS_PATH}/p00000", patch, type_=MERGE))
        took_ms.append(1000 * elapsed())
    for connection in (*watchers, writer):
        connection.close()
    return Figure(
        section="api",
        name=f"one change to {WATCHERS:,} watchers",
        measured=median(took_ms),
        unit="ms",
        goal=100,
        runs=tuple(took_ms),
        note=f"until the last has it, median of {CHANGES}",
    )


async def _event(watcher: _Connection) -> None:
    """One chunk of the answer: server and client frame alike, so nothing is left over."""
    size = int(await watcher.reader.readuntil(b"\r\n"), 16)
    await watcher.reader.readexactly(size + 2)


async def _side_by_side(
    server: str, count: int, work: Callable[[_Connection], Awaitable[None]]
) -> None:
    connections = [await _Connection.open(server) for _ in range(count)]
    async with asyncio.TaskGroup() as tasks:
        for connection in connections:
            tasks.create_task(_run(work, connection))
    for connection in connections:
        connection.close()


async def _run(work: Callable[[_Connection], Awaitable[None]], connection: _Connection) -> None:
    await work(connection)


def _p50_p99(took: Sequence[float]) -> tuple[float, float]:
    cuts = quantiles(took, n=100)
    return cuts[49], cuts[98]


def _exec(api: KubeApi, socket: str) -> list[Figure]:
    """A command in a pod, through the API and through Docker alone, in turns."""
    api.create(PODS_PATH, pod("target"))

    def running() -> list[Any]:
        found = api.get(f"{PODS_PATH}/target")
        statuses = found["status"].get("containerStatuses", [])
        return [one["containerID"] for one in statuses if "running" in one["state"]]

    [container] = eventually(running, within_s=60, what="the pod runs")
    ours, theirs = asyncio.run(
        _exec_ms(api.server, name_of(pod("target")), socket, container.removeprefix("docker://"))
    )
    api.call("DELETE", f"{PODS_PATH}/target")
    return [
        Figure(
            section="api",
            name="exec, over Docker's own",
            measured=median(ours) - median(theirs),
            unit="ms",
            goal=10,
            note=f"median of {EXECS}: {median(ours):.1f} ms, Docker {median(theirs):.1f} ms",
        )
    ]


async def _exec_ms(
    server: str, name: str, socket: str, container: str
) -> tuple[list[float], list[float]]:
    ours, theirs = [], []
    url = f"{server}{PODS_PATH}/{name}/exec?command=busybox&command=echo&command=hi&stdout=true"
    async with aiohttp.ClientSession() as http, raw.engine(socket) as docker:
        for _ in range(EXECS):
            started = time.perf_counter()
            said = b""
            async with http.ws_connect(url, protocols=["v5.channel.k8s.io"]) as channels:
                async for frame in channels:
                    if frame.data[:1] == b"\x01":
                        said += frame.data[1:]
            ours.append(1000 * (time.perf_counter() - started))
            assert said == b"hi\n", said
            started = time.perf_counter()
            assert await raw.execute(docker, container, ["busybox", "echo", "hi"]) == b"hi\n"
            theirs.append(1000 * (time.perf_counter() - started))
    return ours, theirs
