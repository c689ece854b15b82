"""The agent's disk and its knocking at other hosts, for real."""

import asyncio
from pathlib import Path

from node_agent.host import FileDisk, TcpProber
from tests.servers import free_port


async def test_what_was_saved_last_is_loaded(tmp_path: Path):
    disk = FileDisk(tmp_path / "state" / "node-1.json")
    assert await disk.load() is None
    await disk.save(b"one")
    await disk.save(b"two")
    assert await FileDisk(tmp_path / "state" / "node-1.json").load() == b"two"


async def test_a_save_that_was_interrupted_leaves_the_old_content(tmp_path: Path):
    disk = FileDisk(tmp_path / "node-1.json")
    await disk.save(b"old")
    (tmp_path / "node-1.new").write_bytes(b"ne")
    assert await disk.load() == b"old"
    await disk.save(b"new")
    assert await disk.load() == b"new"


async def test_a_host_that_accepts_or_refuses_is_reachable():
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await TcpProber().is_reachable(f"127.0.0.1:{port}")
    assert await TcpProber().is_reachable(f"127.0.0.1:{free_port()}")
    assert await TcpProber().is_reachable("127.0.0.1")


async def test_a_host_that_does_not_answer_is_not_reachable():
    assert not await TcpProber().is_reachable("224.0.0.1:9")  # multicast: no route for TCP
    assert not await TcpProber().is_reachable("not an address")
    assert not await TcpProber().is_reachable("127.0.0.1:not a port")
