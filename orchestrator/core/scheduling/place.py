"""Which pod is placed when, and where: the queue, in order of priority.

Pods of one signature and priority are placed together, as far as other pods do not matter to them.
Whoever fits nowhere may make room, see `preemption`; until that room is there, others of no higher
priority leave it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType

from msgspec import Struct

from orchestrator.core.scheduling import refusal, signature as signatures
from orchestrator.core.scheduling.draft import Draft
from orchestrator.core.scheduling.peers import face_of, has_rules
from orchestrator.core.scheduling.preemption import Preemption, Residents, preempt
from orchestrator.core.scheduling.ranking import Ranking
from orchestrator.core.scheduling.signature import Signature
from orchestrator.core.scheduling.table import NodeTable, priority_of, use_of
from proto.kinds.node_selector import NodeSelector
from proto.kinds.pod import Pod

BATCH = 2000
"""Pods grouped at a time. More would place all of one kind before the next one gets a say."""


class Placement(Struct, frozen=True):
    """Where a pod should run.

    Attributes:
        node: None when no node can take it now; `message` then says why, node by node counted.
        preemption: Where it makes room for itself meanwhile; None when it does not.
        nominated: The node where room is being made for it; empty for none.
    """

    pod: Pod
    node: str | None
    message: str = ""
    preemption: Preemption | None = None
    nominated: str = ""


def schedule(
    table: NodeTable,
    pods: Iterable[Pod],
    residents: Residents | None = None,
    volumes: Mapping[str, tuple[NodeSelector, ...]] = MappingProxyType({}),
) -> list[Placement]:
    """Choose a node for each of these unbound pods, by priority and then oldest first.

    The table is left as it is: it learns of the pods when they have been bound.

    Args:
        table: The nodes, and what is bound to them.
        pods: To be placed.
        residents: Who may have to make room; None: nobody has.
        volumes: By pod's uid: see `Signature.volumes`.
    """
    waiting = sorted(pods, key=_queue_key)
    run = _Run(table, residents, does_crowd=any(has_rules(pod.spec) for pod in waiting))
    placements: list[Placement] = []
    for priority, alike in groupby(waiting, priority_of):
        run.keep_room(priority)
        together = list(alike)
        for start in range(0, len(together), BATCH):
            for signature, group in signatures.grouped(together[start : start + BATCH], volumes):
                placements += run.place(signature, group)
    return placements


def _queue_key(pod: Pod) -> tuple[int, str, str, str]:
    meta = pod.metadata
    return -priority_of(pod), meta.creation_timestamp, meta.namespace, meta.name


class _Run:
    """One pass over the queue."""

    def __init__(self, table: NodeTable, residents: Residents | None, *, does_crowd: bool) -> None:
        self._table = table
        self._residents = residents
        self._does_crowd = does_crowd
        self._draft = Draft(table)
        self._ranking = Ranking(self._draft)
        self._kept: set[str] = set()

    def keep_room(self, priority: int) -> None:
        """Count what pods of this priority and above will take of the nodes they were promised."""
        for uid, use in self._table.nominated.items():
            if use.priority >= priority and uid not in self._kept:
                self._ranking.add(use)
                self._kept.add(uid)

    def place(self, signature: Signature, group: Sequence[Pod]) -> Iterator[Placement]:
        """Place pods of one signature and priority."""
        if self._kept:
            promised = [pod for pod in group if pod.metadata.uid in self._kept]
            group = [pod for pod in group if pod.metadata.uid not in self._kept]
            for pod in promised:
                yield self._place_promised(signature, pod)
        if self._is_single(signature, group):
            yield from self._place_each(signature, group)
        else:
            yield from self._place_together(signature, group)

    def _is_single(self, signature: Signature, group: Sequence[Pod]) -> bool:
        """Whether its nodes change with each pod that is placed, or with what it looks like."""
        if signature.has_preferences or self._does_crowd:
            return True
        if not self._table.held:
            return False
        return any(self._draft.crowd.concerns(face) for face in {face_of(pod) for pod in group})

    def _place_together(self, signature: Signature, group: Sequence[Pod]) -> Iterator[Placement]:
        names = self._table.names
        rows: Sequence[int] = ()
        if len(group) > 1:
            rows = self._ranking.take_many(signature, len(group))
        elif group and (row := self._ranking.take_one(signature, None)) is not None:
            rows = (row,)
        for pod, row in zip(group, rows, strict=False):
            yield Placement(pod, names[row])
        for pod in group[len(rows) :]:
            yield self._refused(signature, pod)

    def _place_each(self, signature: Signature, group: Sequence[Pod]) -> Iterator[Placement]:
        for pod in group:
            row = self._ranking.take_one(signature, face_of(pod))
            if row is None:
                yield self._refused(signature, pod)
            else:
                yield Placement(pod, self._table.names[row])

    def _place_promised(self, signature: Signature, pod: Pod) -> Placement:
        """A pod for which room was made: there, as soon as it can, or wherever else it fits."""
        uid = pod.metadata.uid
        use = self._table.nominated[uid]
        self._ranking.add(use, -1)
        face = face_of(pod)
        row = self._table.rows.get(use.node)
        if row is not None and self._draft.fits(signature, face, row):
            self._ranking.put(signature, face, row)
            return Placement(pod, use.node)
        row = self._ranking.take_one(signature, face)
        if row is not None:
            return Placement(pod, self._table.names[row])
        refused = self._refused(signature, pod)
        if refused.nominated and refused.preemption is None:
            self._ranking.add(use)
        return refused

    def _refused(self, signature: Signature, pod: Pod) -> Placement:
        face = face_of(pod)
        message = refusal.message(self._draft, signature, face)
        nominated = pod.status.nominated_node_name
        if self._residents is None:
            return Placement(pod, None, message, nominated=nominated)
        found = preempt(self._draft, pod, signature, self._residents)
        if found.message:
            message = f"{message} preemption: {found.message}"
        if found.preemption is not None:
            nominated = found.preemption.node
            self._ranking.add(use_of(pod, nominated))
        elif not found.is_room_coming:
            nominated = ""
        return Placement(pod, None, message, found.preemption, nominated)
