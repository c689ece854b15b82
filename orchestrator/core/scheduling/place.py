"""Ranking: among the nodes that can take a pod, the one that serves the whole best.

One whole number per node says how good it is, lower is better, and one comparison settles all of,
in this order: untolerated PreferNoSchedule taints, pods of the same controller already there
(spreading dominates, so that three replicas on three nodes go one, one, one), how full and how
lopsided in cpu and memory the node would be, and last its name's rank, which makes the choice
unique. What a pod itself prefers comes right after the taints, and narrows the choice beforehand.

Pods of one signature are placed together. Only the node just taken changes its number, so a heap
is exact; and n pods can only ever go to the n best nodes, so the heap holds no more. Pods with
preferences are placed one by one.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from msgspec import Struct

from orchestrator.core.scheduling import refusal, signature as signatures
from orchestrator.core.scheduling.filters import eligible, port_conflicts
from orchestrator.core.scheduling.signature import Signature
from orchestrator.core.scheduling.table import Floats, Ints, Mask, NodeTable
from proto.kinds.node_selector import NodeSelector
from proto.kinds.pod import Pod

BATCH = 2000
"""Pods grouped at a time. More would place all of one kind before the next one gets a say."""

PENALTY_SHIFT, SPREAD_SHIFT, FILL_SHIFT = 58, 40, 20
"""Bits: 5 of taints, 18 of pods of the same controller, 20 of filling, 20 of name's rank."""

FILL_SCALE = 1 << 18
"""Filling is the sum of up to three shares and their difference, below 4."""

FILL_MAX = (1 << 20) - 1
"""Only nodes that pods were forced upon come near it."""

WORST = np.iinfo(np.int64).max

RANKED = ("cpu", "memory", "pods")
"""Resources whose shares in use decide how full a node is."""

Rows = Ints | slice | int
"""Which rows of a column."""


class Placement(Struct, frozen=True):
    """Where a pod should run.

    Attributes:
        node: None when no node can take it now; `message` then says why, node by node counted.
    """

    pod: Pod
    node: str | None
    message: str = ""


def schedule(
    table: NodeTable,
    pods: Iterable[Pod],
    volumes: Mapping[str, tuple[NodeSelector, ...]] = MappingProxyType({}),
) -> list[Placement]:
    """Choose a node for each of these unbound pods, oldest first.

    The table is left as it is: it learns of the pods when they have been bound.

    Args:
        table: The nodes.
        pods: In any order.
        volumes: By pod's uid: see `Signature.volumes`.
    """
    waiting = sorted(pods, key=_queue_key)
    draft = _Draft(table)
    placements: list[Placement] = []
    for start in range(0, len(waiting), BATCH):
        for signature, group in signatures.grouped(waiting[start : start + BATCH], volumes):
            placements += _place_group(draft, signature, group)
    return placements


def _queue_key(pod: Pod) -> tuple[str, str, str]:
    meta = pod.metadata
    return meta.creation_timestamp, meta.namespace, meta.name


def _place_group(
    draft: "_Draft", signature: Signature, group: Sequence[Pod]
) -> Iterator[Placement]:
    names = draft.table.names
    rows = draft.take(signature, len(group))
    for pod, row in zip(group, rows, strict=False):
        yield Placement(pod, names[row])
    if len(rows) < len(group):
        message = refusal.message(draft.table, signature, draft.free, draft.ports)
        for pod in group[len(rows) :]:
            yield Placement(pod, None, message)


