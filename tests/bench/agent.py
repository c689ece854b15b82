"""What one agent costs that looks after a hundred pods, and how fast it ends and restarts them."""

import asyncio
import time
from datetime import datetime
from statistics import median
from typing import Any

from tests.bench import raw
from tests.bench.figures import Figure
from tests.bench.idle import observe
from tests.bench.start import await_calm
from tests.e2e import cluster as clusters
from tests.e2e.cluster import Cluster
from tests.e2e.host import Host
from tests.e2e.kubeapi import APPS, deployment
from tests.e2e.testbed import Testbed
from tests.e2e.waiting import eventually, stopwatch

PODS = 100
PROBES = "startup by http, then readiness by tcp and liveness by http every 10 s"
SETTLE_S = 10
"""The startup probes are over, and the pool of sandboxes is full."""

CRASHES = 5
DELETED = 50
ROUNDS = 3
CONCURRENCIES = (4, 8, 12)


def measure(testbed: Testbed) -> list[Figure]:
    """A cluster whose pods are all on one host; raw Docker on the same host, in turns."""
    host = testbed.hosts[0]
    with clusters.running(testbed) as cluster:
        _apply(cluster, _probed(host))
        time.sleep(SETTLE_S)
        usage = observe({"agent": cluster.agents[host.name]})["agent"]
        crashes, successors = zip(*(_crash_s(host) for _ in range(CRASHES)), strict=True)
        _delete(cluster)
        await_calm(host.engine)
        ours, theirs = _deletions(cluster, host)
    best = min(theirs, key=lambda at_a_time: median(theirs[at_a_time]))
    return [
        Figure(
            section="agent",
            name=f"{PODS} pods with 3 probes each, CPU of their agent",
            measured=usage.cpu_percent,
            unit="% of a core",
            goal=5,
            note=PROBES,
        ),
        Figure(
            section="agent",
            name=f"{PODS} pods with 3 probes each, memory of their agent",
            measured=usage.memory_mb,
            unit="MB",
            goal=80,
        ),
        Figure(
            section="agent",
            name=f"container crashed → restarted, beside {PODS} pods",
            measured=median(crashes),
            unit="s",
            goal=0.5,
            runs=tuple(crashes),
            note=f"as Docker tells; raw create + start {median(successors):.2g} s meanwhile",
        ),
        Figure(
            section="agent",
            name="pods deleted per second, of raw Docker's",
            measured=100 * median(theirs[best]) / median(ours),
            unit="%",
            goal=95,
            is_more_better=True,
            runs=tuple(ours),
            note=f"{DELETED} pods, {DELETED / median(ours):.1f}/s beside "
            f"{DELETED / median(theirs[best]):.1f}/s, best of {CONCURRENCIES} at a time: {best}",
        ),
    ]


def _probed(host: Host) -> dict[str, Any]:
    found = deployment("web", PODS)
    spec = found["spec"]["template"]["spec"]
    spec["nodeSelector"] = {"kubernetes.io/hostname": host.name}
    page = {"httpGet": {"path": "/", "port": 8080}, "timeoutSeconds": 5}
    (own,) = spec["containers"]
    serve = "echo here > /www/index.html; exec httpd -f -p 8080 -h /www"
    own["command"] = ["sh", "-c", serve]
    own["startupProbe"] = {**page, "periodSeconds": 1, "failureThreshold": 60}
    own["readinessProbe"] = {"tcpSocket": {"port": 8080}, "timeoutSeconds": 5}
    own["livenessProbe"] = page
    return found


def _apply(cluster: Cluster, wanted: dict[str, Any]) -> None:
    cluster.write(lambda: cluster.api.create(f"{APPS}/deployments", wanted))
    cluster.await_ready("web", wanted["spec"]["replicas"], within_s=300)


def _delete(cluster: Cluster) -> None:
    cluster.write(lambda: cluster.api.call("DELETE", f"{APPS}/deployments/web"))
    eventually(lambda: not cluster.api.pods("web"), within_s=300, what="no pod is left")


def _crash_s(host: Host) -> tuple[float, float]:
    """Between the end of a container and the start of its successor; raw Docker's share of it."""
    engine = host.engine

    def attempts(uid: str) -> list[dict[str, Any]]:
        return [c for c in engine.containers() if c["Labels"].get("longshore.dev/pod-uid") == uid]

    fresh = (
        c
        for c in engine.containers(with_ended=False)
        if c["Labels"].get("longshore.dev/attempt") == "0"
    )
    victim = next(fresh)
    uid = victim["Labels"]["longshore.dev/pod-uid"]
    engine.call("POST", f"/containers/{victim['Id']}/kill")

    def successor() -> str:
        running = [c for c in attempts(uid) if c["State"] == "running"]
        return running[0]["Id"] if running and running[0]["Id"] != victim["Id"] else ""

    id = eventually(successor, within_s=30, what="it runs again")

    def state(of: str) -> Any:
        return engine.call("GET", f"/containers/{of}/json")["State"]

    took_s = _s(state(id)["StartedAt"]) - _s(state(victim["Id"])["FinishedAt"])
    network = engine.call("GET", f"/containers/{id}/json")["HostConfig"]["NetworkMode"]
    raw_s = asyncio.run(raw.successor_s(engine.socket_path, network.removeprefix("container:")))
    return took_s, raw_s


def _s(text: str) -> float:
    return datetime.fromisoformat(f"{text[:26].rstrip('Z')}+00:00").timestamp()


def _of_pods(host: Host) -> list[str]:
    """Containers and holders of pods, the pool left out."""
    listed = host.engine.containers()
    return [c["Id"] for c in listed if not c["Names"][0].startswith("/longshore_pool_")]


def _deletions(cluster: Cluster, host: Host) -> tuple[list[float], dict[int, list[float]]]:
    """Seconds for pods that end when they are told to, ours and raw ones, in turns."""
    ours: list[float] = []
    theirs: dict[int, list[float]] = {at_a_time: [] for at_a_time in CONCURRENCIES}
    plain = deployment("web", DELETED)
    plain["spec"]["template"]["spec"]["nodeSelector"] = {"kubernetes.io/hostname": host.name}
    for _ in range(ROUNDS):
        _apply(cluster, plain)
        await_calm(host.engine)
        elapsed = stopwatch()
        _delete(cluster)
        eventually(lambda: not _of_pods(host), within_s=300, what="Docker has nothing of a pod")
        ours.append(elapsed())
        await_calm(host.engine)
        for at_a_time, found in theirs.items():
            found.append(asyncio.run(raw.remove_s(host.engine.socket_path, DELETED, at_a_time)))
            await_calm(host.engine)
    return ours, theirs
