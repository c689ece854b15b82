"""StatefulSet: pods with a place each, which is never taken twice.

A pod's name is its place, and names are unique: the next holder of a place is made only when the
one before is gone from the store, and it goes from there only when its node has confirmed that it
stopped (or somebody vouched for that: see `node_verdicts`). So there are never two of a name.

One pass goes through the places in order and, when order matters, stops at the first that is not
well; then it takes away what is too much, the highest first; then it replaces pods of other
revisions, the highest first. Source of the rules and words: Kubernetes, pkg/controller/statefulset
(stateful_set_control.go). One thing differs: a pod of a wrong revision that is not ready is
replaced although it comes before others, so that a template that never gets ready can be undone
without deleting pods by hand (there, kubernetes/kubernetes#67250).
"""

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.core import pinning, revisions, stateful_pod
from orchestrator.core.availability import is_available, next_change_ms
from orchestrator.core.decisions import Create, Decision, Emit, Plan, Remove, UpdateStatus
from orchestrator.core.ownership import claim, selector_of
from orchestrator.core.pinning import NO_CONFIGS, Configs
from orchestrator.core.revisions import HASH_LABEL, History
from orchestrator.core.stateful_pod import Claims, Slot
from proto.kinds.controllerrevision import ControllerRevision
from proto.kinds.pod import PODS, Pod, is_active, is_ready, is_terminated
from proto.kinds.share import count_of
from proto.kinds.statefulset import (
    STATEFUL_SETS,
    RollingUpdateStatefulSet,
    StatefulSet,
    StatefulSetStatus,
)

BURST = 500
"""Pods created in one pass when order does not matter, as of a replica set."""


class _View(Struct, frozen=True):
    """A set and its places.

    Attributes:
        current: Name of the revision that the set comes from.
        slots: The places that are asked for, in order.
        condemned: Places held beyond them, the highest first.
    """

    sts: StatefulSet
    history: History
    current: str
    slots: tuple[Slot, ...]
    condemned: tuple[Slot, ...]
    claims: Claims
    now_ms: int

    @property
    def is_ordered(self) -> bool:
        return self.sts.spec.pod_management_policy != "Parallel"

    @property
    def pods(self) -> list[Pod]:
        return [slot.pod for slot in (*self.slots, *self.condemned) if slot.pod is not None]

    def is_well(self, pod: Pod | None) -> bool:
        """Whether the next one may be looked at."""
        seconds = self.sts.spec.min_ready_seconds
        return (
            pod is not None
            and is_active(pod)
            and is_ready(pod)
            and is_available(pod, seconds, self.now_ms)
        )

    def is_outdated(self, slot: Slot) -> bool:
        """Whether a rolling update replaces the pod of this place."""
        rolling = _rolling(self.sts)
        return (
            rolling is not None
            and slot.pod is not None
            and slot.ordinal >= _start(self.sts) + (rolling.partition or 0)
            and slot.pod.metadata.labels.get(HASH_LABEL) != self.history.present.metadata.name
        )


def plan(
    sts: StatefulSet,
    found: Iterable[ControllerRevision],
    pods: Iterable[Pod],
    claims: Claims,
    now_ms: int,
    configs: Configs = NO_CONFIGS,
) -> Plan:
    """What to do about a set now.

    Args:
        sts: Present, possibly being deleted: then it only tells.
        found: Revisions it owns and those in its namespace that nobody owns, in any order.
        pods: The same of pods, ended and terminating ones included.
        claims: By name, those of its namespace that its places may mean; others do not matter.
        now_ms: Epoch milliseconds.
        configs: What its pods take values from.
    """
    template, writes = pinning.settled(STATEFUL_SETS, sts, configs)
    if writes:
        return Plan(writes)
    sts = replace(sts, spec=replace(sts.spec, template=template))
    history = revisions.settle(STATEFUL_SETS, sts, found)
    if isinstance(history, Plan):
        return history
    members = (pod for pod in pods if stateful_pod.ordinal_of(sts, pod) is not None)
    claimed = claim(STATEFUL_SETS, sts, selector_of(sts), PODS, members)
    if claimed.writes:  # what is owned is not settled: look again once it is
        return Plan(claimed.writes)
    view = _view(sts, history, claimed.owned, claims, now_ms)
    decisions: list[Decision] = []
    if not sts.metadata.deletion_timestamp:
        decisions += _steps(view)
        used = {pod.metadata.labels.get(HASH_LABEL, "") for pod in view.pods}
        decisions += history.surplus(sts.spec.revision_history_limit, used | {view.current})
        decisions += pinning.unused(configs, history.templates)
    status = _status(view)
    if status != sts.status:
        cause = f"{status.replicas} pods, {status.ready_replicas} ready"
        decisions.append(UpdateStatus(STATEFUL_SETS, replace(sts, status=status), cause))
    return Plan(tuple(decisions), next_change_ms(view.pods, sts.spec.min_ready_seconds, now_ms))


