"""Which nodes can take a pod at all, apart from how full they are."""

from collections.abc import Iterable, Mapping

import numpy as np
from msgspec import Struct

from orchestrator.core.scheduling.signature import Port, Signature
from orchestrator.core.scheduling.table import Ints, Mask, NodeTable
from proto.kinds.node import Taint
from proto.kinds.toleration import Toleration, tolerates

MEMO_MAX = 1024
"""Combinations of selector and tolerations remembered at once: a few megabytes at 5,000 nodes."""

ANY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


class Eligible(Struct, frozen=True):
    """What labels and taints say.

    Attributes:
        mask: The rows that they leave.
        penalty: Untolerated PreferNoSchedule taints a row; None when no row has any.
    """

    mask: Mask
    penalty: Ints | None


def eligible(table: NodeTable, signature: Signature) -> Eligible:
    """Rows that the pod's node selector and tolerations leave; remembered by the table."""
    key = (signature.selector, signature.tolerations)
    found: Eligible | None = table.memo.get(key)
    if found is None:
        if len(table.memo) >= MEMO_MAX:
            table.memo.clear()
        found = table.memo[key] = _eligible(table, signature)
    return found


def _eligible(table: NodeTable, signature: Signature) -> Eligible:
    sets = table.taint_sets
    refused = [untolerated(taints, signature.tolerations) is not None for taints in sets]
    avoided = [_penalty(taints, signature.tolerations) for taints in sets]
    taints = table.taints()
    mask = table.alive() & ~np.array(refused)[taints] & matching(table, signature)
    return Eligible(mask, np.array(avoided, np.int64)[taints] if any(avoided) else None)


def untolerated(taints: Iterable[Taint], tolerations: tuple[Toleration, ...]) -> Taint | None:
    """The first taint that keeps the pod away."""
    return next(
        (
            taint
            for taint in taints
            if taint.effect in ("NoSchedule", "NoExecute")
            and not tolerates(tolerations, taint.key, taint.value, taint.effect)
        ),
        None,
    )


def _penalty(taints: Iterable[Taint], tolerations: tuple[Toleration, ...]) -> int:
    return sum(
        taint.effect == "PreferNoSchedule"
        and not tolerates(tolerations, taint.key, taint.value, taint.effect)
        for taint in taints
    )


def matching(table: NodeTable, signature: Signature) -> Mask:
    """Rows that carry every label of the node selector."""
    mask = np.ones(len(table.names), np.bool_)
    for label in signature.selector:
        carrying = np.zeros(len(table.names), np.bool_)
        carrying[list(table.labels.get(label, ()))] = True
        mask &= carrying
    return mask


def port_conflicts(
    ports: Iterable[Port], held: Mapping[tuple[str, int], Mapping[int, Iterable[str]]]
) -> set[int]:
    """Rows on which another pod holds one of these ports; either address may mean all of them."""
    return {
        row
        for address, protocol, port in ports
        for row, addresses in held.get((protocol, port), {}).items()
        if address in ANY_ADDRESS
        or any(other in ANY_ADDRESS or other == address for other in addresses)
    }
