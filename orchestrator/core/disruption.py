"""PodDisruptionBudget: how many of its pods may go at present, and whether one of them may.

A budget's status says how many disruptions it allows. An eviction counts that down and notes the
pod, so that nobody counts on it while it is not seen to go. Source of the rules and words:
Kubernetes, pkg/controller/disruption and pkg/registry/core/pod/storage/eviction.go.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.core.availability import earliest
from orchestrator.core.decisions import Emit, Plan, UpdateStatus
from orchestrator.core.pod_ends import disrupted
from proto.errors import Ambiguous, FieldError, Forbidden, NotNow
from proto.kinds.disruption import (
    DISRUPTION_BUDGETS,
    PodDisruptionBudget,
    PodDisruptionBudgetStatus,
)
from proto.kinds.pod import PODS, Pod, is_ready, is_terminated
from proto.kinds.share import count_of
from proto.meta import Condition, format_time, parse_time_ms, with_condition

ALLOWED = "DisruptionAllowed"

DELETION_TIMEOUT_MS = 120_000
"""After which a pod whose eviction was allowed, and that is not being deleted, counts again.

Source: Kubernetes, DeletionTimeout.
"""

DISRUPTED_PODS_MAX = 2000
"""Evictions that were not seen to happen. Source: Kubernetes, MaxDisruptedPodSize."""


class Controller(Struct, frozen=True):
    """Who keeps up the number of some pods."""

    uid: str
    replicas: int


class _UncountableError(Exception):
    """Nobody knows how many pods there should be."""


# -- what a budget says


def plan(
    budget: PodDisruptionBudget,
    pods: Sequence[Pod],
    controllers: Mapping[str, Controller],
    now_ms: int,
) -> Plan:
    """Tell how many there are, how many there must be, and so how many may go.

    Args:
        budget: Present.
        pods: Those that it selects, in any order.
        controllers: By the uid of the owner that each pod names as its controller. One that has no
            number of replicas is left out.
        now_ms: Epoch milliseconds.
    """
    told: list[Emit] = []
    going: dict[str, str] = {}
    try:
        expected, desired = _demand(budget, pods, controllers)
    except _UncountableError as error:
        why = f"Failed to calculate the number of expected pods: {error}"
        told.append(_told(budget, "Warning", "CalculateExpectedPodCountFailed", why))
        status = _unknown(budget.status, str(error), now_ms)
    else:
        if not pods:
            told.append(_told(budget, "Normal", "NoPods", "No matching pods found"))
        going = _going(budget, pods, now_ms)
        told += _overdue(budget, pods, going)
        status = _counted(budget, pods, going, (expected, desired), now_ms)
    wake_at_ms = earliest(*(parse_time_ms(at) + DELETION_TIMEOUT_MS for at in going.values()))
    if status == budget.status:
        return Plan((), wake_at_ms)
    cause = f"{status.current_healthy} of {status.desired_healthy} needed are healthy"
    changed = UpdateStatus(DISRUPTION_BUDGETS, replace(budget, status=status), cause)
    return Plan((*told, changed), wake_at_ms)


def _told(budget: PodDisruptionBudget, type_: str, reason: str, message: str) -> Emit:
    return Emit(DISRUPTION_BUDGETS, budget, type_, reason, message)


def _demand(
    budget: PodDisruptionBudget, pods: Sequence[Pod], controllers: Mapping[str, Controller]
) -> tuple[int, int]:
    """How many pods there should be, and how many of them must be healthy."""
    least, most = budget.spec.min_available, budget.spec.max_unavailable
    if most is not None:
        expected = _replicas(pods, controllers)
        return expected, max(0, expected - count_of(most, expected, round_up=True))
    if isinstance(least, int):
        return len(pods), least
    if least is not None:
        expected = _replicas(pods, controllers)
        return expected, count_of(least, expected, round_up=True)
    return 0, 0


def _replicas(pods: Iterable[Pod], controllers: Mapping[str, Controller]) -> int:
    """What the pods' controllers ask for together; pods that nobody controls do not count."""
    found: dict[str, int] = {}
    for pod in sorted(pods, key=lambda pod: pod.metadata.name):
        owner = pod.metadata.controller
        if owner is None:
            continue
        controller = controllers.get(owner.uid)
        if controller is None:
            raise _UncountableError(f'found no controllers for pod "{pod.metadata.name}"')
        found[controller.uid] = controller.replicas
    return sum(found.values())


def _going(budget: PodDisruptionBudget, pods: Iterable[Pod], now_ms: int) -> dict[str, str]:
    """Pods whose eviction was allowed lately and that are not seen to go yet, with the time."""
    noted = budget.status.disrupted_pods
    return {
        name: noted[name]
        for name in sorted(pod.metadata.name for pod in pods if not pod.metadata.deletion_timestamp)
        if noted.get(name) and parse_time_ms(noted[name]) + DELETION_TIMEOUT_MS >= now_ms
    }


def _overdue(
    budget: PodDisruptionBudget, pods: Iterable[Pod], going: Mapping[str, str]
) -> list[Emit]:
    meta = budget.metadata
    message = f"Pod was expected by PDB {meta.namespace}/{meta.name} to be deleted but it wasn't"
    return [
        Emit(PODS, pod, "Warning", "NotDeleted", message)
        for pod in sorted(pods, key=lambda pod: pod.metadata.name)
        if pod.metadata.name in budget.status.disrupted_pods
        and pod.metadata.name not in going
        and not pod.metadata.deletion_timestamp
    ]