def places(sts: StatefulSet, pods: Iterable[Pod]) -> set[int]:
    """All ordinals that matter: those that are asked for, and those that are held."""
    held = (stateful_pod.ordinal_of(sts, pod) for pod in pods)
    return {*_wanted(sts), *(ordinal for ordinal in held if ordinal is not None)}


def _wanted(sts: StatefulSet) -> range:
    return range(_start(sts), _start(sts) + (sts.spec.replicas or 0))


def _start(sts: StatefulSet) -> int:
    return sts.spec.ordinals.start if sts.spec.ordinals else 0


def _rolling(sts: StatefulSet) -> RollingUpdateStatefulSet | None:
    strategy = sts.spec.update_strategy
    if strategy.type != "RollingUpdate":
        return None
    return strategy.rolling_update or RollingUpdateStatefulSet()


def _view(
    sts: StatefulSet, history: History, pods: Iterable[Pod], claims: Claims, now_ms: int
) -> _View:
    by_ordinal = {stateful_pod.ordinal_of(sts, pod): pod for pod in pods}
    wanted = _wanted(sts)
    beyond = sorted((n for n in by_ordinal if n is not None and n not in wanted), reverse=True)
    current = history.named(sts.status.current_revision) or history.present
    return _View(
        sts=sts,
        history=history,
        current=current.metadata.name,
        slots=tuple(Slot(ordinal, by_ordinal.get(ordinal)) for ordinal in wanted),
        condemned=tuple(Slot(n, by_ordinal[n], is_condemned=True) for n in beyond),
        claims=claims,
        now_ms=now_ms,
    )


# -- steps


def _steps(view: _View) -> Iterator[Decision]:
    made, is_settled = 0, True
    for slot in view.slots:
        step = tuple(_filled(view, slot))
        yield from step
        made += slot.pod is None
        is_settled = is_settled and not step
        if made >= BURST or (view.is_ordered and not view.is_well(slot.pod)):
            return
    for slot in view.condemned:
        yield from _vacated(view, slot)
        if view.is_ordered:
            return
    if is_settled:  # or else look again: each object is written once a pass
        yield from _rolled(view)


def _filled(view: _View, slot: Slot) -> Iterator[Decision]:
    """A place that is asked for: held by a pod that works, or by the next one."""
    sts, pod = view.sts, slot.pod
    if pod is None:
        if not stateful_pod.is_stale(sts, slot, view.claims):
            yield from stateful_pod.claimed(sts, slot, view.claims)
            yield _creation(view, slot)
    elif pod.metadata.deletion_timestamp:
        return
    elif is_terminated(pod):
        yield from _recreated(sts, pod)
    elif view.is_ordered and view.is_outdated(slot) and not view.is_well(pod):
        yield from _removed(sts, pod, "it is of another revision, and not ready")
    else:
        yield from stateful_pod.identified(sts, slot)
        yield from stateful_pod.claimed(sts, slot, view.claims)


