"""The nodes in columns: one row a node, one numpy array a resource.

Kept up to date from the world, object by object; every change may be applied twice. Nothing in it
depends on the order in which nodes and pods arrived: where two nodes are equally good, their names
decide.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from orchestrator.core.scheduling import signature
from orchestrator.core.scheduling.signature import Port
from proto.kinds.node import (
    NOT_READY_TAINT,
    UNREACHABLE_TAINT,
    UNSCHEDULABLE_TAINT,
    Node,
    Taint,
    allocatable,
)
from proto.kinds.pod import Pod, is_terminated
from proto.meta import is_true

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

UNITS_MAX = signature.UNITS_MAX
CAPACITY_MIN = 64


class Use(Struct, frozen=True):
    """What a bound pod takes from its node.

    Attributes:
        node: Its node's name, whether or not there is such a node.
        owner: Of pods that count for spreading; empty for those being deleted.
    """

    node: str
    requests: tuple[tuple[str, int], ...]
    ports: frozenset[Port]
    owner: str


class NodeTable:
    """See the module.

    Attributes:
        names: Row to node name; None for a free row.
        rows: Node name to row.
        taint_sets: Every combination of taints met, those included that follow from a node's state.
        labels: Label's key to value to the rows that carry it.
        ports: (protocol, port) to row to the addresses that pods hold there, one entry a pod.
        owners: Controller's uid to row to its pods there.
        memo: What others derived from labels and taints; emptied whenever those change.
    """

    def __init__(self) -> None:
        self.names: list[str | None] = []
        self.rows: dict[str, int] = {}
        self.taint_sets: list[tuple[Taint, ...]] = [()]
        self.labels: dict[str, dict[str, set[int]]] = {}
        self.ports: dict[tuple[str, int], dict[int, list[str]]] = {}
        self.owners: dict[str, dict[int, int]] = {}
        self.memo: dict[Any, Any] = {}
        self._taint_set_of: dict[tuple[Taint, ...], int] = {(): 0}
        self._taints = np.zeros(CAPACITY_MIN, np.int64)
        self._capacity: dict[str, Ints] = {}
        self._used: dict[str, Ints] = {}
        self._room = CAPACITY_MIN
        self._free_rows: list[int] = []
        self._uses: dict[str, Use] = {}
        self._uids: dict[str, set[str]] = {}
        self._nodes: dict[str, Node] = {}
        self._ranks: Ints | None = None
        for name in ("cpu", "memory", "pods"):
            self._column(name)

    def __len__(self) -> int:
        return len(self.rows)

    def upsert_node(self, node: Node) -> None:
        """Take over a node as it is now."""
        name = node.metadata.name
        old = self._nodes.get(name)
        if old is not None and _same_for_scheduling(old, node):
            self._nodes[name] = node
            return
        row = self.rows.get(name)
        if row is None:
            row = self._new_row(name)
            self._ranks = None
        elif old is not None:
            self._unlabel(row, old)
        self._nodes[name] = node
        self.memo.clear()
        self._taints[row] = self._taint_set(effective_taints(node))
        for key, value in node.metadata.labels.items():
            self.labels.setdefault(key, {}).setdefault(value, set()).add(row)
        has = allocatable(node)
        for resource in has.keys() | self._capacity.keys():
            self._column(resource)[row] = min(has.get(resource, 0), UNITS_MAX - 1)
        if old is None:
            for uid in self._uids.get(name, ()):
                self._count(self._uses[uid], row, 1)

    def remove_node(self, name: str) -> None:
        """Forget a node; the pods bound to it are remembered, should it return."""
        row = self.rows.pop(name, None)
        if row is None:
            return
        for uid in self._uids.get(name, ()):
            self._count(self._uses[uid], row, -1)
        self._unlabel(row, self._nodes.pop(name))
        for column in self._capacity.values():
            column[row] = 0
        self.names[row] = None
        self._taints[row] = 0
        self._free_rows.append(row)
        self._ranks = None
        self.memo.clear()

    def upsert_pod(self, pod: Pod) -> None:
        """Take over a pod as it is now: bound, unbound, being deleted or ended."""
        uid = pod.metadata.uid
        node = pod.spec.node_name
        if not node or is_terminated(pod):
            self.remove_pod(uid)
            return
        is_leaving = bool(pod.metadata.deletion_timestamp)
        owner = "" if is_leaving else signature.owner_of(pod)
        old = self._uses.get(uid)
        if old is not None and old.node == node and old.owner == owner:
            return  # a bound pod's requests and ports cannot change
        self.remove_pod(uid)
        found = signature.of(pod.spec, owner)
        use = Use(node, found.requests, found.ports, owner)
        self._uses[uid] = use
        self._uids.setdefault(node, set()).add(uid)
        row = self.rows.get(node)
        if row is not None:
            self._count(use, row, 1)

    def remove_pod(self, uid: str) -> None:
        """Forget a pod; one that is not known is no matter."""
        use = self._uses.pop(uid, None)
        if use is None:
            return
        on_node = self._uids[use.node]
        on_node.discard(uid)
        if not on_node:
            del self._uids[use.node]
        row = self.rows.get(use.node)
        if row is not None:
            self._count(use, row, -1)

    def capacity(self, resource: str) -> Ints:
        """Units that pods may use, a row each; zeros for a resource that no node ever had."""
        return self._trimmed(self._capacity.get(resource))

    def used(self, resource: str) -> Ints:
        """Units that pods have been promised."""
        return self._trimmed(self._used.get(resource))

    def _trimmed(self, column: Ints | None) -> Ints:
        size = len(self.names)
        return np.zeros(size, np.int64) if column is None else column[:size]

    def taints(self) -> Ints:
        """Every row's index in `taint_sets`."""
        return self._taints[: len(self.names)]

    def alive(self) -> Mask:
        """Which rows hold a node."""
        return np.fromiter((name is not None for name in self.names), np.bool_, len(self.names))

    def ranks(self) -> Ints:
        """Every row's place among the nodes in order of name: decides between equals."""
        if self._ranks is None:
            ranks = np.zeros(len(self.names), np.int64)
            for rank, name in enumerate(sorted(self.rows)):
                ranks[self.rows[name]] = rank
            self._ranks = ranks
        return self._ranks

    def _new_row(self, name: str) -> int:
        if self._free_rows:
            row = self._free_rows.pop()
            self.names[row] = name
        else:
            row = len(self.names)
            self.names.append(name)
            if row == self._room:
                self._grow()
        self.rows[name] = row
        return row

    def _taint_set(self, taints: tuple[Taint, ...]) -> int:
        found = self._taint_set_of.setdefault(taints, len(self.taint_sets))
        if found == len(self.taint_sets):
            self.taint_sets.append(taints)
        return found

    def _grow(self) -> None:
        self._taints = np.concatenate((self._taints, np.zeros(self._room, np.int64)))
        self._room *= 2
        for columns in (self._capacity, self._used):
            for resource, column in columns.items():
                wider = np.zeros(self._room, np.int64)
                wider[: len(column)] = column
                columns[resource] = wider

    def _column(self, resource: str) -> Ints:
        """The resource's capacity, whole; made when it is new."""
        column = self._capacity.get(resource)
        if column is None:
            column = self._capacity[resource] = np.zeros(self._room, np.int64)
            self._used[resource] = np.zeros(self._room, np.int64)
        return column

    def _unlabel(self, row: int, old: Node) -> None:
        for key, value in old.metadata.labels.items():
            values = self.labels[key]
            values[value].discard(row)
            if not values[value]:
                del values[value]
                if not values:
                    del self.labels[key]

    def _count(self, use: Use, row: int, sign: int) -> None:
        for resource, units in use.requests:
            self._column(resource)
            self._used[resource][row] += sign * units
        for address, protocol, port in use.ports:
            held = self.ports.setdefault((protocol, port), {}).setdefault(row, [])
            if sign > 0:
                held.append(address)
            else:
                held.remove(address)
                if not held:
                    del self.ports[protocol, port][row]
        if use.owner:
            counts = self.owners.setdefault(use.owner, {})
            counts[row] = counts.get(row, 0) + sign
            if not counts[row]:
                del counts[row]
                if not counts:
                    del self.owners[use.owner]


def effective_taints(node: Node) -> tuple[Taint, ...]:
    """A node's taints, with those that follow from its being cordoned or not ready."""
    taints = [replace(taint, time_added="") for taint in node.spec.taints]
    keys = {taint.key for taint in taints}
    if node.spec.unschedulable and UNSCHEDULABLE_TAINT not in keys:
        taints.append(Taint(key=UNSCHEDULABLE_TAINT, effect="NoSchedule"))
    if not is_true(node.status.conditions, "Ready") and not keys & {
        NOT_READY_TAINT,
        UNREACHABLE_TAINT,
    }:
        taints.append(Taint(key=NOT_READY_TAINT, effect="NoSchedule"))
    return tuple(taints)


def _same_for_scheduling(old: Node, new: Node) -> bool:
    return (
        old.metadata.labels == new.metadata.labels
        and old.status.allocatable == new.status.allocatable
        and effective_taints(old) == effective_taints(new)
    )


def table_of(nodes: Iterable[Node], pods: Iterable[Pod] = ()) -> NodeTable:
    """A table of these nodes and of the pods bound to them."""
    table = NodeTable()
    for node in nodes:
        table.upsert_node(node)
    for pod in pods:
        table.upsert_pod(pod)
    return table
