"""Docker Swarm's failover in the same testbed, with its defaults, for comparison."""

import json
from statistics import median
from typing import Any
from urllib.parse import quote

from tests.bench.figures import Figure
from tests.e2e.engine import Engine
from tests.e2e.host import Host
from tests.e2e.images import BUSYBOX, SLEEP
from tests.e2e.testbed import Testbed
from tests.e2e.waiting import eventually, stopwatch

RUNS = 2
"""Each takes half a minute; they differ little."""

REPLICAS = 6


def measure(testbed: Testbed) -> list[Figure]:
    """Power off a worker; until as many tasks run on the living hosts as were declared."""
    testbed.repair()
    testbed.wipe()
    manager, *workers = testbed.hosts
    _form(manager, workers)
    try:
        _deploy(manager.engine)
        _await_tasks(manager.engine, without="")
        runs = tuple(_one(manager, workers[run % len(workers)]) for run in range(RUNS))
    finally:
        for host in testbed.hosts:
            host.engine.call("POST", "/swarm/leave?force=1")
    return [
        Figure(
            section="failover",
            name="Docker Swarm: worker dead → replacements Running",
            measured=median(runs),
            unit="s",
            runs=runs,
            note=f"defaults, {RUNS} power-offs, {REPLICAS} replicas on {len(testbed.hosts)} hosts",
        )
    ]


def _form(manager: Host, workers: list[Host]) -> None:
    listen = {"ListenAddr": "0.0.0.0:2377"}
    init = {**listen, "AdvertiseAddr": manager.address}
    manager.engine.call("POST", "/swarm/init", init)
    token = manager.engine.call("GET", "/swarm")["JoinTokens"]["Worker"]
    for worker in workers:
        join = {"AdvertiseAddr": worker.address, "RemoteAddrs": [f"{manager.address}:2377"]}
        worker.engine.call("POST", "/swarm/join", {**listen, **join, "JoinToken": token})


def _deploy(engine: Engine) -> None:
    container = {"Image": BUSYBOX, "Command": SLEEP}
    mode = {"Replicated": {"Replicas": REPLICAS}}
    service = {"Name": "web", "TaskTemplate": {"ContainerSpec": container}, "Mode": mode}
    engine.call("POST", "/services/create", service)


def _one(manager: Host, dead: Host) -> float:
    node = _node_id(dead.engine)
    elapsed = stopwatch()
    dead.power_off()
    _await_tasks(manager.engine, without=node)
    took_s = elapsed()
    dead.power_on()
    # Swarm moves nothing to a node that returns: replacing all tasks spreads them again.
    service = manager.engine.call("GET", "/services/web")
    spec = service["Spec"]
    spec["TaskTemplate"]["ForceUpdate"] = spec["TaskTemplate"].get("ForceUpdate", 0) + 1
    version = service["Version"]["Index"]
    manager.engine.call("POST", f"/services/web/update?version={version}", spec)
    eventually(
        lambda: any(task["NodeID"] == node for task in _running(manager.engine)),
        within_s=120,
        what=f"{dead.name} has tasks again",
    )
    _await_tasks(manager.engine, without="")
    return took_s


def _await_tasks(engine: Engine, *, without: str) -> None:
    eventually(
        lambda: sum(task["NodeID"] != without for task in _running(engine)) == REPLICAS,
        within_s=120,
        what=f"{REPLICAS} tasks run",
    )


def _running(engine: Engine) -> list[dict[str, Any]]:
    wanted = quote(json.dumps({"desired-state": ["running"]}))
    tasks = engine.call("GET", f"/tasks?filters={wanted}")
    return [task for task in tasks if task["Status"]["State"] == "running"]


def _node_id(engine: Engine) -> str:
    return str(engine.call("GET", "/info")["Swarm"]["NodeID"])
