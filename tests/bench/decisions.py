"""Scheduling decisions a second, decision only: no store, no bus, no agent.

python -m tests.bench.decisions
"""

import sys
import time

from orchestrator.core.scheduling import NodeTable, Placement, schedule
from proto.kinds.container import Container, ResourceRequirements
from proto.kinds.node import Node, NodeStatus
from proto.kinds.pod import Pod, PodSpec
from proto.meta import Condition, ObjectMeta, OwnerReference

READY = (Condition(type="Ready", status="True"),)
ZONES = 3


def measure(nodes: int = 5000, pods: int = 20_000) -> dict[str, float]:
    """Decisions a CPU second on one core.

    Identical pods are those of ten replica sets; of unique ones no two ask for the same.
    """
    table = table_of_size(nodes)
    identical = [_identical(number, number * 10 // pods) for number in range(pods)]
    unique = [_unique(number) for number in range(pods // 4)]
    return {
        "nodes": nodes,
        "identical_per_s": _rate(table, identical),
        "unique_per_s": _rate(table, unique),
    }


def table_of_size(nodes: int) -> NodeTable:
    """A table of empty nodes of two sizes."""
    table = NodeTable()
    for number in range(nodes):
        table.upsert_node(_node(number))
    return table


def _node(number: int) -> Node:
    allocatable = {"cpu": str(16 + 16 * (number % 2)), "memory": "64Gi", "pods": "110"}
    labels = {"zone": f"z{number % ZONES}", "kubernetes.io/hostname": f"n{number:05}"}
    return Node(
        metadata=ObjectMeta(name=f"n{number:05}", labels=labels),
        status=NodeStatus(allocatable=allocatable, conditions=READY),
    )


def _identical(number: int, owner: int) -> Pod:
    reference = OwnerReference(
        api_version="apps/v1",
        kind="ReplicaSet",
        name=f"rs{owner}",
        uid=f"rs{owner}",
        controller=True,
    )
    return _pod(number, "250m", "256Mi", {}, (reference,))


def _unique(number: int) -> Pod:
    selector = {"zone": f"z{number % ZONES}"} if number % 2 else {}
    return _pod(number, f"{100 + number}m", f"{100 + number}Mi", selector, ())


def _pod(
    number: int, cpu: str, memory: str, selector: dict[str, str], owners: tuple[OwnerReference, ...]
) -> Pod:
    requests = ResourceRequirements(requests={"cpu": cpu, "memory": memory})
    return Pod(
        metadata=ObjectMeta(
            name=f"p{number:06}", namespace="default", uid=f"p{number}", owner_references=owners
        ),
        spec=PodSpec(
            containers=(Container(name="main", image="demo/web:1", resources=requests),),
            node_selector=selector,
        ),
    )


def _rate(table: NodeTable, pods: list[Pod]) -> float:
    schedule(table, pods[:10])  # what labels and taints say of the nodes is remembered
    started = time.process_time()
    placements = schedule(table, pods)
    spent = time.process_time() - started
    _check(placements)
    return len(placements) / spent


def _check(placements: list[Placement]) -> None:
    unplaced = [placement for placement in placements if placement.node is None]
    if unplaced:
        sys.exit(f"not measured: {unplaced[0].message}")


if __name__ == "__main__":
    found = measure()
    print(
        f"{found['nodes']:.0f} nodes: {found['identical_per_s']:,.0f} decisions/s identical, "
        f"{found['unique_per_s']:,.0f} decisions/s unique"
    )
