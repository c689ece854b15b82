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
from node_agent.engine import pause
from node_agent.engine.frames import Deframer
from node_agent.engine.inspection import parse_inspection, parse_state


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
