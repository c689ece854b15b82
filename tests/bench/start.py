"""How fast pods start, beside what Docker alone can do on the same machine in the same minutes."""

import asyncio
import time
from statistics import median

from tests.bench import raw
from tests.bench.embedded import embedded
from tests.bench.figures import Figure
from tests.e2e.engine import Engine
from tests.e2e.kubeapi import APPS, CORE, KubeApi, deployment, pod, uid_of
from tests.e2e.testbed import Testbed
from tests.e2e.waiting import eventually, stopwatch

PODS = 30
ROUNDS = 3
CONCURRENCIES = (4, 6, 8)
"""Docker is at its best somewhere here; facts differ with cores and disks, so try them all."""

KIND_LABEL = "longshore.dev/kind"
"""``container`` on the containers of pods, ``sandbox`` on the holders of their networks."""

CALM_LOOKS = 20


def measure(testbed: Testbed) -> list[Figure]:
    """An embedded cluster on one host's Docker, and raw Docker on the same, in turns."""
    host = testbed.hosts[0]
    testbed.repair()
    testbed.wipe()
    ours: list[float] = []
    theirs: dict[int, list[float]] = {concurrency: [] for concurrency in CONCURRENCIES}
    with embedded(testbed, host.engine) as api:
        first_pod_s = _first_pod_s(api, host.engine)
        for _ in range(ROUNDS):
            ours.append(_apply_s(api, host.engine))
            for concurrency, found in theirs.items():
                took_s = asyncio.run(raw.start_s(host.engine.socket_path, PODS, concurrency))
                found.append(took_s)
                await_calm(host.engine)
    best = min(theirs, key=lambda concurrency: median(theirs[concurrency]))
    raw_s, our_s = median(theirs[best]), median(ours)
    how = f"{PODS} pods, median of {ROUNDS} rounds in turns, one Docker; pool of sandboxes full"
    return [
        Figure(
            section="start",
            name="pods Running per second, of raw Docker's",
            measured=100 * raw_s / our_s,
            unit="%",
            goal=95,
            is_more_better=True,
            note=how,
        ),
        Figure(
            section="start",
            name=f"apply → {PODS} pods Running",
            measured=our_s,
            unit="s",
            runs=tuple(ours),
            note=f"{PODS / our_s:.1f} pods/s",
        ),
        Figure(
            section="start",
            name=f"raw create + start of {PODS}, bridge network",
            measured=raw_s,
            unit="s",
            runs=tuple(theirs[best]),
            note=f"{PODS / raw_s:.1f}/s, best of {CONCURRENCIES} at a time: {best}",
        ),
        Figure(
            section="start",
            name="cluster ready → first pod Running",
            measured=first_pod_s,
            unit="s",
            goal=3,
            note="right after longshore up",
        ),
    ]


def _first_pod_s(api: KubeApi, engine: Engine) -> float:
    """Seconds until the first pod of a cluster that just became ready runs."""
    elapsed = stopwatch()
    api.create(f"{CORE}/pods", pod("first"))
    _await_running(api, f"{CORE}/pods", 1)
    took_s = elapsed()
    api.call("DELETE", f"{CORE}/pods/first")
    await_calm(engine)
    return took_s


def _apply_s(api: KubeApi, engine: Engine) -> float:
    """Seconds from the apply of a Deployment until all its pods run; they are gone afterwards."""
    elapsed = stopwatch()
    api.create(f"{APPS}/deployments", deployment("many", PODS))
    _await_running(api, f"{CORE}/pods?labelSelector=app%3Dmany", PODS)
    took_s = elapsed()
    kinds = [found["Labels"].get(KIND_LABEL) for found in engine.containers(with_ended=False)]
    assert kinds.count("container") == PODS, "Docker must agree with the API"
    api.call("DELETE", f"{APPS}/deployments/many")
    eventually(lambda: not api.items(f"{CORE}/pods"), within_s=120, what="no pod is left")
    await_calm(engine)
    return took_s


def _await_running(api: KubeApi, path: str, count: int) -> None:
    """Follow the pods, as kubectl would: asking again and again would cost what is measured."""
    running: set[str] = set()
    for found in api.watch(path, silence_s=60):
        if found["status"].get("phase") == "Running":
            running.add(uid_of(found))
        if len(running) == count:
            return
    raise AssertionError("the watch ended")


def await_calm(engine: Engine) -> None:
    """Docker has neither removals to finish nor a pool of sandboxes to fill: same containers at
    twenty looks in a row.
    """
    seen: list[set[tuple[str, str]]] = []

    def is_calm() -> bool:
        time.sleep(0.1)
        seen.append({(found["Id"], found["State"]) for found in engine.containers()})
        return len(seen) >= CALM_LOOKS and all(one == seen[-1] for one in seen[-CALM_LOOKS:])

    eventually(is_calm, within_s=60, what="Docker is calm")
