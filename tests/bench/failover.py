"""How long an application is short of replicas after its host died."""

from statistics import median

from tests.bench.figures import Figure
from tests.e2e import cluster as clusters
from tests.e2e.host import Host
from tests.e2e.kubeapi import node_of
from tests.e2e.testbed import Testbed
from tests.e2e.waiting import eventually, stopwatch

RUNS = 5
REPLICAS = 6


def measure(testbed: Testbed) -> list[Figure]:
    """Power a host off, five times; from the power failure until the API shows the last
    replacement Running on a living host.
    """
    with clusters.running(testbed) as cluster:
        cluster.deploy("web", REPLICAS)
        noticed, replaced = [], []
        for run in range(RUNS):
            dead = testbed.hosts[run % len(testbed.hosts)]
            noticed_s, replaced_s = _one(cluster, dead)
            noticed.append(noticed_s)
            replaced.append(replaced_s)
    how = f"{RUNS} power-offs, {REPLICAS} replicas on {len(testbed.hosts)} hosts, warm image"
    return [
        Figure(
            section="failover",
            name="host dead → its node NotReady, p50",
            measured=median(noticed),
            unit="s",
            goal=1,
            runs=tuple(noticed),
            note=how,
        ),
        Figure(
            section="failover",
            name="host dead → replacements Running, p50",
            measured=median(replaced),
            unit="s",
            goal=2,
            runs=tuple(replaced),
            note=how,
        ),
        Figure(
            section="failover",
            name="host dead → replacements Running, max",
            measured=max(replaced),
            unit="s",
            goal=3,
            runs=tuple(replaced),
            note=how,
        ),
    ]


def _one(cluster: clusters.Cluster, dead: Host) -> tuple[float, float]:
    """Seconds until the node is NotReady, and until all replicas run elsewhere."""
    api = cluster.api
    assert any(node_of(pod) == dead.name for pod in api.pods("web")), "it has something to lose"
    elapsed = stopwatch()
    cluster.power_off(dead)
    eventually(
        lambda: dead.name not in api.ready_nodes(), within_s=60, what=f"{dead.name} is NotReady"
    )
    noticed_s = elapsed()

    def are_replaced() -> bool:
        running = [
            pod
            for pod in api.pods("web")
            if pod["status"].get("phase") == "Running" and node_of(pod) != dead.name
        ]
        return len(running) == REPLICAS

    eventually(are_replaced, within_s=60, what=f"{REPLICAS} replicas run elsewhere")
    replaced_s = elapsed()
    cluster.power_on(dead)
    cluster.await_nodes(*cluster.hosts)
    cluster.await_ready("web", REPLICAS)
    return noticed_s, replaced_s