def _counted(
    budget: PodDisruptionBudget,
    pods: Iterable[Pod],
    going: dict[str, str],
    demand: tuple[int, int],
    now_ms: int,
) -> PodDisruptionBudgetStatus:
    expected, desired = demand
    healthy = sum(
        is_ready(pod)
        for pod in pods
        if not pod.metadata.deletion_timestamp and pod.metadata.name not in going
    )
    # A budget without pods allows nothing: its first ones may be up before it is looked at again.
    allowed = max(0, healthy - desired) if expected > 0 else 0
    status = PodDisruptionBudgetStatus(
        observed_generation=budget.metadata.generation,
        disrupted_pods=going,
        disruptions_allowed=allowed,
        current_healthy=healthy,
        desired_healthy=desired,
        expected_pods=expected,
        conditions=budget.status.conditions,
    )
    return _with_condition(status, now_ms)


def _with_condition(status: PodDisruptionBudgetStatus, now_ms: int) -> PodDisruptionBudgetStatus:
    is_allowed = status.disruptions_allowed > 0
    found = Condition(
        type=ALLOWED,
        status="True" if is_allowed else "False",
        reason="SufficientPods" if is_allowed else "InsufficientPods",
        observed_generation=status.observed_generation,
        last_transition_time=format_time(now_ms),
    )
    return replace(status, conditions=with_condition(status.conditions, found))


def _unknown(
    old: PodDisruptionBudgetStatus, message: str, now_ms: int
) -> PodDisruptionBudgetStatus:
    """Nothing may go until it can be counted again."""
    found = Condition(
        type=ALLOWED,
        status="False",
        reason="SyncFailed",
        message=message,
        observed_generation=old.observed_generation,
        last_transition_time=format_time(now_ms),
    )
    conditions = with_condition(old.conditions, found)
    return replace(old, disruptions_allowed=0, conditions=conditions)


# -- whether a pod may go


def charged(
    pod: Pod, budgets: Iterable[PodDisruptionBudget], now_ms: int
) -> PodDisruptionBudget | None:
    """The pod's budget, after its eviction was counted; None: it may go uncounted.

    Args:
        pod: To be evicted.
        budgets: All of its namespace.
        now_ms: Epoch milliseconds.

    Raises:
        NotNow: Its budget does not allow it at present.
        Forbidden: Its budget cannot be counted down.
        Ambiguous: It has more than one budget.
    """
    if is_unguarded(pod) or not pod.metadata.labels:
        return None
    guards = [budget for budget in budgets if selects(budget, pod)]
    if len(guards) > 1:
        raise Ambiguous(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does "
            "not support."
        )
    if not guards or _may_go_unhealthy(pod, guards[0]):
        return None
    return _counted_down(guards[0], pod.metadata.name, now_ms)


def selects(budget: PodDisruptionBudget, pod: Pod) -> bool:
    """Whether the pod is one of the budget's."""
    selector, meta = budget.spec.selector, pod.metadata
    return (
        selector is not None
        and budget.metadata.namespace == meta.namespace
        and selector.matches(meta.labels)
    )


def is_unguarded(pod: Pod) -> bool:
    """Whether its end disrupts nothing: it does not run, or goes already."""
    is_waiting = pod.status.phase == "Pending"
    return is_waiting or is_terminated(pod) or bool(pod.metadata.deletion_timestamp)


def _may_go_unhealthy(pod: Pod, budget: PodDisruptionBudget) -> bool:
    """Whether it goes without a count, as one that is not counted on."""
    if is_ready(pod):
        return False
    if budget.spec.unhealthy_pod_eviction_policy == "AlwaysAllow":
        return True
    status = budget.status
    return status.current_healthy >= status.desired_healthy > 0


def _counted_down(budget: PodDisruptionBudget, pod: str, now_ms: int) -> PodDisruptionBudget:
    status, name = budget.status, budget.metadata.name
    if status.observed_generation < budget.metadata.generation:
        raise _not_now(f"The disruption budget {name} is still being processed by the server.")
    if status.disruptions_allowed < 0:
        raise _forbidden(name, "pdb disruptions allowed is negative")
    if len(status.disrupted_pods) > DISRUPTED_PODS_MAX:
        raise _forbidden(
            name,
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
        )
    if status.disruptions_allowed == 0:
        raise _not_now(
            f"The disruption budget {name} needs {status.desired_healthy} healthy pods and has "
            f"{status.current_healthy} currently"
        )
    left = replace(
        status,
        disruptions_allowed=status.disruptions_allowed - 1,
        disrupted_pods=status.disrupted_pods | {pod: format_time(now_ms)},
    )
    if not left.disruptions_allowed:
        left = _with_condition(left, now_ms)
    return replace(budget, status=left)


def _not_now(cause: str) -> NotNow:
    refused = FieldError("DisruptionBudget", "", cause)
    return NotNow("Cannot evict pod as it would violate the pod's disruption budget.", [refused])


def _forbidden(name: str, why: str) -> Forbidden:
    return Forbidden(f'poddisruptionbudgets.policy "{name}" is forbidden: {why}')


def evicted(pod: Pod, now_ms: int) -> Pod:
    """The pod, which says why it goes."""
    if pod.metadata.deletion_timestamp or is_terminated(pod):
        return pod
    return disrupted(pod, "EvictionByEvictionAPI", "Eviction API: evicting", now_ms)
