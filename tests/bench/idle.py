"""What a cluster costs that has nothing to do."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.bench.figures import Figure
from tests.e2e import cluster as clusters
from tests.e2e.process import Process
from tests.e2e.testbed import Testbed
from tests.e2e.waiting import stopwatch

SETTLE_S = 5
"""Start-up work (imports, pools of sandboxes) is not idleness."""

WINDOW_S = 20


class Usage(NamedTuple):
    """Of one process: resident memory now, and CPU over the window."""

    memory_mb: float
    cpu_percent: float


def measure(testbed: Testbed) -> list[Figure]:
    """Memory and CPU of every daemon of a cluster whose pods sleep."""
    with clusters.running(testbed) as cluster:
        cluster.deploy("web", 6)
        time.sleep(SETTLE_S)
        servers = {"orchestrator": cluster.orchestrator, "etcd": cluster.etcd}
        servers["nats-server"] = cluster.nats
        found = observe({**servers, **cluster.agents})
    how = f"{len(testbed.hosts)} nodes, 6 pods, {WINDOW_S} s"
    plane = {name: found[name] for name in servers}
    agents = [found[host.name] for host in testbed.hosts]
    return [
        Figure(
            section="idle",
            name="control plane, memory",
            measured=sum(usage.memory_mb for usage in plane.values()),
            unit="MB",
            goal=200,
            note=", ".join(f"{name} {usage.memory_mb:.0f}" for name, usage in plane.items()),
        ),
        Figure(
            section="idle",
            name="control plane, CPU",
            measured=sum(usage.cpu_percent for usage in plane.values()),
            unit="% of a core",
            goal=3,
            note=", ".join(f"{name} {usage.cpu_percent:.2f}" for name, usage in plane.items()),
        ),
        Figure(
            section="idle",
            name="largest agent, memory",
            measured=max(usage.memory_mb for usage in agents),
            unit="MB",
            goal=60,
            note=how,
        ),
        Figure(
            section="idle",
            name="busiest agent, CPU",
            measured=max(usage.cpu_percent for usage in agents),
            unit="% of a core",
            note=how,
        ),
    ]


def observe(daemons: Mapping[str, Process]) -> dict[str, Usage]:
    """What each uses over the window."""
    processes = {name: psutil.Process(daemon.pid) for name, daemon in daemons.items()}
    elapsed = stopwatch()
    before = {name: _cpu_s(process) for name, process in processes.items()}
    time.sleep(WINDOW_S)
    wall_s = elapsed()
    return {
        name: Usage(
            memory_mb=process.memory_info().rss / 1e6,
            cpu_percent=100 * (_cpu_s(process) - before[name]) / wall_s,
        )
        for name, process in processes.items()
    }


def _cpu_s(process: psutil.Process) -> float:
    """To the nanosecond: the usual counters go by ticks, and daemons that wake for less than one
    may fall between them. Source: the kernel's sched-stats, first number of a thread's schedstat.
    """
    threads = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9
