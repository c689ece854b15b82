"""Which nodes a pod may be on because of other pods, and which it would like.

Everything is counted in columns, a row each: pods that a term selects, and pods that hold a term.
Rows with the same value of a term's label are one domain, and count together.

Source of the rules: Kubernetes, pkg/scheduler/framework/plugins, interpodaffinity and
podtopologyspread.
"""

import math
from collections import Counter
from collections.abc import Iterable

import numpy as np

from orchestrator.core.scheduling.filters import matching, remembered, tolerated
from orchestrator.core.scheduling.peers import Face, Held, Rules, Spread, Term
from orchestrator.core.scheduling.signature import Signature
from orchestrator.core.scheduling.table import Floats, Ints, Mask, NodeTable

SCORE_MAX = 100
"""Of each preference, before they are added up. Source: Kubernetes, MaxNodeScore."""

AFFINITY = "node(s) didn't match pod affinity rules"
ANTI_AFFINITY = "node(s) didn't match pod anti-affinity rules"
EXISTING = "node(s) didn't satisfy existing pods anti-affinity rules"
SPREAD = "node(s) didn't match pod topology spread constraints"
SPREAD_LABEL = f"{SPREAD} (missing required label)"


class Domains:
    """The rows by their value of a label.

    Attributes:
        ids: The number of each row's value; of rows without one, `count`.
        count: How many values there are.
    """

    def __init__(self, table: NodeTable, key: str) -> None:
        values = table.labels.get(key, {})
        self.count = len(values)
        self.ids = np.full(len(table.names), self.count, np.int64)
        for number, rows in enumerate(values.values()):
            self.ids[list(rows)] = number

    @property
    def labelled(self) -> Mask:
        """Rows that have the label."""
        found: Mask = self.ids < self.count
        return found

    def sums(self, column: Ints) -> Ints:
        """For each row what its domain has of something; nothing where there is no label."""
        totals = np.bincount(self.ids, column, self.count + 1).astype(np.int64)
        totals[self.count] = 0
        found: Ints = totals[self.ids]
        return found


