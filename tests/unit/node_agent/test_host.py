"""The agent's disk, its knocking at other hosts and its look at its own, for real."""

import asyncio
import os
from pathlib import Path

from node_agent.host import FileDisk, Machine, TcpProber
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


async def test_this_machine_uses_more_cpu_time_the_longer_it_runs():
    machine = Machine()
    before = await machine.usage()
    assert before is not None
    assert before.memory_bytes > 1 << 20
    after = before
    async with asyncio.timeout(20):
        while after.cpu_ns == before.cpu_ns:  # until the next tick of a busy core
            sum(range(100_000))
            after = await machine.usage()
    assert after.cpu_ns > before.cpu_ns
    assert after.at_ns > before.at_ns


async def test_idle_cores_and_those_that_wait_use_nothing(tmp_path: Path):
    (tmp_path / "meminfo").write_text("MemTotal:  2048 kB\nMemFree: 1 kB\nMemAvailable: 1024 kB\n")
    (tmp_path / "stat").write_text("cpu  1 2 4 8000 16000 32 64 128000 9 9\ncpu0 1 1 1 1\n")
    found = await Machine(tmp_path).usage()
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    assert found.cpu_ns == (1 + 2 + 4 + 32 + 64) * 1_000_000_000 // ticks_per_s
    assert found.memory_bytes == 1024 * 1024


async def test_a_machine_without_these_files_is_not_known(tmp_path: Path):
    assert await Machine(tmp_path).usage() is None
    (tmp_path / "stat").write_text("something else\n")
    (tmp_path / "meminfo").write_text("")
    assert await Machine(tmp_path).usage() is None
