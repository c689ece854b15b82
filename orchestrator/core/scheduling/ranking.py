"""Ranking: among the nodes that can take a pod, the one that serves the whole best.

One whole number per node says how good it is, lower is better, and one comparison settles all of,
in this order: untolerated PreferNoSchedule taints, pods of the same controller already there
(spreading dominates, so that three replicas on three nodes go one, one, one), how full and how
lopsided in cpu and memory the node would be, and last its name's rank, which makes the choice
unique. What a pod itself prefers comes right after the taints, and narrows the choice beforehand.

Pods of one signature are placed together. Only the node just taken changes its number, so a heap
is exact; and n pods can only ever go to the n best nodes, so the heap holds no more. Pods that have
preferences, or to which other pods matter, are placed one by one.
"""

import heapq
from collections.abc import Sequence

import numpy as np

from orchestrator.core.scheduling.draft import Draft
from orchestrator.core.scheduling.filters import eligible
from orchestrator.core.scheduling.peers import Face
from orchestrator.core.scheduling.signature import Signature
from orchestrator.core.scheduling.table import Floats, Ints, Mask, NodeTable, Use

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


class Ranking:
    """How good every node is for one more pod, kept while a draft fills."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._table = draft.table
        self._ranks = draft.table.ranks()
        self._per_unit = {name: _per_unit(draft.table, name) for name in RANKED}
        self._sum, self._difference = self._shares(slice(None))

    def take_many(self, signature: Signature, count: int) -> list[int]:
        """Rows for so many pods that do not mind each other, best first; fewer without room."""
        rows = self._best_rows(signature, np.flatnonzero(self._draft.fitting(signature)), count)
        if rows:
            self._placed(signature, rows)
        return rows

    def take_one(self, signature: Signature, face: Face | None) -> int | None:
        """The best row for a pod, if there is room.

        Args:
            signature: Of the pod.
            face: What others see of it; None when it concerns nobody, nobody concerns it, and it
                has no preferences.
        """
        fits = self._draft.fitting(signature)
        if face is not None:
            for _, left in self._draft.crowd.obstacles(signature, face):
                fits &= left
            fits = self._preferred(signature, face, fits)
        costs = np.where(fits, self._costs(signature), WORST)
        row = int(costs.argmin()) if len(costs) else 0
        if not len(costs) or costs[row] == WORST:
            return None
        self.put(signature, face, row)
        return row

    def put(self, signature: Signature, face: Face | None, row: int) -> None:
        """A pod goes to a row."""
        self._placed(signature, [row])
        if face is not None:
            self._draft.show(signature, face, row)

    def add(self, use: Use, sign: int = 1) -> None:
        """Room is kept for a pod, or (-1) not any longer."""
        row = self._table.rows.get(use.node)
        if row is not None:
            self._draft.add(use, row, sign)
            self._sum[row], self._difference[row] = self._shares(row)

    def _preferred(self, signature: Signature, face: Face, fits: Mask) -> Mask:
        """Of the rows that fit those which the pod likes best, among those with fewest taints."""
        if not fits.any():
            return fits
        found = eligible(self._table, signature)
        liked = self._draft.crowd.preference(signature, face, fits)
        if found.preference is not None:
            weights = found.preference / max(found.preference[fits].max(), 1) * 100
            liked = weights if liked is None else liked + weights
        if liked is None:
            return fits
        best = fits.copy()
        if found.penalty is not None:
            best &= found.penalty == found.penalty[best].min()
        best &= liked >= liked[best].max()
        return best

    def _best_rows(self, signature: Signature, fitting: Ints, count: int) -> list[int]:
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
            (self._table.capacity(name)[rows] - self._draft.free(name)[rows])
            * self._per_unit[name][rows]
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
        penalty = eligible(self._table, signature).penalty
        if penalty is not None:
            costs += penalty << PENALTY_SHIFT
        counts = self._draft.spread(signature.owner)
        if counts:
            costs[list(counts)] += (
                np.fromiter(counts.values(), np.int64, len(counts)) << SPREAD_SHIFT
            )
        return costs

    def _slots(self, signature: Signature, rows: Ints) -> list[int]:
        """How many such pods each row can still take."""
        if signature.ports:
            return [1] * len(rows)
        slots = np.full(len(rows), WORST)
        for resource, units in signature.requests:
            np.minimum(slots, self._draft.free(resource)[rows] // units, out=slots)
        return slots.tolist()

    def _placed(self, signature: Signature, rows: Sequence[int]) -> None:
        touched = self._draft.place(signature, rows)
        self._sum[touched], self._difference[touched] = self._shares(touched)


def _per_unit(table: NodeTable, resource: str) -> Floats:
    """The share of a node that one unit is."""
    return 1.0 / np.maximum(table.capacity(resource), 1)


def _fill(sum_: float, difference: float) -> int:
    return min(int((sum_ + abs(difference)) * FILL_SCALE), FILL_MAX)
