"""HorizontalPodAutoscaler: as many replicas as its metrics call for, between its bounds.

It looks once a period. What it remembers between looks is one leader's: a new one starts from the
replicas it finds, as if they had just been called for, so that it waits for a whole window before
it goes down. Source of the rules, words and reasons: Kubernetes,
pkg/controller/podautoscaler/horizontal.go.
"""

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.core import scale
from orchestrator.core.autoscale import pace
from orchestrator.core.autoscale.calls import Call, Uncomputed, called_for
from orchestrator.core.autoscale.measured import Measured, Target
from orchestrator.core.autoscale.pace import Past, Step
from orchestrator.core.decisions import Decision, Emit, Plan, Rescale, UpdateStatus
from proto.kinds.autoscaler import AUTOSCALERS, AutoscalerStatus, HorizontalPodAutoscaler
from proto.kinds.autoscaler_metrics import MetricStatus
from proto.meta import Condition, format_time, with_condition

SYNC_MS = 15_000
"""Source: kube-controller-manager, --horizontal-pod-autoscaler-sync-period."""


class Memory(Struct, frozen=True):
    """What the last look left.

    Attributes:
        before: Replicas that were asked for when it was taken, and `after`; None without a target.
        status: As it was to be written.
        due_ms: When to look again, epoch milliseconds.
    """

    past: Past
    before: int | None
    after: int | None
    status: AutoscalerStatus
    due_ms: int


class Look(Struct, frozen=True):
    """What to do, and what to remember."""

    plan: Plan
    memory: Memory