class Crowd:
    """The pods that are placed, as others see them, while more are placed."""

    def __init__(self, table: NodeTable) -> None:
        self._table = table
        self._counts: dict[tuple[tuple[Term, ...], bool], Ints] = {}
        self._held: dict[Held, Ints] = {}
        self._since: dict[Face, Counter[int]] = {}  # what came since, a row each

    def add(self, face: Face, held: Iterable[Held], row: int, sign: int = 1) -> None:
        """One more pod is on a row, or (-1) one less."""
        self._since.setdefault(face, Counter())[row] += sign
        for (terms, with_leaving), column in self._counts.items():
            if self._is_counted(face, terms, with_leaving):
                column[row] += sign
        for found in held:
            self._holding(found)[row] += sign

    def concerns(self, face: Face) -> bool:
        """Whether a pod that is placed says anything about pods of that face."""
        return any(self._selects(found.term, face) for found in self._all_held())

    def obstacles(self, signature: Signature, face: Face) -> list[tuple[str, Mask]]:
        """What keeps the pod from which rows: (reason, rows that remain), in Kubernetes' order."""
        rules = signature.rules or Rules()
        found = self._spread_obstacles(signature, rules, face)
        if rules.near:
            found.append((AFFINITY, self._near(rules.near, face)))
        for term in rules.far:
            found.append((ANTI_AFFINITY, self._sums(term, self._count((term,))) == 0))
        for held in self._all_held():
            if held.weight is None and self._selects(held.term, face):
                found.append((EXISTING, self._sums(held.term, self._holding(held)) == 0))
        return found

    def preference(self, signature: Signature, face: Face, fits: Mask) -> Floats | None:
        """How much the pod likes each row, because of other pods; None when that is all the same.

        Args:
            signature: Of the pod.
            face: Of the pod.
            fits: Rows that can take it, one at least.
        """
        rules = signature.rules or Rules()
        weights = [(weight, self._sums(t, self._count((t,)))) for weight, t in rules.likes]
        weights += [
            (held.weight, self._sums(held.term, self._holding(held)))
            for held in self._all_held()
            if held.weight is not None and self._selects(held.term, face)
        ]
        soft = [found for found in rules.spread if not found.is_hard]
        if not weights and not soft:
            return None
        total = np.zeros(len(fits))
        if weights:
            drawn = np.sum([weight * sums for weight, sums in weights], axis=0)
            least, most = drawn[fits].min(), drawn[fits].max()
            total += SCORE_MAX * (drawn - least) / max(most - least, 1)
        if soft:
            total += self._evenness(signature, soft, fits)
        return total

    def _evenness(self, signature: Signature, soft: Iterable[Spread], fits: Mask) -> Floats:
        labelled = np.ones(len(fits), np.bool_)
        crowding = np.zeros(len(fits))
        for found in soft:
            domains = self._domains(found.term.key)
            labelled &= domains.labelled
            counted = self._count((found.term,), with_leaving=False)
            counted = counted * self._countable(signature, found)
            weight = math.log(len(np.unique(domains.ids[fits & domains.labelled])) + 2)
            crowding += domains.sums(counted) * weight + found.max_skew - 1
        rated = fits & labelled
        if not rated.any():
            return np.zeros(len(fits))
        least, most = crowding[rated].min(), crowding[rated].max()
        score = SCORE_MAX * (most + least - crowding) / most if most else np.full(len(fits), 100.0)
        return np.where(rated, score, 0.0)

    def _spread_obstacles(
        self, signature: Signature, rules: Rules, face: Face
    ) -> list[tuple[str, Mask]]:
        hard = [found for found in rules.spread if found.is_hard]
        if not hard:
            return []
        labelled = np.ones(len(self._table.names), np.bool_)
        for found in hard:
            labelled &= self._domains(found.term.key).labelled
        obstacles = [(SPREAD_LABEL, labelled)]
        for found in hard:
            domains = self._domains(found.term.key)
            counts = labelled & self._countable(signature, found)
            sums = domains.sums(self._count((found.term,), with_leaving=False) * counts)
            known = len(np.unique(domains.ids[counts]))
            least = int(sums[counts].min()) if known and known >= found.min_domains else 0
            own = int(self._selects(found.term, face))
            obstacles.append((SPREAD, sums + own - least <= found.max_skew))
        return obstacles

    def _countable(self, signature: Signature, found: Spread) -> Mask:
        """Rows whose pods and domains count for a constraint."""
        mask = self._table.alive()
        if found.honors_affinity:
            mask &= matching(self._table, signature)
        if found.honors_taints:
            mask &= tolerated(self._table, signature)
        return mask

    def _near(self, terms: tuple[Term, ...], face: Face) -> Mask:
        """Rows near pods that all of these terms select; all, for the first of its kind."""
        column = self._count(terms)
        mask = np.ones(len(column), np.bool_)
        anywhere = np.zeros(len(column), np.int64)
        for term in terms:
            domains = self._domains(term.key)
            sums = domains.sums(column)
            anywhere += sums
            mask &= sums > 0
        if not anywhere.any() and all(self._selects(term, face) for term in terms):
            mask[:] = True
            for term in terms:
                mask &= self._domains(term.key).labelled
        return mask

    def _domains(self, key: str) -> Domains:
        found: Domains = remembered(
            self._table, ("domains", key), lambda: Domains(self._table, key)
        )
        return found

    def _sums(self, term: Term, column: Ints) -> Ints:
        return self._domains(term.key).sums(column)

    def _selects(self, term: Term, face: Face) -> bool:
        return term.selects(face, self._table.namespace_labels)

    def _is_counted(self, face: Face, terms: tuple[Term, ...], with_leaving: bool) -> bool:
        if face.is_leaving and not with_leaving:
            return False
        return all(self._selects(term, face) for term in terms)

    def _count(self, terms: tuple[Term, ...], *, with_leaving: bool = True) -> Ints:
        """Pods a row that all of these terms select."""
        key = terms, with_leaving
        column = self._counts.get(key)
        if column is None:
            column = self._counts[key] = np.zeros(len(self._table.names), np.int64)
            for face, rows in (*self._table.faces.items(), *self._since.items()):
                if self._is_counted(face, terms, with_leaving):
                    for row, count in rows.items():
                        column[row] += count
        return column

    def _holding(self, held: Held) -> Ints:
        """Pods a row that hold this term."""
        column = self._held.get(held)
        if column is None:
            column = self._held[held] = np.zeros(len(self._table.names), np.int64)
            for row, count in self._table.held.get(held, {}).items():
                column[row] += count
        return column

    def _all_held(self) -> list[Held]:
        return [*self._table.held, *(h for h in self._held if h not in self._table.held)]
