"""The table's columns as they become while pods are placed, and which rows can take one more."""

from collections.abc import Sequence

import numpy as np

from orchestrator.core.scheduling.crowd import Crowd
from orchestrator.core.scheduling.filters import eligible, port_conflicts
from orchestrator.core.scheduling.peers import Face, held_of
from orchestrator.core.scheduling.signature import Signature
from orchestrator.core.scheduling.table import Ints, Mask, NodeTable, Use


class Draft:
    """See the module.

    Attributes:
        ports: As the table's, with what was placed.
        crowd: Who is where, for those whom it concerns.
    """

    def __init__(self, table: NodeTable) -> None:
        self.table = table
        self.ports = {key: dict(rows) for key, rows in table.ports.items()}
        self.crowd = Crowd(table)
        self._free: dict[str, Ints] = {}
        self._owners: dict[str, dict[int, int]] = {}

    def free(self, resource: str) -> Ints:
        """Units not promised, a row each; negative where a pod was forced upon a full node."""
        found = self._free.get(resource)
        if found is None:
            found = self.table.capacity(resource) - self.table.used(resource)
            self._free[resource] = found
        return found

    def fitting(self, signature: Signature) -> Mask:
        """Rows that can take one more, apart from what other pods say of it."""
        fits = eligible(self.table, signature).mask.copy()
        for resource, units in signature.requests:
            fits &= self.free(resource) >= units
        if signature.ports:
            fits[list(port_conflicts(signature.ports, self.ports))] = False
        return fits

    def fits(self, signature: Signature, face: Face, row: int) -> bool:
        """Whether one row can take one more."""
        return (
            bool(eligible(self.table, signature).mask[row])
            and all(self.free(resource)[row] >= units for resource, units in signature.requests)
            and row not in port_conflicts(signature.ports, self.ports)
            and all(left[row] for _, left in self.crowd.obstacles(signature, face))
        )

    def spread(self, owner: str) -> dict[int, int]:
        """A controller's pods a row."""
        if owner in self._owners:
            return self._owners[owner]
        return self.table.owners.get(owner, {}) if owner else {}

    def place(self, signature: Signature, rows: Sequence[int]) -> Ints | int:
        """Pods of a signature are on these rows; returns each of them once."""
        touched: Ints | int
        touched, times = np.unique(rows, return_counts=True) if len(rows) > 1 else (rows[0], 1)
        for resource, units in signature.requests:
            self.free(resource)[touched] -= units * times
        for address, protocol, port in signature.ports:
            held = self.ports.setdefault((protocol, port), {})
            for row in rows:
                held[row] = [*held.get(row, ()), address]
        if signature.owner:
            counts = self._owners[signature.owner] = dict(self.spread(signature.owner))
            for row in rows:
                counts[row] = counts.get(row, 0) + 1
        return touched

    def show(self, signature: Signature, face: Face, row: int) -> None:
        """Others see a pod there that was placed."""
        self.crowd.add(face, held_of(signature.rules), row)

    def add(self, use: Use, row: int, sign: int = 1) -> None:
        """What a pod takes is taken, or (-1) free again."""
        for resource, units in use.requests:
            self.free(resource)[row] -= sign * units
        for address, protocol, port in use.ports:
            held = self.ports.setdefault((protocol, port), {})
            if sign > 0:
                held[row] = [*held.get(row, ()), address]
                continue
            left = list(held.pop(row))
            left.remove(address)
            if left:
                held[row] = left
        self.crowd.add(use.face, use.held, row, sign)
