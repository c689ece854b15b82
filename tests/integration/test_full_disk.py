"""The disk that an agent keeps pods' volumes on is full."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.integration import test_volumes as volumes
from tests.integration.test_agent import a_pod
from tests.integration.test_volumes import tmpfs  # noqa: F401 - a fixture
from tests.unit.node_agent.test_volumes import FILES, ROOM

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(os.geteuid() != 0, reason="a disk of its own needs root"),
]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Of a quarter of a megabyte."""
    at = tmp_path / "disk"
    at.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", at], check=True)
    yield at
    subprocess.run(["umount", "-l", at], check=True)


def fill(at: Path) -> Path:
    """The file that takes the room."""
    filler = at / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return filler


async def test_a_full_disk_is_told_and_holds_up_only_what_needs_it(disk, tmpfs):  # noqa: F811
    async with volumes.a_node(disk, tmpfs) as (node, _):
        filler = fill(disk)
        needs = replace(volumes.a_pod(FILES, ROOM), name="needs")
        await node.assign(needs, a_pod("plain"))
        await node.running("plain")
        await node.until(
            lambda _: any(
                event.reason == "FailedMount" and "No space left on device" in event.message
                for event in node.events
            )
        )
        filler.unlink()
        await node.running("needs")