class _Draft:
    """The table's columns as they become while pods are placed.

    Attributes:
        ports: As the table's, with what was placed.
    """

    def __init__(self, table: NodeTable) -> None:
        self.table = table
        self.ports = {key: dict(rows) for key, rows in table.ports.items()}
        self._free: dict[str, Ints] = {}
        self._owners: dict[str, dict[int, int]] = {}
        self._ranks = table.ranks()
        self._per_unit = {name: _per_unit(table, name) for name in RANKED}
        self._sum, self._difference = self._shares(slice(None))

    def take(self, signature: Signature, count: int) -> list[int]:
        """Rows for so many pods of a signature, best first; fewer when there is no more room."""
        if count > 1 and not signature.has_preferences:
            rows = self._take_many(signature, np.flatnonzero(self._fitting(signature)), count)
            if rows:
                self._record(signature, rows)
            return rows
        taken: list[int] = []
        while len(taken) < count and (row := self._best(signature)) is not None:
            taken.append(row)
            self._record(signature, [row])
        return taken

    def _fitting(self, signature: Signature) -> Mask:
        """Rows that can take one more."""
        fits = eligible(self.table, signature).mask.copy()
        for resource, units in signature.requests:
            fits &= self.free(resource) >= units
        if signature.ports:
            fits[list(port_conflicts(signature.ports, self.ports))] = False
        return fits

    def _best(self, signature: Signature) -> int | None:
        fits = self._fitting(signature)
        if signature.has_preferences:
            fits = self._preferred(signature, fits)
        costs = np.where(fits, self._costs(signature), WORST)
        row = int(costs.argmin()) if len(costs) else 0
        return row if len(costs) and costs[row] != WORST else None

    def free(self, resource: str) -> Ints:
        """Units not promised, a row each; negative where a pod was forced upon a full node."""
        found = self._free.get(resource)
        if found is None:
            found = self.table.capacity(resource) - self.table.used(resource)
            self._free[resource] = found
        return found

    def _take_many(self, signature: Signature, fitting: Ints, count: int) -> list[int]:
        costs = self._costs(signature)
        if len(fitting) > count:
            fitting = fitting[np.argpartition(costs[fitting], count - 1)[:count]]
        slots = self._slots(signature, fitting)
        step_sum, step_difference = self._steps(signature, fitting)
        fill = [
            list(column)
            for column in zip(
                self._sum[fitting].tolist(),
                self._difference[fitting].tolist(),
                step_sum.tolist(),
                step_difference.tolist(),
                strict=True,
            )
        ]
        heap = list(zip(costs[fitting].tolist(), range(len(fitting)), strict=True))
        heapq.heapify(heap)
        spread = (1 << SPREAD_SHIFT) if signature.owner else 0
        numbers = fitting.tolist()
        taken: list[int] = []
        while heap and len(taken) < count:
            cost, at = heap[0]
            taken.append(numbers[at])
            slots[at] -= 1
            if not slots[at]:
                heapq.heappop(heap)
                continue
            state = fill[at]
            before = _fill(state[0] + state[2], state[1] + state[3])
            state[0] += state[2]
            state[1] += state[3]
            after = _fill(state[0] + state[2], state[1] + state[3])
            heapq.heapreplace(heap, (cost + spread + ((after - before) << FILL_SHIFT), at))
        return taken

    def _shares(self, rows: Rows) -> tuple[Floats, Floats]:
        """Shares of cpu, memory and pods in use: their sum, and how much cpu exceeds memory."""
        cpu, memory, pods = (
            (self.table.capacity(name)[rows] - self.free(name)[rows]) * self._per_unit[name][rows]
            for name in RANKED
        )
        return cpu + memory + pods, cpu - memory

    def _steps(self, signature: Signature, rows: Rows) -> tuple[Floats, Floats]:
        """What one such pod adds to the sum and to the difference of the shares in use."""
        asked = dict(signature.requests)
        cpu = self._per_unit["cpu"][rows] * asked.get("cpu", 0)
        memory = self._per_unit["memory"][rows] * asked.get("memory", 0)
        return cpu + memory + self._per_unit["pods"][rows], cpu - memory

    def _costs(self, signature: Signature) -> Ints:
        step_sum, step_difference = self._steps(signature, slice(None))
        step_sum += self._sum
        step_difference += self._difference
        np.abs(step_difference, out=step_difference)
        step_sum += step_difference
        step_sum *= FILL_SCALE
        costs = np.minimum(step_sum, FILL_MAX, out=step_sum).astype(np.int64)
        costs <<= FILL_SHIFT
        costs += self._ranks
        penalty = eligible(self.table, signature).penalty
        if penalty is not None:
            costs += penalty << PENALTY_SHIFT
        counts = self._counts(signature.owner)
        if counts:
            costs[list(counts)] += (
                np.fromiter(counts.values(), np.int64, len(counts)) << SPREAD_SHIFT
            )
        return costs

    def _preferred(self, signature: Signature, fits: Mask) -> Mask:
        """Of the rows that fit those which the pod likes best, among those with fewest taints."""
        found = eligible(self.table, signature)
        if found.preference is None or not fits.any():
            return fits
        best = fits.copy()
        if found.penalty is not None:
            best &= found.penalty == found.penalty[best].min()
        best &= found.preference == found.preference[best].max()
        return best

    def _counts(self, owner: str) -> dict[int, int]:
        if owner in self._owners:
            return self._owners[owner]
        return self.table.owners.get(owner, {}) if owner else {}

    def _slots(self, signature: Signature, rows: Ints) -> list[int]:
        """How many such pods each row can still take."""
        if signature.ports:
            return [1] * len(rows)
        slots = np.full(len(rows), WORST)
        for resource, units in signature.requests:
            np.minimum(slots, self.free(resource)[rows] // units, out=slots)
        return slots.tolist()

    def _record(self, signature: Signature, rows: Sequence[int]) -> None:
        touched, times = np.unique(rows, return_counts=True) if len(rows) > 1 else (rows[0], 1)
        for resource, units in signature.requests:
            self.free(resource)[touched] -= units * times
        self._sum[touched], self._difference[touched] = self._shares(touched)
        for address, protocol, port in signature.ports:
            held = self.ports.setdefault((protocol, port), {})
            for row in rows:
                held[row] = [*held.get(row, ()), address]
        if signature.owner:
            counts = self._owners[signature.owner] = dict(self._counts(signature.owner))
            for row in rows:
                counts[row] = counts.get(row, 0) + 1


def _per_unit(table: NodeTable, resource: str) -> Floats:
    """The share of a node that one unit is."""
    return 1.0 / np.maximum(table.capacity(resource), 1)


def _fill(sum_: float, difference: float) -> int:
    return min(int((sum_ + abs(difference)) * FILL_SCALE), FILL_MAX)
