"""Pods that a node's taints drive away, or that are left of a node: woken by nodes and pods."""

from collections.abc import Iterator

from orchestrator.core import evictions, garbage
from orchestrator.core.decisions import Plan
from orchestrator.runtime.controllers.controller import Controller
from orchestrator.world import Entry
from proto.kinds.node import NODES
from proto.kinds.pod import PODS


class Evictions(Controller[tuple[str]]):
    """Its keys are the names of nodes."""

    name = "eviction"
    kinds = frozenset({NODES, PODS})

    def woken_by(self, entry: Entry) -> Iterator[tuple[str]]:
        name = entry.name if entry.kind is NODES else entry.object.spec.node_name
        if name:
            yield (name,)

    def plan(self, key: tuple[str], now_ms: int) -> Plan:
        (name,) = key
        node = self._world.get(NODES, "", name)
        pods = self._world.pods_on(name)
        if node is None:
            return garbage.pods_without_node(pods, (), now_ms)
        return evictions.plan(node, pods, now_ms)
