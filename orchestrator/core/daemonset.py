"""DaemonSet: one pod on every node that its template fits.

The pod of a node requires that node by its name (node affinity to ``metadata.name``, as in
Kubernetes), and is then placed as any other: the scheduler alone promises room on nodes, so a
daemon takes nobody's, and one that has to wait says why in the words that all pods use. Bound by
its ``spec.nodeName`` it would need a second account of room and host ports here, which the
scheduler's would race with.

Which nodes, and which pods on them, is decided here; source of the rules and words: Kubernetes,
pkg/controller/daemon (daemon_controller.go, update.go).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.core import daemon_pod, pinning, revisions
from orchestrator.core.availability import earliest, is_available, next_change_ms
from orchestrator.core.daemon_pod import Fit
from orchestrator.core.decisions import Create, Decision, Emit, Plan, Remove, UpdateStatus
from orchestrator.core.ownership import age_key, claim, selector_of
from orchestrator.core.pinning import NO_CONFIGS, Configs
from orchestrator.core.revisions import HASH_LABEL, History
from proto.kinds.controllerrevision import ControllerRevision
from proto.kinds.daemonset import (
    DAEMON_SETS,
    DaemonSet,
    DaemonSetStatus,
    RollingUpdateDaemonSet,
)
from proto.kinds.node import Node
from proto.kinds.pod import PODS, Pod, is_active, is_ready, is_terminated
from proto.kinds.share import IntOrPercent, count_of

BURST = 250
"""Pods created, and pods deleted, in one pass. Source: Kubernetes, BurstReplicas."""


class _Place(Struct, frozen=True):
    """A node and the set's pods that are on it, or pinned to it.

    Attributes:
        pods: The oldest first; ended and terminating ones included.
    """

    node: Node
    fit: Fit
    pods: tuple[Pod, ...] = ()

    @property
    def there(self) -> list[Pod]:
        """Pods that may still run."""
        return [pod for pod in self.pods if not is_terminated(pod)]

    @property
    def active(self) -> list[Pod]:
        """Pods that are to run on."""
        return [pod for pod in self.pods if is_active(pod)]

    @property
    def ended(self) -> list[Pod]:
        """Pods that run no more and are in the way."""
        return [p for p in self.pods if is_terminated(p) and not p.metadata.deletion_timestamp]


class _View(Struct, frozen=True):
    """A set over all nodes, which are ordered by name.

    Attributes:
        desired: How many of them should have a pod; counted once, as it is asked for at each.
    """

    ds: DaemonSet
    history: History
    places: tuple[_Place, ...]
    desired: int
    now_ms: int

    @property
    def hash(self) -> str:
        return revisions.hash_of(self.history.present)

    @property
    def is_rolling(self) -> bool:
        return self.ds.spec.update_strategy.type == "RollingUpdate"

    @property
    def surge_max(self) -> int:
        """On how many nodes a pod may be twice while it rolls; 0: a pod goes before the next."""
        rolling = self.ds.spec.update_strategy.rolling_update or RollingUpdateDaemonSet()
        return self._count(rolling.max_surge or 0)

    @property
    def unavailable_max(self) -> int:
        """On how many nodes it may be missing while it rolls without a surge."""
        rolling = self.ds.spec.update_strategy.rolling_update or RollingUpdateDaemonSet()
        return max(1, self._count(rolling.max_unavailable or 0))

    def _count(self, share: IntOrPercent) -> int:
        return count_of(share, self.desired, round_up=True)

    def is_new(self, pod: Pod) -> bool:
        return pod.metadata.labels.get(HASH_LABEL) == self.hash

    def is_available(self, pod: Pod) -> bool:
        return is_available(pod, self.ds.spec.min_ready_seconds, self.now_ms)


def plan(
    ds: DaemonSet,
    found: Iterable[ControllerRevision],
    nodes: Iterable[Node],
    pods: Iterable[Pod],
    now_ms: int,
    configs: Configs = NO_CONFIGS,
) -> Plan:
    """What to do about a set now.

    Args:
        ds: Present, possibly being deleted: then it only tells.
        found: Revisions it owns and those in its namespace that nobody owns, in any order.
        nodes: All of them, in any order.
        pods: Those it owns and those in its namespace that nobody owns, in any order.
        now_ms: Epoch milliseconds.
        configs: What its pods take values from.
    """
    template, writes = pinning.settled(DAEMON_SETS, ds, configs)
    if writes:
        return Plan(writes)
    ds = replace(ds, spec=replace(ds.spec, template=template))
    history = revisions.settle(DAEMON_SETS, ds, found)
    if isinstance(history, Plan):
        return history
    claimed = claim(DAEMON_SETS, ds, selector_of(ds), PODS, pods)
    if claimed.writes:  # what is owned is not settled: look again once it is
        return Plan(claimed.writes)
    view, strays = _view(ds, history, nodes, claimed.owned, now_ms)
    decisions: list[Decision] = []
    if not ds.metadata.deletion_timestamp:
        decisions += _bounded(_steps(view, strays))
        hashes = {pod.metadata.labels.get(HASH_LABEL, "") for pod in claimed.owned}
        used = {old.metadata.name for old in history.olds if revisions.hash_of(old) in hashes}
        decisions += history.surplus(ds.spec.revision_history_limit, used)
        decisions += pinning.unused(configs, history.templates)
    status = _status(view)
    if status != ds.status:
        cause = f"on {status.current_number_scheduled} of {status.desired_number_scheduled} nodes"
        decisions.append(UpdateStatus(DAEMON_SETS, replace(ds, status=status), cause))
    return Plan(tuple(decisions), _next_ms(view, claimed.owned))


def _view(
    ds: DaemonSet, history: History, nodes: Iterable[Node], pods: Sequence[Pod], now_ms: int
) -> tuple[_View, list[Pod]]:
    """The set over all nodes, and the pods that wait for a node which is gone."""
    by_name = sorted(nodes, key=lambda node: node.metadata.name)
    there = {node.metadata.name for node in by_name} | {""}
    on: dict[str, list[Pod]] = defaultdict(list)
    for pod in sorted(pods, key=age_key):
        on[daemon_pod.node_of(pod)].append(pod)
    places = tuple(
        _Place(node, daemon_pod.fit(ds.spec.template.spec, node), tuple(on[node.metadata.name]))
        for node in by_name
    )
    waiting = (pod for pod in pods if is_active(pod) and not pod.spec.node_name)
    strays = [pod for pod in waiting if daemon_pod.node_of(pod) not in there]
    desired = sum(place.fit.should_run for place in places)
    return _View(ds, history, places, desired, now_ms), strays


def _next_ms(view: _View, pods: Sequence[Pod]) -> int | None:
    """When to look again: a pod becomes available, or a failed one may be tried again."""
    retries = (daemon_pod.retry_at_ms(pod) for place in view.places for pod in place.ended)
    return earliest(
        next_change_ms(pods, view.ds.spec.min_ready_seconds, view.now_ms),
        *(at_ms for at_ms in retries if at_ms > view.now_ms),
    )


# -- steps


def _bounded(steps: Iterable[Decision]) -> Iterator[Decision]:
    """As many as are done in one pass; the writes themselves cause the next."""
    pods = 0
    for step in steps:
        pods += not isinstance(step, Emit)
        if pods > BURST:
            return
        yield step


def _steps(view: _View, strays: Iterable[Pod]) -> Iterator[Decision]:
    for pod in strays:
        yield from _removed(view, pod, "its node is gone")
    for place in view.places:
        yield from _placed(view, place)
    for pod in _outdated(view):
        yield from _removed(view, pod, "it is of another template")
    for place in _surging(view):
        yield _created(view, place, "before the one of another template goes")


def _placed(view: _View, place: _Place) -> Iterator[Decision]:
    """One pod where there should be one, none where there should not."""
    name = place.node.metadata.name
    if not place.fit.may_stay:
        for pod in (*place.ended, *place.active):
            yield from _removed(view, pod, f"it does not belong on {name}")
    elif place.there:
        for pod in (*place.ended, *_surplus(view, place)):
            yield from _removed(view, pod, f"{name} has another")
    elif place.ended:
        yield from _retried(view, place)
    elif place.fit.should_run:
        yield _created(view, place, "there is none")


def _surplus(view: _View, place: _Place) -> Sequence[Pod]:
    """Beyond one on a node; while it surges, beyond one of the present template and one older."""
    if not view.surge_max:
        return place.active[1:]
    new = [pod for pod in place.active if view.is_new(pod)]
    old = [pod for pod in place.active if not view.is_new(pod)]
    is_replaced = bool(new) and view.is_available(new[0])
    return [*new[1:], *(old if is_replaced else old[1:])]


def _retried(view: _View, place: _Place) -> Iterator[Decision]:
    """Ended pods make room for another, the later the more of them failed before."""
    last = place.ended[-1]
    if daemon_pod.retry_at_ms(last) > view.now_ms:
        return
    for pod in place.ended:
        yield _found(view.ds, place, pod)
        yield from _removed(view, pod, "it ended")
    if place.fit.should_run:
        yield _created(view, place, "in its place", daemon_pod.failures_with(last))


def _found(ds: DaemonSet, place: _Place, pod: Pod) -> Emit:
    name = f"{pod.metadata.namespace}/{pod.metadata.name} on node {place.node.metadata.name}"
    if pod.status.phase == "Failed":
        text = f"Found failed daemon pod {name}, will try to kill it"
        return Emit(DAEMON_SETS, ds, "Warning", "FailedDaemonPod", text)
    text = f"Found succeeded daemon pod {name}, will try to delete it"
    return Emit(DAEMON_SETS, ds, "Normal", "SucceededDaemonPod", text)


def _removed(view: _View, pod: Pod, cause: str) -> Iterator[Decision]:
    yield Remove(PODS, pod, cause)
    message = f"Deleted pod: {pod.metadata.name}"
    yield Emit(DAEMON_SETS, view.ds, "Normal", "SuccessfulDelete", message)


def _created(view: _View, place: _Place, cause: str, failures: int = 0) -> Create:
    pod = daemon_pod.new_pod(view.ds, place.node.metadata.name, view.hash, failures)
    told = Emit(DAEMON_SETS, view.ds, "Normal", "SuccessfulCreate", "Created pod: {name}")
    return Create(PODS, pod, f"for {place.node.metadata.name}, {cause}", told)


# -- rolling


def _outdated(view: _View) -> Iterator[Pod]:
    """Pods of older templates, as far as enough nodes keep one that is available."""
    if not view.is_rolling or view.surge_max:
        return
    room = view.unavailable_max
    working: list[Pod] = []
    for place in view.places:
        if not place.fit.should_run:
            continue
        pod = place.active[0] if place.active else None
        if pod is None or not view.is_available(pod):
            room -= 1
        if pod is not None and not view.is_new(pod):
            if view.is_available(pod):
                working.append(pod)
            else:
                yield pod
    yield from working[: max(0, room)]


def _surging(view: _View) -> Iterator[_Place]:
    """Nodes that get a pod of the present template beside an older one."""
    if not view.is_rolling or not view.surge_max:
        return
    room = view.surge_max
    working: list[_Place] = []
    for place in view.places:
        if len(place.there) > 1:
            room -= 1
        elif place.fit.should_run and place.active and not view.is_new(place.active[0]):
            if view.is_available(place.active[0]):
                working.append(place)
            else:
                yield place
    yield from working[: max(0, room)]


# -- status


def _status(view: _View) -> DaemonSetStatus:
    """Of each node the oldest pod counts: while it surges, the one that is to go."""
    wanted = [place for place in view.places if place.fit.should_run]
    oldest = [place.there[0] for place in wanted if place.there]
    available = sum(view.is_available(pod) for pod in oldest)
    return replace(
        view.ds.status,
        observed_generation=view.ds.metadata.generation,
        desired_number_scheduled=view.desired,
        current_number_scheduled=len(oldest),
        number_misscheduled=sum(
            bool(place.there) for place in view.places if not place.fit.should_run
        ),
        number_ready=sum(map(is_ready, oldest)),
        number_available=available,
        number_unavailable=view.desired - available,
        updated_number_scheduled=sum(map(view.is_new, oldest)),
    )
