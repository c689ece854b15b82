"""Why no node can take a pod, in Kubernetes' words, each node counted once by its first obstacle.

Source of the words and of their order: Kubernetes, pkg/scheduler/framework/types.go (FitError) and
the plugins' ErrReason constants.
"""

from collections import Counter

import numpy as np

from orchestrator.core.scheduling.draft import Draft
from orchestrator.core.scheduling.filters import matching, port_conflicts, reaching, untolerated
from orchestrator.core.scheduling.peers import Face
from orchestrator.core.scheduling.signature import Signature
from orchestrator.core.scheduling.table import Mask, NodeTable
from proto.kinds.node import UNSCHEDULABLE_TAINT, Taint

_PORTS = "node(s) didn't have free ports for the requested pod ports"
_SELECTOR = "node(s) didn't match Pod's node affinity/selector"
_VOLUMES = "node(s) had volume node affinity conflict"


def message(draft: Draft, signature: Signature, face: Face) -> str:
    """The refusal, such as ``0/3 nodes are available: 1 Insufficient cpu, 2 Too many pods``.

    Args:
        draft: The nodes with everything placed so far.
        signature: Of the pod.
        face: What other pods see of it.
    """
    table = draft.table
    if not len(table):
        return "no nodes available to schedule pods"
    reasons: Counter[str] = Counter()
    left = _without_tainted(table, signature, table.alive(), reasons)
    left = _narrowed(left, matching(table, signature), _SELECTOR, reasons)
    left = _narrowed(left, reaching(table, signature.volumes), _VOLUMES, reasons)
    open_ = np.ones(len(left), np.bool_)
    open_[list(port_conflicts(signature.ports, draft.ports))] = False
    left = _narrowed(left, open_, _PORTS, reasons)
    fitting = left.copy()
    for resource, units in signature.requests:
        short = left & (draft.free(resource) < units)
        word = "Too many pods" if resource == "pods" else f"Insufficient {resource}"
        reasons[word] += int(short.sum())
        fitting &= ~short
    for word, remaining in draft.crowd.obstacles(signature, face):
        fitting = _narrowed(fitting, remaining, word, reasons)
    said = sorted(f"{count} {reason}" for reason, count in reasons.items() if count)
    return f"0/{len(table)} nodes are available: {', '.join(said)}."


def blocked(table: NodeTable, said: str, *, is_by_node: bool) -> str:
    """The refusal of a pod that no node could take, however empty it were."""
    count = f"{len(table)} " if is_by_node else ""
    return f"0/{len(table)} nodes are available: {count}{said}."


def _narrowed(left: Mask, fits: Mask, reason: str, reasons: Counter[str]) -> Mask:
    reasons[reason] += int((left & ~fits).sum())
    return left & fits


def _without_tainted(
    table: NodeTable, signature: Signature, left: Mask, reasons: Counter[str]
) -> Mask:
    sets = table.taints()
    for index, taints in enumerate(table.taint_sets):
        taint = untolerated(taints, signature.tolerations)
        if taint is not None:
            left = _narrowed(left, sets != index, _taint_reason(taint), reasons)
    return left


def _taint_reason(taint: Taint) -> str:
    if taint.key == UNSCHEDULABLE_TAINT:
        return "node(s) were unschedulable"
    return f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}"
