"""What the server bears, and how it says so: too many, too slow, too large."""

import asyncio
import gzip
import json
import socket
import time
from collections.abc import Sequence

import pytest

from orchestrator.api import limits, server
from orchestrator.api.limits import duration_s
from orchestrator.runtime.audit import AuditLog
from orchestrator.store import Compare, TxnResult, Write
from orchestrator.store.memory import MemoryServer, MemoryStore
from proto.errors import BadRequest
from tests.unit.api.server import Running, running

PODS = "/api/v1/namespaces/default/pods"
NAMESPACES = "/api/v1/namespaces"
PATIENCE_S = 10.0


async def connect(api: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(api.url.rpartition(":")[2]))


async def head_of(reader: asyncio.StreamReader) -> tuple[int, str]:
    async with asyncio.timeout(PATIENCE_S):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    return int(head.split()[1]), head


async def a_write_that_waits(api: Running) -> asyncio.StreamWriter:
    """A request whose body never comes; the server has taken it when this returns."""
    reader, writer = await connect(api)
    head = f"POST {PODS} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
    writer.write(head.encode())
    async with asyncio.timeout(PATIENCE_S):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    return writer


async def test_writes_beyond_what_is_bearable_are_put_off_and_reads_go_on(monkeypatch, tmp_path):
    monkeypatch.setattr(limits, "WRITES_MAX", 2)
    async with running() as api:
        waiting = [await a_write_that_waits(api) for _ in range(2)]
        async with api.http.delete(f"{api.url}{PODS}/p") as response:
            assert response.status == 429
            assert response.headers["Retry-After"] == "1"
            assert (await response.json())["reason"] == "TooManyRequests"
        assert (await api.ask("GET", PODS))[0] == 200
        waiting[0].close()
        async with asyncio.timeout(PATIENCE_S):
            while (await api.ask("DELETE", f"{PODS}/p"))[0] != 404:
                await asyncio.sleep(0.01)
        waiting[1].close()


async def test_reads_beyond_what_is_bearable_are_put_off_and_written_down(monkeypatch, tmp_path):
    monkeypatch.setattr(limits, "READS_MAX", 0)
    audit = AuditLog(tmp_path / "log", new_id=lambda: "", clock=lambda: 0)
    async with audit.writing(), running(audit=audit) as api:
        async with api.http.get(api.url + PODS) as response:
            assert response.status == 429
            assert response.headers["Retry-After"] == "1"
        async with api.http.get(f"{api.url}{PODS}?watch=1&timeoutSeconds=1") as response:
            assert response.status == 200
        made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "room"}}
        assert (await api.ask("POST", NAMESPACES, made))[0] == 201
    refused, _ = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert (refused["verb"], refused["responseStatus"]["code"]) == ("list", 429)


async def test_a_body_that_trickles_in_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(limits, "REQUEST_TIMEOUT_S", 0.3)
    async with running() as api:
        reader, writer = await connect(api)
        head = f"POST {PODS} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
        writer.write(head.encode())
        answer = asyncio.ensure_future(head_of(reader))  # noqa: TID251
        while not answer.done():
            writer.write(b" ")
            await asyncio.sleep(0.05)
        assert (await answer)[0] == 504
        writer.close()


async def test_an_answer_that_nobody_takes_is_given_up(monkeypatch):
    monkeypatch.setattr(limits, "REQUEST_TIMEOUT_S", 0.5)
    async with running() as api:
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "large"}}
        made["data"] = {"a": "x" * 900_000}
        for number in range(12):  # more than the kernel takes into its buffers
            made["metadata"] = {"name": f"large-{number}"}
            status, _ = await api.ask("POST", "/api/v1/namespaces/default/configmaps", made)
            assert status == 201
        with socket.create_connection(("127.0.0.1", int(api.url.rpartition(":")[2]))) as client:
            client.sendall(b"GET /api/v1/configmaps HTTP/1.1\r\nHost: x\r\n\r\n")
            client.setblocking(False)
            async with asyncio.timeout(PATIENCE_S):
                while not _is_reset(client):
                    await asyncio.sleep(0.05)


def _is_reset(client: socket.socket) -> bool:
    """Whether the server hung up; found out without reading what it sent."""
    try:
        client.send(b" ")
    except OSError:
        return True
    return False


async def test_a_client_may_ask_for_less_time_and_gets_no_more(monkeypatch):
    async with running() as api:
        began_s = time.monotonic()
        reader, writer = await connect(api)
        head = f"POST {PODS}?timeout=200ms HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
        writer.write(head.encode())
        assert (await head_of(reader))[0] == 504
        assert 0.2 <= time.monotonic() - began_s < PATIENCE_S
        writer.close()
        monkeypatch.setattr(limits, "REQUEST_TIMEOUT_S", 0.2)
        reader, writer = await connect(api)
        writer.write(head.replace("200ms", "32s").encode())
        assert (await head_of(reader))[0] == 504
        writer.close()
        status, refused = await api.ask("GET", f"{PODS}?timeout=soon")
        assert (status, refused["reason"]) == (400, "BadRequest")
        assert refused["message"] == "invalid timeout specified in the request URL"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("32s", 32), ("1m30s", 90), (".5s", 0.5), ("1.5h", 5400), ("250ms", 0.25), ("7us", 7e-6)],
)
def test_durations_are_understood_as_go_writes_them(text, seconds):
    assert duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "1 s", "1s2", "1d", "٣s"])