def _creation(view: _View, slot: Slot) -> Create:
    """Of the present template, or below the partition of the one that the set comes from."""
    sts, revision = view.sts, view.history.present
    rolling = _rolling(sts)
    if rolling is not None and slot.ordinal < _start(sts) + (rolling.partition or 0):
        revision = view.history.named(view.current) or revision
    template = revisions.template_of(revision) or sts.spec.template
    pod = stateful_pod.new_pod(sts, template, revision.metadata.name, slot.ordinal)
    name = pod.metadata.name
    message = f"create Pod {name} in StatefulSet {sts.metadata.name} successful"
    return Create(PODS, pod, f"place {slot.ordinal} is free", stateful_pod.told(sts, message))


def _recreated(sts: StatefulSet, pod: Pod) -> Iterator[Decision]:
    has_failed = pod.status.phase == "Failed"
    word, adjective = ("Failed", "failed") if has_failed else ("Terminated", "terminated")
    name = f"{sts.metadata.namespace}/{sts.metadata.name}"
    message = f"StatefulSet {name} is recreating {adjective} Pod {pod.metadata.name}"
    type_ = "Warning" if has_failed else "Normal"
    yield Emit(STATEFUL_SETS, sts, type_, f"Recreating{word}Pod", message)
    yield from _removed(sts, pod, f"it {word.lower()}" if has_failed else "it ended")


def _removed(sts: StatefulSet, pod: Pod, cause: str) -> Iterator[Decision]:
    yield Remove(PODS, pod, cause)
    message = f"delete Pod {pod.metadata.name} in StatefulSet {sts.metadata.name} successful"
    yield stateful_pod.told(sts, message, "SuccessfulDelete")


def _vacated(view: _View, slot: Slot) -> Iterator[Decision]:
    """A place too many: its claims are told with whom to go, then its pod goes."""
    sts, pod = view.sts, slot.pod
    if pod is None or pod.metadata.deletion_timestamp:
        return
    changes = list(stateful_pod.claimed(sts, slot, view.claims))
    if changes:
        yield from changes
        return
    if view.is_ordered and not view.is_well(pod) and _has_unwell_before(view, slot):
        return
    yield from _removed(sts, pod, f"{sts.spec.replicas or 0} are asked for")


def _has_unwell_before(view: _View, slot: Slot) -> bool:
    lower = (other for other in view.condemned if other.ordinal < slot.ordinal)
    return any(not view.is_well(other.pod) for other in lower)


def _rolled(view: _View) -> Iterator[Decision]:
    """Replace pods of other revisions, the highest first, while enough of the others are well."""
    room = _unavailable_max(view.sts) - sum(not view.is_well(slot.pod) for slot in view.slots)
    for slot in reversed(view.slots):
        pod = slot.pod
        if pod is None or not is_active(pod) or not view.is_outdated(slot):
            continue
        if view.is_well(pod):
            if room <= 0:
                return
            room -= 1
        yield from _removed(view.sts, pod, "it is of another revision")


def _unavailable_max(sts: StatefulSet) -> int:
    rolling = _rolling(sts)
    most = 1 if rolling is None or rolling.max_unavailable is None else rolling.max_unavailable
    return max(1, count_of(most, sts.spec.replicas or 0, round_up=False))


# -- status


def _status(view: _View) -> StatefulSetStatus:
    sts, update = view.sts, view.history.present.metadata.name
    active = [pod for pod in view.pods if is_active(pod)]
    wanted = sts.spec.replicas or 0
    seconds = sts.spec.min_ready_seconds
    there = sum(not is_terminated(pod) for pod in view.pods)
    ready = sum(is_ready(pod) for pod in active)
    updated = _of(active, update)
    is_complete = updated == ready == there == wanted
    current = update if is_complete else view.current
    return replace(
        sts.status,
        observed_generation=sts.metadata.generation,
        replicas=there,
        ready_replicas=ready,
        available_replicas=sum(is_available(pod, seconds, view.now_ms) for pod in active),
        current_replicas=_of(active, current),
        updated_replicas=updated,
        current_revision=current,
        update_revision=update,
    )


def _of(pods: Sequence[Pod], revision: str) -> int:
    return sum(pod.metadata.labels.get(HASH_LABEL) == revision for pod in pods)
