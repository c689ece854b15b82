import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.engine import Engine
from tests.e2e.waiting import stopwatch

LONGSHORE = str(Path(sys.executable).parent / "longshore")
ENGINE = Engine(Path("/var/run/docker.sock"))

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        not ENGINE.answers() and os.environ.get("LONGSHORE_REQUIRE_E2E") != "1",
        reason="no Docker engine answers at /var/run/docker.sock",
    ),
]

STEPS = [
    "$ longshore up",
    "$ docker import",
    "$ kubectl apply -f",
    "3 of 3 Ready",
    "version 1 from web-",
    "$ longshore node kill node-",
    "replacement Running",
    "$ nats request longshore.v1.deploy.default",
    "acknowledged: deployment.apps/web configured",
    "rolled out",
    "version 2 from web-",
    "$ kubectl delete deployment web",
    "nothing is left behind",
]


def run_demo(temp: Path) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(temp), "TMPDIR": str(temp), "COLUMNS": "120"}
    return subprocess.run(
        [LONGSHORE, "demo"],
        check=False,
        capture_output=True,
        text=True,
        timeout=110,
        env=env,
        stdin=subprocess.DEVNULL,
    )


def test_the_demo_shows_every_step_within_a_minute_and_leaves_nothing(tmp_path: Path) -> None:
    elapsed_s = stopwatch()
    done = run_demo(tmp_path)
    took_s = elapsed_s()
    assert done.returncode == 0, done.stdout + done.stderr
    rest = done.stdout
    for step in STEPS:
        assert step in rest, f"{step!r} is missing or out of order in:\n{done.stdout}"
        rest = rest.partition(step)[2]
    assert took_s < 60
    assert "\x1b" not in done.stdout  # no terminal, no colours
    assert list(tmp_path.iterdir()) == []
    assert not [
        c
        for c in ENGINE.containers()
        if c["Labels"].get("longshore.dev/node", "").startswith("demo-")
    ]
    images = ENGINE.call("GET", "/images/json")
    assert not [
        i for i in images if any(t.startswith("longshore-demo/") for t in i["RepoTags"] or [])
    ]
