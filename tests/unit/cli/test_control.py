import asyncio
from pathlib import Path

import pytest

from orchestrator.cli.control import Command, ask, serving
from orchestrator.cli.refused import Refused


async def obey(command: Command) -> str:
    if command.node != "node-1":
        raise Refused(f"no node {command.node}")
    return f"{command.verb} {command.node}"


async def test_a_command_is_obeyed_and_answered(tmp_path: Path) -> None:
    async with serving(tmp_path / "control", obey):
        assert await ask(tmp_path / "control", Command("kill", "node-1")) == "kill node-1"


async def test_a_refusal_reaches_whoever_asked(tmp_path: Path) -> None:
    async with serving(tmp_path / "control", obey):
        with pytest.raises(Refused, match="no node node-9"):
            await ask(tmp_path / "control", Command("kill", "node-9"))


async def test_noise_is_refused_and_the_next_command_is_obeyed(tmp_path: Path) -> None:
    path = tmp_path / "control"
    async with serving(path, obey):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"\xff{\n")
        assert b"not a Command" in await reader.readline()
        writer.close()
        assert await ask(path, Command("start", "node-1")) == "start node-1"


async def test_without_a_cluster_asking_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="start it with longshore up"):
        await ask(tmp_path / "control", Command("kill", "node-1"))


async def test_a_socket_left_by_a_killed_run_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "control"
    path.touch()
    async with serving(path, obey):
        assert await ask(path, Command("kill", "node-1")) == "kill node-1"
    assert not path.exists()


async def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="choose a shorter --data"):
        async with serving(tmp_path / ("x" * 108), obey):
            pass
