"""Preemption: which pods of lower priority must go so that one pod fits somewhere.

On a node, all pods of lower priority are thought away, and as many as possible let back, the more
important first. Of the nodes where that makes room, the one is taken where the least is lost.
Source of the rules and words: Kubernetes, pkg/scheduler/framework/preemption and
plugins/defaultpreemption.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from msgspec import Struct

from orchestrator.core import disruption
from orchestrator.core.scheduling.draft import Draft
from orchestrator.core.scheduling.filters import eligible
from orchestrator.core.scheduling.peers import face_of
from orchestrator.core.scheduling.signature import Signature
from orchestrator.core.scheduling.table import Mask, priority_of, use_of
from proto.kinds.disruption import PodDisruptionBudget
from proto.kinds.pod import Pod, is_active, is_terminated
from proto.kinds.quota import PREEMPT_NEVER

CANDIDATES_MAX = 100
"""Nodes to choose from; with so many, one more is hardly better. Source: MinCandidateNodesAbsolute.
"""

_PRIORITY_SHIFT = 2**31
"""Makes every priority positive, so that more victims are never better than fewer of the same."""

_NO_VICTIMS = "No preemption victims found for incoming pod"
_NOT_HELPFUL = "Preemption is not helpful for scheduling"


class Residents(Struct):
    """Who may have to make room.

    Attributes:
        on: The pods bound to a node of that name.
        budgets: All disruption budgets of a namespace.
        doomed: Uids of pods that were already told to make room in this pass.
    """

    on: Callable[[str], Sequence[Pod]]
    budgets: Callable[[str], Sequence[PodDisruptionBudget]]
    doomed: set[str]


class Preemption(Struct, frozen=True):
    """Room is made on a node.

    Attributes:
        victims: Who must go for it, the most important first; none when those go already.
    """

    node: str
    victims: tuple[Pod, ...]


class Outcome(Struct, frozen=True):
    """What came of it.

    Attributes:
        message: Why there is none; empty when nothing need be said of it.
        is_room_coming: Whether there is none because others leave the node that it was promised.
    """

    preemption: Preemption | None = None
    message: str = ""
    is_room_coming: bool = False


class _Candidate(Struct):
    preemption: Preemption
    loss: tuple[int, ...]


def preempt(draft: Draft, pod: Pod, signature: Signature, residents: Residents) -> Outcome:
    """Find the node where a pod that fits nowhere can make room for itself.

    Args:
        draft: As it is with everything placed so far; left so.
        pod: To be placed.
        signature: Of the pod.
        residents: Who may have to go; takes note of who has.
    """
    table, priority = draft.table, priority_of(pod)
    if not table.priorities or min(table.priorities) >= priority:
        return Outcome()
    total = len(table)
    if pod.spec.preemption_policy == PREEMPT_NEVER:
        return Outcome(message="not eligible due to preemptionPolicy=Never.")
    if _is_room_coming(pod, priority, residents):
        said = "not eligible due to terminating pod on the nominated node."
        return Outcome(message=said, is_room_coming=True)
    best: _Candidate | None = None
    tried = 0
    helpful = eligible(table, signature).mask
    for row in _promising(draft, signature, priority, helpful):
        found = _on_node(draft, row, pod, signature, residents)
        if found is None:
            continue
        tried += 1
        if best is None or found.loss < best.loss:
            best = found
        if tried == CANDIDATES_MAX or not found.preemption.victims:
            break
    if best is None:
        hopeless = total - int(helpful.sum())
        counts = {_NO_VICTIMS: total - hopeless, _NOT_HELPFUL: hopeless}
        said = ", ".join(sorted(f"{count} {why}" for why, count in counts.items() if count))
        return Outcome(message=f"0/{total} nodes are available: {said}.")
    residents.doomed |= {victim.metadata.uid for victim in best.preemption.victims}
    return Outcome(best.preemption)


def _is_room_coming(pod: Pod, priority: int, residents: Residents) -> bool:
    """Whether pods still leave the node that it was promised."""
    node = pod.status.nominated_node_name
    return bool(node) and any(
        found.metadata.deletion_timestamp and priority_of(found) < priority
        for found in residents.on(node)
    )


def _promising(draft: Draft, signature: Signature, priority: int, helpful: Mask) -> list[int]:
    """Rows, in the order of their names, with room enough if all of lower priority went."""
    table = draft.table
    mask = helpful.copy()
    yielding: dict[str, dict[int, int]] = {}
    for use in table.uses():
        row = table.rows.get(use.node)
        if row is None or use.priority >= priority:
            continue
        for resource, units in use.requests:
            rows = yielding.setdefault(resource, {})
            rows[row] = rows.get(row, 0) + units
    for resource, units in signature.requests:
        room = draft.free(resource).copy()
        for row, freed in yielding.get(resource, {}).items():
            room[row] += freed
        mask &= room >= units
    ranks = table.ranks()
    rows_left = [int(row) for row in np.flatnonzero(mask) if int(row) in yielding.get("pods", {})]
    return sorted(rows_left, key=lambda row: int(ranks[row]))


def _on_node(
    draft: Draft, row: int, pod: Pod, signature: Signature, residents: Residents
) -> _Candidate | None:
    """What would be lost on a node; None when even that does not help."""
    name = draft.table.names[row] or ""
    priority, face = priority_of(pod), face_of(pod)
    lower = [
        found
        for found in residents.on(name)
        if priority_of(found) < priority and not is_terminated(found)
    ]
    uses = {found.metadata.uid: use_of(found, name) for found in lower}
    away = set(uses)
    for use in uses.values():
        draft.add(use, row, -1)
    try:
        if not draft.fits(signature, face, row):
            return None
        staying = sorted(
            (f for f in lower if is_active(f) and f.metadata.uid not in residents.doomed),
            key=_importance,
        )
        violating, harmless = _by_budget(staying, residents)
        victims: list[Pod] = []
        violations = 0
        for found in (*violating, *harmless):
            uid = found.metadata.uid
            draft.add(uses[uid], row)
            if draft.fits(signature, face, row):
                away.discard(uid)
                continue
            draft.add(uses[uid], row, -1)
            victims.append(found)
            violations += any(found is other for other in violating)
    finally:
        for uid in away:
            draft.add(uses[uid], row)
    victims.sort(key=_importance)
    return _Candidate(Preemption(name, tuple(victims)), _loss(victims, violations))


def _importance(pod: Pod) -> tuple[int, str, str, str]:
    """The lower, the more important: by priority, then by how long it has been there."""
    meta = pod.metadata
    since = pod.status.start_time or meta.creation_timestamp
    return -priority_of(pod), since, meta.namespace, meta.name


def _by_budget(pods: Iterable[Pod], residents: Residents) -> tuple[list[Pod], list[Pod]]:
    """Pods whose end would violate a budget, and the others; both in their order."""
    left: dict[str, int] = {}
    violating: list[Pod] = []
    harmless: list[Pod] = []
    for pod in pods:
        is_violated = False
        for budget in residents.budgets(pod.metadata.namespace):
            status, uid = budget.status, budget.metadata.uid
            is_counted = pod.metadata.name not in status.disrupted_pods
            if is_counted and disruption.selects(budget, pod):
                left[uid] = left.get(uid, status.disruptions_allowed) - 1
                is_violated |= left[uid] < 0
        (violating if is_violated else harmless).append(pod)
    return violating, harmless


def _loss(victims: Sequence[Pod], violations: int) -> tuple[int, ...]:
    """The lower, the better: compared from left to right. Source: pickOneNodeForPreemption.

    Violated budgets, the highest priority that goes, the sum of priorities, how many go, and that
    the most important of them started late.
    """
    if not victims:
        return ()
    priorities = [priority_of(victim) for victim in victims]
    highest = max(priorities)
    started = min(
        victim.status.start_time or victim.metadata.creation_timestamp
        for victim, priority in zip(victims, priorities, strict=True)
        if priority == highest
    )
    total = sum(priority + _PRIORITY_SHIFT for priority in priorities)
    return violations, highest, total, len(victims), -_digits(started)


def _digits(time: str) -> int:
    """A time as a number that is higher the later it is."""
    return int("".join(sign for sign in time if sign.isdigit()) or 0)
