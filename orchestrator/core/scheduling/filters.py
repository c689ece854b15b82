"""Which nodes can take a pod at all, apart from how full they are."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import numpy as np
from msgspec import Struct

from orchestrator.core.scheduling.signature import Port, Signature
from orchestrator.core.scheduling.table import Ints, Mask, NodeTable
from proto.kinds.node import Taint
from proto.kinds.node_selector import (
    NAME_FIELD,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
)
from proto.kinds.toleration import Toleration, tolerates

MEMO_MAX = 1024
"""Combinations of selector and tolerations remembered at once: a few megabytes at 5,000 nodes."""

ANY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


class Eligible(Struct, frozen=True):
    """What labels and taints say.

    Attributes:
        mask: The rows that they leave.
        penalty: Untolerated PreferNoSchedule taints a row; None when no row has any.
        preference: Weights of the preferred terms that select a row; None when there are none.
    """

    mask: Mask
    penalty: Ints | None
    preference: Ints | None


def eligible(table: NodeTable, signature: Signature) -> Eligible:
    """Rows that a pod's selector, affinity, volumes and tolerations leave; kept by the table."""
    key = (signature.selector, signature.affinity, signature.volumes, signature.tolerations)
    found: Eligible = remembered(table, key, lambda: _eligible(table, signature))
    return found


def remembered(table: NodeTable, key: Hashable, derive: Callable[[], Any]) -> Any:
    """What follows from labels and taints alone, derived once until those change."""
    found = table.memo.get(key)
    if found is None:
        if len(table.memo) >= MEMO_MAX:
            table.memo.clear()
        found = table.memo[key] = derive()
    return found


def _eligible(table: NodeTable, signature: Signature) -> Eligible:
    avoided = [_penalty(taints, signature.tolerations) for taints in table.taint_sets]
    taints = table.taints()
    mask = table.alive() & tolerated(table, signature) & matching(table, signature)
    mask &= reaching(table, signature.volumes)
    penalty = np.array(avoided, np.int64)[taints] if any(avoided) else None
    return Eligible(mask, penalty, _preference(table, signature.affinity))


def tolerated(table: NodeTable, signature: Signature) -> Mask:
    """Rows none of whose taints keeps the pod away."""
    fine = [untolerated(taints, signature.tolerations) is None for taints in table.taint_sets]
    mask: Mask = np.array(fine)[table.taints()]
    return mask


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


def _preference(table: NodeTable, affinity: NodeAffinity | None) -> Ints | None:
    if affinity is None or not affinity.preferred:
        return None
    total = np.zeros(len(table.names), np.int64)
    for found in affinity.preferred:
        total[selected(table, found.preference)] += found.weight
    return total


def matching(table: NodeTable, signature: Signature) -> Mask:
    """Rows that carry every label of the node selector, and that the affinity requires."""
    mask = np.ones(len(table.names), np.bool_)
    for key, value in signature.selector:
        mask &= _rows(table, table.labels.get(key, {}).get(value, ()))
    affinity = signature.affinity
    if affinity is not None and affinity.required is not None:
        mask &= _either(table, affinity.required)
    return mask


def selected(table: NodeTable, term: NodeSelectorTerm) -> Mask:
    """Rows that a term selects; each of its parts is asked once for each value, not each row."""
    mask = np.full(len(table.names), not term.is_empty)
    for found in term.match_expressions:
        mask &= _satisfying(table, found, table.labels.get(found.key, {}))
    for found in term.match_fields:
        mask &= _named(table, found)
    return mask


def _named(table: NodeTable, found: NodeSelectorRequirement) -> Mask:
    """The same of names, which are looked up: each daemon pod requires another."""
    names = found.values if found.key == NAME_FIELD else ()
    listed = _rows(table, [table.rows[name] for name in names if name in table.rows])
    return listed if found.operator == "In" else ~listed


def _satisfying(
    table: NodeTable, found: NodeSelectorRequirement, values: Mapping[str, Iterable[int]]
) -> Mask:
    """Rows that satisfy a requirement, of the rows by their values of its key."""
    mask = np.full(len(table.names), found.matches({}))
    for value, rows in values.items():
        mask[list(rows)] = found.matches({found.key: value})
    return mask


def _rows(table: NodeTable, rows: Iterable[int]) -> Mask:
    mask = np.zeros(len(table.names), np.bool_)
    mask[list(rows)] = True
    return mask


def reaching(table: NodeTable, volumes: Iterable[NodeSelector]) -> Mask:
    """Rows that every volume of a pod can be reached from."""
    mask = np.ones(len(table.names), np.bool_)
    for found in volumes:
        mask &= _either(table, found)
    return mask


def _either(table: NodeTable, selector: NodeSelector) -> Mask:
    """Rows that any of the terms selects."""
    mask = np.zeros(len(table.names), np.bool_)
    for term in selector.node_selector_terms:
        mask |= selected(table, term)
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
