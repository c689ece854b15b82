"""How fast an autoscaler may go: what was called for lately, and what was done about it.

Source of the rules and words: Kubernetes, pkg/controller/podautoscaler/horizontal.go, its
normalization with behaviors. What it computes with floating point is exact here.
"""

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from proto.kinds.autoscaler import (
    SCALE_DOWN,
    SCALE_UP,
    AutoscalerSpec,
    Behavior,
    ScalingPolicy,
    ScalingRules,
)

DOWN_WINDOW_S = 300
"""Source: kube-controller-manager, --horizontal-pod-autoscaler-downscale-stabilization."""


class Step(Struct, frozen=True):
    """Replicas that came (or went: below 0) at a time in epoch milliseconds."""

    at_ms: int
    change: int


class Past(Struct, frozen=True):
    """What one leader remembers of one autoscaler.

    Attributes:
        called_for: Numbers of replicas that metrics called for, and when each last was. Of a number
            that comes again only the last time matters: all windows end now.
        steps: What was done, in order.
    """

    called_for: Mapping[int, int] = {}
    steps: tuple[Step, ...] = ()


class Verdict(Struct, frozen=True):
    """How many replicas it shall be, or why not as many as called for.

    Attributes:
        is_limited: Whether it is another number than was called for.
    """

    replicas: int
    is_limited: bool
    reason: str
    message: str


def rules(behavior: Behavior | None) -> tuple[ScalingRules, ScalingRules]:
    """How to go up and down, with every field that has a default filled in."""
    given = behavior or Behavior()
    up, down = given.scale_up or SCALE_UP, given.scale_down or SCALE_DOWN
    if down.stabilization_window_seconds is None:
        down = replace(down, stabilization_window_seconds=DOWN_WINDOW_S)
    return up, down


def stabilized(
    wanted: int, current: int, behavior: Behavior | None, past: Past, now_ms: int
) -> Verdict:
    """What there is, unless all that was called for within a window is more, or all is less."""
    up, down = rules(behavior)
    least = min((wanted, *_lately(up, past, now_ms)))
    most = max((wanted, *_lately(down, past, now_ms)))
    replicas = min(max(current, least), most)
    if replicas == wanted:
        return Verdict(replicas, False, "ReadyForNewScale", "recommended size matches current size")
    if wanted >= current:
        reason, which, chosen = "ScaleUpStabilized", "lower", "lowest"
    else:
        reason, which, chosen = "ScaleDownStabilized", "higher", "highest"
    said = (
        f"recent recommendations were {which} than current one, "
        f"applying the {chosen} recent recommendation"
    )
    return Verdict(replicas, True, reason, said)


def _lately(by: ScalingRules, past: Past, now_ms: int) -> Iterator[int]:
    """What was called for within a window."""
    since_ms = now_ms - 1000 * (by.stabilization_window_seconds or 0)
    return (replicas for replicas, at_ms in past.called_for.items() if at_ms > since_ms)


def limited(wanted: int, current: int, spec: AutoscalerSpec, past: Past, now_ms: int) -> Verdict:
    """The same within bounds, and no faster than the policies let it."""
    up, down = rules(spec.behavior)
    least, most = spec.min_replicas or 0, spec.max_replicas
    if wanted > current:
        allowed = max(current, _limit(up, current, past.steps, now_ms, 1))
        fast, slow = "increasing", "more than the maximum"
        bound = min(most, allowed)
        reason = "ScaleUpLimit" if allowed < most else "TooManyReplicas"
        is_limited = wanted > bound
    else:
        allowed = min(current, _limit(down, current, past.steps, now_ms, -1))
        fast, slow = "decreasing", "less than the minimum"
        bound = max(least, allowed)
        reason = "ScaleDownLimit" if allowed > least else "TooFewReplicas"
        is_limited = wanted < min(bound, current)
    if not is_limited:
        return Verdict(
            wanted,
            False,
            "DesiredWithinRange",
            "the desired count is within the acceptable range",
        )
    if reason.endswith("Limit"):
        said = f"the desired replica count is {fast} faster than the maximum scale rate"
    else:
        said = f"the desired replica count is {slow} replica count"
    return Verdict(bound, True, reason, said)


def _limit(
    by: ScalingRules, current: int, steps: Iterable[Step], now_ms: int, direction: int
) -> int:
    """The furthest that policies let it go: up (direction 1) or down (-1)."""
    if by.select_policy == "Disabled":
        return current
    reached = [_reach(policy, current, steps, now_ms, direction) for policy in by.policies]
    furthest, nearest = (max, min) if direction > 0 else (min, max)
    return nearest(reached) if by.select_policy == "Min" else furthest(reached)


def _reach(
    policy: ScalingPolicy, current: int, steps: Iterable[Step], now_ms: int, direction: int
) -> int:
    """How far one policy lets it go from what there was when its period began."""
    since_ms = now_ms - 1000 * policy.period_seconds
    start = current - sum(step.change for step in steps if step.at_ms > since_ms)
    if policy.type == "Pods":
        return start + direction * policy.value
    part = start * (100 + direction * policy.value)
    # Both round towards more replicas lost or gained: else a small number would never change.
    return -(-part // 100) if direction > 0 else part // 100


def remembered(past: Past, wanted: int, behavior: Behavior | None, now_ms: int) -> Past:
    """The past with what is called for now, and without what no window or period reaches."""
    up, down = rules(behavior)
    window_s = max(rule.stabilization_window_seconds or 0 for rule in (up, down))
    period_s = max(policy.period_seconds for rule in (up, down) for policy in rule.policies)
    called_for = {
        replicas: at_ms
        for replicas, at_ms in past.called_for.items()
        if at_ms > now_ms - 1000 * window_s
    }
    steps = tuple(step for step in past.steps if step.at_ms > now_ms - 1000 * period_s)
    return Past(called_for | {wanted: now_ms}, steps)