class _Outcome(Struct, frozen=True):
    """What came of a look.

    Attributes:
        replicas: How many there shall be; None while that is not known.
        why: It shall be another number than there is.
        warnings: Events, by reason and message.
    """

    conditions: tuple[Condition, ...]
    past: Past
    replicas: int | None = None
    why: str = ""
    readings: tuple[MetricStatus, ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()


def plan(
    found: HorizontalPodAutoscaler,
    target: Target | str,
    measured: Measured,
    memory: Memory | None,
    now_ms: int,
    sync_ms: int = SYNC_MS,
) -> Look:
    """Ask for another number of replicas, and tell why, or why not.

    Args:
        found: The autoscaler.
        target: What it scales; text says why that cannot be had.
        measured: What is known of the target.
        memory: Of the last look; None for the first one of a leader.
        now_ms: Epoch milliseconds.
        sync_ms: Between two looks.
    """
    wanted = None if isinstance(target, str) else target.numbers.wanted
    if memory is not None and _is_done(memory, found, wanted, now_ms):
        return Look(Plan(wake_at_ms=memory.due_ms), memory)
    if isinstance(target, str):
        outcome = _out_of_reach(found, target, memory, now_ms)
    else:
        outcome = _outcome(found, target, measured, memory, now_ms)
    status = _status(found, wanted, outcome, now_ms)
    due_ms = now_ms + sync_ms
    return Look(
        Plan(tuple(_decisions(found, target, wanted, outcome, status)), due_ms),
        Memory(
            _with_step(outcome, wanted, now_ms),
            wanted,
            wanted if outcome.replicas is None else outcome.replicas,
            status,
            due_ms,
        ),
    )


def _is_done(
    memory: Memory, found: HorizontalPodAutoscaler, wanted: int | None, now_ms: int
) -> bool:
    """Whether what the last look decided was done, nothing changed since, and it is not yet time.

    The write of the status alone wakes an autoscaler.
    """
    return (
        now_ms < memory.due_ms
        and found.status == memory.status
        and found.metadata.generation == memory.status.observed_generation
        and wanted == memory.after
    )


def _past(memory: Memory | None, wanted: int, now_ms: int) -> Past:
    """What is remembered, without a step that was decided and could not be done."""
    if memory is None or not memory.past.called_for:
        return Past({wanted: now_ms})  # a target that was there all the time, or is there by now
    past = memory.past
    if memory.before != memory.after and wanted == memory.before:
        return replace(past, steps=past.steps[:-1])
    return past


def _with_step(outcome: _Outcome, wanted: int | None, now_ms: int) -> Past:
    past = outcome.past
    if wanted is None or outcome.replicas in (None, wanted):
        return past
    return replace(past, steps=(*past.steps, Step(now_ms, (outcome.replicas or 0) - wanted)))


# -- what shall be


def _out_of_reach(
    found: HorizontalPodAutoscaler, why: str, memory: Memory | None, now_ms: int
) -> _Outcome:
    said = f"the HPA controller was unable to get the target's current scale: {why}"
    conditions = _with(
        found.status.conditions, "AbleToScale", "FailedGetScale", said, now_ms, is_true=False
    )
    past = Past() if memory is None else memory.past
    return _Outcome(conditions, past, warnings=(("FailedGetScale", why),))


def _outcome(
    found: HorizontalPodAutoscaler,
    target: Target,
    measured: Measured,
    memory: Memory | None,
    now_ms: int,
) -> _Outcome:
    spec, current = found.spec, target.numbers.wanted
    past = _past(memory, current, now_ms)
    least = spec.min_replicas or 0
    said = "the HPA controller was able to get the target's current scale"
    conditions = _with(found.status.conditions, "AbleToScale", "SucceededGetScale", said, now_ms)
    if current == 0 and least != 0:
        said = "scaling is disabled since the replica count of the target is zero"
        conditions = _with(
            conditions, "ScalingActive", "ScalingDisabled", said, now_ms, is_true=False
        )
        return _Outcome(conditions, past, 0)
    if current > spec.max_replicas:
        why = "Current number of replicas above Spec.MaxReplicas"
        return _rescaled(_Outcome(conditions, past, spec.max_replicas, why), now_ms)
    if current < least:
        why = "Current number of replicas below Spec.MinReplicas"
        return _rescaled(_Outcome(conditions, past, least, why), now_ms)
    try:
        call = called_for(found, target, measured, now_ms)
    except Uncomputed as error:
        conditions = _with(
            conditions, "ScalingActive", error.reason, error.said, now_ms, is_true=False
        )
        return _Outcome(conditions, past, readings=error.readings, warnings=error.warnings)
    said = f"the HPA was able to successfully calculate a replica count from {call.name}"
    conditions = _with(conditions, "ScalingActive", "ValidMetricFound", said, now_ms)
    return _paced(found, current, call, _Outcome(conditions, past), now_ms)


def _paced(
    found: HorizontalPodAutoscaler, current: int, call: Call, so_far: _Outcome, now_ms: int
) -> _Outcome:
    """What metrics call for, as far as windows, bounds and policies let it."""
    spec, past = found.spec, so_far.past
    stable = pace.stabilized(call.replicas, current, spec.behavior, past, now_ms)
    able = _with(so_far.conditions, "AbleToScale", stable.reason, stable.message, now_ms)
    bounded = pace.limited(stable.replicas, current, spec, past, now_ms)
    conditions = _with(
        able, "ScalingLimited", bounded.reason, bounded.message, now_ms, is_true=bounded.is_limited
    )
    outcome = _Outcome(
        conditions,
        pace.remembered(past, call.replicas, spec.behavior, now_ms),
        bounded.replicas,
        f"{call.name} above target" if call.replicas > current else "All metrics below target",
        call.readings,
        call.warnings,
    )
    return outcome if bounded.replicas == current else _rescaled(outcome, now_ms)


def _rescaled(outcome: _Outcome, now_ms: int) -> _Outcome:
    said = f"the HPA controller was able to update the target scale to {outcome.replicas}"
    conditions = _with(outcome.conditions, "AbleToScale", "SucceededRescale", said, now_ms)
    return replace(outcome, conditions=conditions)


def _with(
    conditions: tuple[Condition, ...],
    type_: str,
    reason: str,
    message: str,
    now_ms: int,
    *,
    is_true: bool = True,
) -> tuple[Condition, ...]:
    return with_condition(
        conditions,
        Condition(
            type=type_,
            status="True" if is_true else "False",
            reason=reason,
            message=message,
            last_transition_time=format_time(now_ms),
        ),
    )


# -- what to do


def _status(
    found: HorizontalPodAutoscaler, wanted: int | None, outcome: _Outcome, now_ms: int
) -> AutoscalerStatus:
    old, desired = found.status, outcome.replicas
    is_rescaled = desired not in (None, wanted)
    return AutoscalerStatus(
        observed_generation=found.metadata.generation,
        last_scale_time=format_time(now_ms) if is_rescaled else old.last_scale_time,
        current_replicas=old.current_replicas if wanted is None else wanted,
        desired_replicas=old.desired_replicas if desired is None else desired,
        current_metrics=old.current_metrics if wanted is None else outcome.readings,
        conditions=outcome.conditions,
    )


def _decisions(
    found: HorizontalPodAutoscaler,
    target: Target | str,
    wanted: int | None,
    outcome: _Outcome,
    status: AutoscalerStatus,
) -> Iterator[Decision]:
    replicas = outcome.replicas
    if isinstance(target, Target) and replicas is not None and replicas != wanted:
        message = f"New size: {replicas}; reason: {outcome.why}"
        yield Rescale(
            target.kind,
            scale.rescaled(target.object, replicas, target.kind.scale),
            f"{wanted} to {replicas}: {outcome.why}",
            Emit(AUTOSCALERS, found, "Normal", "SuccessfulRescale", message),
        )
    for reason, message in outcome.warnings:
        yield Emit(AUTOSCALERS, found, "Warning", reason, message)
    if status != found.status:
        cause = f"{status.current_replicas} replicas, {status.desired_replicas} desired"
        yield UpdateStatus(AUTOSCALERS, replace(found, status=status), cause)
