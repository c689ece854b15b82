"""The parts of the door to Docker that need no Docker."""

import io
import json
import os
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from node_agent.core.observed import State
from node_agent.core.usage import Sample
from node_agent.engine import cgroups, pause
from node_agent.engine.frames import Deframer
from node_agent.engine.inspection import parse_inspection, parse_state, parse_stats


def frame(text: bytes, output: int = 1) -> bytes:
    return bytes([output, 0, 0, 0]) + len(text).to_bytes(4, "big") + text


def test_frames_are_taken_off_wherever_chunks_are_cut():
    written = [b"one\n", b"", b"two\n" * 100, b"three"]
    stream = b"".join(frame(text, n % 2 + 1) for n, text in enumerate(written))
    for size in (1, 3, 7, 8, 9, 100, len(stream)):
        deframer = Deframer()
        chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert b"".join(map(deframer.feed, chunks)) == b"".join(written)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the program is for another machine")
def test_the_holder_waits_until_it_is_killed(tmp_path: Path):
    program = tmp_path / "pause"
    program.write_bytes(pause.program("amd64"))
    program.chmod(0o755)
    with subprocess.Popen([program]) as process:
        time.sleep(0.05)
        assert process.poll() is None
        process.kill()


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_the_holders_image_is_whole_and_always_the_same(arch: str):
    archive = pause.archive(arch)
    assert archive == pause.archive(arch)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        (manifest,) = json.load(tar.extractfile("manifest.json"))
        config = json.load(tar.extractfile(manifest["Config"]))
        layer = tar.extractfile(manifest["Layers"][0]).read()
    assert manifest["RepoTags"] == [pause.IMAGE]
    assert config["architecture"] == arch
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        program = tar.extractfile("pause").read()
    assert program == pause.program(arch)
    assert program[:4] == b"\x7fELF"
    assert len(program) < 200


def test_dockers_states_are_three_to_us():
    running = ("running", "paused", "restarting")
    assert {parse_state(text) for text in running} == {State.RUNNING}
    assert {parse_state(text) for text in ("exited", "dead", "removing")} == {State.EXITED}
    assert parse_state("created") is State.CREATED


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"longshore.dev/node": "other"},
        {"longshore.dev/node": "node-1", "longshore.dev/kind": "container"},
        {"longshore.dev/node": "node-1", "longshore.dev/attempt": "many"},
        {"longshore.dev/node": "node-1", "longshore.dev/kind": "sandbox"},
    ],
)
def test_what_is_not_ours_is_nothing_to_us(labels: dict[str, str]):
    found = {
        "Id": "1",
        "Name": "/x",
        "Config": {"Labels": labels},
        "State": {"Status": "running"},
        "HostConfig": {"NetworkMode": "default"},
    }
    assert parse_inspection(found, "node-1") is None


def write(root: Path, **files: str) -> None:
    """Files of one folder, whose dots are spelled ``__``."""
    root.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (root / name.replace("__", ".")).write_text(content)


@pytest.mark.parametrize("place", ["docker/abc", "system.slice/docker-abc.scope"])
def test_the_kernels_own_counts_are_found_for_either_of_dockers_drivers(tmp_path: Path, place: str):
    one, two = tmp_path / "v1", tmp_path / "v2"
    write(one / "cpuacct" / place, cpuacct__usage="5000\n")
    write(
        one / "memory" / place,
        memory__usage_in_bytes="900\n",
        memory__stat="inactive_file 1\ntotal_inactive_file 300\n",
    )
    write(
        two / place,
        cpu__stat="usage_usec 5\nuser_usec 3\n",
        memory__current="900\n",
        memory__stat="anon 1\ninactive_file 300\n",
    )
    for root in (one, two):
        found = cgroups.sample("abc", root)
        assert (found.cpu_ns, found.memory_bytes) == (5000, 600)
        assert abs(found.at_ns - time.time_ns()) < 10_000_000_000
        assert cgroups.sample("another", root) is None


def test_files_that_say_something_else_are_as_good_as_none(tmp_path: Path):
    write(tmp_path / "docker/abc", cpu__stat="", memory__current="1", memory__stat="")
    assert cgroups.sample("abc", tmp_path) is None
    write(tmp_path / "docker/abc", cpu__stat="usage_usec many")
    assert cgroups.sample("abc", tmp_path) is None


def stats(**memory: int) -> dict[str, object]:
    """What Docker answers, but for what nobody reads."""
    return {
        "read": "1970-01-01T00:00:02.5Z",
        "cpu_stats": {"cpu_usage": {"total_usage": 77}},
        "memory_stats": {"usage": 900, "stats": memory},
    }


@pytest.mark.parametrize(
    ("memory", "in_use"),
    [
        ({"inactive_file": 1, "total_inactive_file": 300}, 600),  # cgroup v1
        ({"inactive_file": 300}, 600),  # v2
        ({}, 900),
        ({"inactive_file": 1000}, 0),  # they are not read in the same moment
    ],
)
def test_memory_in_use_leaves_out_cache_that_nobody_uses(memory: dict[str, int], in_use: int):
    assert parse_stats(stats(**memory)) == Sample(2_500_000_000, 77, in_use)


def test_a_container_that_does_not_run_has_no_statistics():
    never = {"read": "0001-01-01T00:00:00Z", "cpu_stats": {"cpu_usage": {"total_usage": 0}}}
    assert parse_stats(never | {"memory_stats": {}}) is None
