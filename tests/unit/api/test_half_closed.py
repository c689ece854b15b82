"""Connections of which one half has ended: what the other still gets, and what ends with it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from orchestrator.api import wire
from proto.frames import WINDOW_BYTES
from tests.unit.api.server import Running
from tests.unit.api.test_remote import POD, V4, V5, connection, serving, upgraded

CLOSE_FRAME = b"\x88\x82" + bytes(4) + b"\x03\xe8"
"""Masked, as a client's frames are: 1000, which means that all is well."""


@asynccontextmanager
async def websocket(
    api: Running, path: str, agent: str = "test"
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """The bare connection, after the handshake."""
    url = urlsplit(api.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    lines = [f"GET {path} HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket"]
    lines += [f"User-Agent: {agent}"]
    lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + "A" * 22 + "=="]
    lines += [f"Sec-WebSocket-Protocol: {V5}", "", ""]
    writer.write("\r\n".join(lines).encode())
    try:
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        yield reader, writer
    finally:
        writer.close()


async def test_a_websocket_whose_client_sends_no_more_bytes_ends_with_its_program():
    async with (
        serving() as (api, programs),
        websocket(api, f"{POD}/exec?command=wait&stdin=1&stdout=1") as (_, writer),
    ):
        writer.write_eof()
        await programs.gone.wait()


async def test_a_websocket_that_its_client_closes_ends_with_its_program_though_nobody_reads():
    async with (
        serving() as (api, programs),
        websocket(api, f"{POD}/exec?command=wait&stdin=1&stdout=1") as (reader, writer),
    ):
        writer.write(CLOSE_FRAME)
        await programs.gone.wait()
        async with asyncio.timeout(10):
            assert (await reader.read())[:1] == b"\x88"  # and is closed in return


@pytest.mark.parametrize(
    ("agent", "first"),
    [("kubectl/v1.32.4 (linux/amd64) kubernetes/59526cd", b"\x8a\x00"), ("kr8s/0.20", b"\x89\x00")],
)
async def test_a_client_that_waits_hears_of_us_in_the_way_it_understands(monkeypatch, agent, first):
    """A Pong that nobody asked for, or a Ping."""
    monkeypatch.setattr(wire, "HEARTBEAT_S", 0.05)
    async with (
        serving() as (api, _),
        websocket(api, f"{POD}/exec?command=wait&stdin=1&stdout=1", agent) as (reader, _),
        asyncio.timeout(10),
    ):
        assert await reader.readexactly(2) == first


async def test_half_a_frame_and_then_nothing_ends_with_its_program():
    async with (
        serving() as (api, programs),
        websocket(api, f"{POD}/exec?command=wait&stdin=1&stdout=1") as (_, writer),
    ):
        writer.write(b"\x82\xfe\xff\xff")  # 65,535 bytes are to come
        await writer.drain()
        writer.close()
        await programs.gone.wait()


@pytest.mark.parametrize("junk", [b"\xff" * 100, b"\x83\x80" + bytes(4)])
async def test_what_is_no_frame_ends_the_websocket_and_its_program(junk):
    async with (
        serving() as (api, programs),
        websocket(api, f"{POD}/exec?command=wait&stdin=1&stdout=1") as (reader, writer),
    ):
        writer.write(junk)
        async with asyncio.timeout(10):
            await reader.read()
        await programs.gone.wait()


async def test_a_spdy_client_that_sends_no_more_bytes_ends_with_its_program():
    async with (
        serving() as (api, programs),
        upgraded(api, f"{POD}/exec?command=wait&stdout=1", V4) as spdy,
    ):
        for id, name in ((1, "error"), (3, "stdout")):
            spdy.writer.write(spdy.client.open(id, streamtype=name))
        spdy.writer.write_eof()
        await programs.gone.wait()


async def test_a_forwarded_connection_whose_sender_has_finished_gets_the_whole_answer():
    async with (
        serving() as (api, _),
        upgraded(api, f"{POD}/portforward", "portforward.k8s.io") as spdy,
    ):
        for frame in connection(spdy.client, 0, 70):
            spdy.writer.write(frame)
        spdy.writer.write(spdy.client.data(3, b"question"))
        spdy.writer.write(spdy.client.data(3, is_last=True))
        found = await spdy.until_last(1, 3)
        assert (found[1], len(found[3])) == (b"", 4 * WINDOW_BYTES)