def test_what_is_no_duration_is_a_bad_request(text):
    with pytest.raises(BadRequest):
        duration_s(text)


@pytest.mark.parametrize(
    ("length", "code"), [(100_000, 404), (limits.HEADER_BYTES_MAX + 1000, 400)]
)
async def test_a_long_url_is_taken_as_kubernetes_takes_it_and_no_longer(length, code):
    async with running() as api:
        reader, writer = await connect(api)
        command = "x" * length  # of an exec
        request = f"GET {PODS}/p/exec?stdout=1&command={command} HTTP/1.1\r\nHost: x\r\n\r\n"
        writer.write(request.encode())
        assert (await head_of(reader))[0] == code
        writer.close()


async def test_a_header_without_end_is_refused():
    async with running() as api:
        reader, writer = await connect(api)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nCookie: ")
        answer = asyncio.ensure_future(head_of(reader))  # noqa: TID251
        while not answer.done():
            writer.write(b"x" * 65_536)
            await asyncio.sleep(0)
        assert (await answer)[0] == 400
        writer.close()


async def test_a_connection_without_a_request_is_closed(monkeypatch):
    monkeypatch.setattr(server, "IDLE_S", 0.3)
    async with running() as api:
        for sent in (
            b"",
            b"GET /healthz HTTP/1.1\r\nHost",
            b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        ):
            reader, writer = await connect(api)
            writer.write(sent)
            async with asyncio.timeout(PATIENCE_S):
                answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 200 OK") == sent.endswith(b"\r\n\r\n")
            writer.close()


async def test_connections_beyond_the_limit_are_told_to_come_back(monkeypatch):
    monkeypatch.setattr(server, "CONNECTIONS_MAX", 2)
    async with running() as api:
        inside = [await connect(api) for _ in range(2)]
        for reader, writer in inside:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await head_of(reader))[0] == 200
        reader, writer = await connect(api)
        async with asyncio.timeout(PATIENCE_S):
            refused = await reader.read()
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 1" in refused
        for _, one in (*inside, (reader, writer)):
            one.close()
        async with asyncio.timeout(PATIENCE_S):
            while True:
                reader, writer = await connect(api)
                writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                status, _ = await head_of(reader)
                writer.close()
                if status == 200:
                    break


async def test_a_watch_is_not_compressed_and_a_large_list_is():
    async with running() as api:
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "large"}}
        made["data"] = {"a": "x" * 200_000}
        await api.ask("POST", "/api/v1/namespaces/default/configmaps", made)
        gzipped = {"headers": {"Accept-Encoding": "gzip"}, "auto_decompress": False}
        url = f"{api.url}/api/v1/configmaps"
        async with api.http.get(url, **gzipped) as response:
            assert response.headers["Content-Encoding"] == "gzip"
            assert gzip.decompress(await response.read()).startswith(b'{"kind":"ConfigMapList"')
        async with api.http.get(f"{url}?watch=1&timeoutSeconds=1", **gzipped) as response:
            assert "Content-Encoding" not in response.headers
            assert (await response.read()).startswith(b'{"type":"ADDED"')


async def test_what_no_method_of_the_api_is_is_said_so():
    async with running() as api:
        async with api.http.head(f"{api.url}/healthz") as response:
            assert (response.status, await response.read()) == (200, b"")
        async with api.http.head(f"{api.url}{PODS}") as response:
            assert (response.status, await response.read()) == (405, b"")
        for path in (PODS, "/healthz", "/api"):
            status, refused = await api.ask("OPTIONS", path)
            assert (status, refused["reason"]) == (405, "MethodNotAllowed")


class SlowStore(MemoryStore):
    """Takes its time once it is told to."""

    def __init__(self) -> None:
        super().__init__(MemoryServer())
        self.asked = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()

    async def txn(self, compares: Sequence[Compare], writes: Sequence[Write]) -> TxnResult:
        self.asked.set()
        await self.open.wait()
        return await super().txn(compares, writes)


async def test_what_is_under_way_is_answered_when_the_server_stops_and_connections_are_closed():
    store = SlowStore()
    async with running(store) as api:
        store.open.clear()
        store.asked.clear()
        reader, writer = await connect(api)
        made = b'{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"late"}}'
        head = f"POST {NAMESPACES} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(made)}\r\n\r\n"
        writer.write(head.encode() + made)
        idle, other = await connect(api)
        other.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(PATIENCE_S):
            assert (await idle.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            await store.asked.wait()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(api.stop())
                assert await idle.read() == b""  # closed, not reset
                store.open.set()
                status, text = await head_of(reader)
        assert status == 201
        assert "Connection: close" in text
        other.close()
        writer.close()
