"""HorizontalPodAutoscaler: as many replicas as what is measured calls for.

This is its version 2, in which it is stored; `autoscaler_v1` is the other one. Source of defaults,
rules and texts: Kubernetes, pkg/apis/autoscaling.
"""

from typing import Annotated, Any

from msgspec import Meta
from msgspec.structs import replace

from proto import quantity
from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.autoscaler_metrics import (
    OF_NO_POD,
    SOURCES,
    CrossVersionObjectReference,
    MetricReading,
    MetricSource,
    MetricSpec,
    MetricStatus,
    MetricValue,
    check_metric,
    check_reference,
    cpu_metric,
    with_text,
)
from proto.kinds.kind import Column, Kind
from proto.kinds.pod import age_cell
from proto.meta import Condition, Model, Resource, Time

CPU_PERCENT = 80
"""Aimed at when no metric is named. Source: DefaultCPUUtilization."""

WINDOW_MAX_S = 3600
PERIOD_MAX_S = 1800
_SHOWN_MAX = 2


class ScalingPolicy(Model, frozen=True, kw_only=True):
    """How many pods, or what percentage of them, may come or go within a period."""

    type: str = ""
    value: int = 0
    period_seconds: int = 0


class ScalingRules(Model, frozen=True, kw_only=True):
    """How fast it may go in one direction.

    Attributes:
        stabilization_window_seconds: How long what was called for before still counts.
        tolerance: A part, 0.1 by default: metrics that are nearer to their targets move nothing.
    """

    stabilization_window_seconds: int | None = None
    select_policy: str | None = None
    policies: tuple[ScalingPolicy, ...] = ()
    tolerance: quantity.Quantity | None = None


class Behavior(Model, frozen=True, kw_only=True):
    """How fast it may go."""

    scale_up: ScalingRules | None = None
    scale_down: ScalingRules | None = None


class AutoscalerSpec(Model, frozen=True, kw_only=True):
    """What is wanted."""

    scale_target_ref: CrossVersionObjectReference = CrossVersionObjectReference()
    min_replicas: int | None = None
    max_replicas: int = 0
    metrics: tuple[MetricSpec, ...] = ()
    behavior: Behavior | None = None


class AutoscalerStatus(Model, frozen=True, kw_only=True):
    """What there is."""

    observed_generation: int | None = None
    last_scale_time: Time = ""
    current_replicas: int = 0
    desired_replicas: int = 0
    current_metrics: tuple[MetricStatus, ...] = ()
    conditions: Annotated[tuple[Condition, ...], Meta(extra={"merge_key": "type"})] = ()


class HorizontalPodAutoscaler(Resource, frozen=True, kw_only=True):
    """See the module."""

    spec: AutoscalerSpec = AutoscalerSpec()
    status: AutoscalerStatus = AutoscalerStatus()


SCALE_UP = ScalingRules(
    stabilization_window_seconds=0,
    select_policy="Max",
    policies=(
        ScalingPolicy(type="Pods", value=4, period_seconds=15),
        ScalingPolicy(type="Percent", value=100, period_seconds=15),
    ),
)
SCALE_DOWN = ScalingRules(
    select_policy="Max", policies=(ScalingPolicy(type="Percent", value=100, period_seconds=15),)
)
"""Without a window: it is the controller's, who asks for none."""


def defaults(found: HorizontalPodAutoscaler) -> HorizontalPodAutoscaler:
    """One replica at least, CPU at 80 %, and rules for both directions where one is given."""
    spec = found.spec
    metrics = spec.metrics or (cpu_metric(CPU_PERCENT),)
    behavior = spec.behavior
    if behavior is not None:
        behavior = Behavior(
            scale_up=_filled(behavior.scale_up, SCALE_UP),
            scale_down=_filled(behavior.scale_down, SCALE_DOWN),
        )
    return replace(
        found,
        spec=replace(
            spec,
            min_replicas=1 if spec.min_replicas is None else spec.min_replicas,
            metrics=tuple(with_text(metric) for metric in metrics),
            behavior=behavior,
        ),
    )


def _filled(rules: ScalingRules | None, by: ScalingRules) -> ScalingRules:
    if rules is None:
        return by
    window = rules.stabilization_window_seconds
    return ScalingRules(
        stabilization_window_seconds=by.stabilization_window_seconds if window is None else window,
        select_policy=rules.select_policy or by.select_policy,
        policies=rules.policies or by.policies,
        tolerance=None if rules.tolerance is None else quantity.canonical(rules.tolerance),
    )


def validate(
    new: HorizontalPodAutoscaler, _old: HorizontalPodAutoscaler | None
) -> list[FieldError]:
    """Every wrong field."""
    spec = new.spec
    least, most = spec.min_replicas or 0, spec.max_replicas
    errors: list[FieldError] = []
    if least < 0:
        said = "must be greater than or equal to 0"
        errors.append(validation.invalid("spec.minReplicas", least, said))
    if most < 1:
        errors.append(validation.invalid("spec.maxReplicas", most, "must be greater than 0"))
    elif most < least:
        said = "must be greater than or equal to `minReplicas`"
        errors.append(validation.invalid("spec.maxReplicas", most, said))
    errors += check_reference("spec.scaleTargetRef", spec.scale_target_ref)
    for index, metric in enumerate(spec.metrics):
        errors += check_metric(f"spec.metrics[{index}]", metric)
    if least == 0 and not any(metric.type in OF_NO_POD for metric in spec.metrics):
        said = "must specify at least one Object or External metric to support scaling to zero"
        errors.append(validation.forbidden("spec.metrics", f"{said} replicas"))
    if spec.behavior is not None:
        errors += _rules("spec.behavior.scaleUp", spec.behavior.scale_up or SCALE_UP)
        errors += _rules("spec.behavior.scaleDown", spec.behavior.scale_down or SCALE_DOWN)
    return errors


def _is_tolerance(value: quantity.Quantity) -> bool:
    try:
        return quantity.parse(value) >= 0
    except ValueError:
        return False


def _rules(at: str, rules: ScalingRules) -> list[FieldError]:
    errors = validation.one_of(
        f"{at}.selectPolicy", rules.select_policy or "", ("Disabled", "Max", "Min")
    )
    window = rules.stabilization_window_seconds
    if window is not None and not 0 <= window <= WINDOW_MAX_S:
        said = f"must be between 0 and {WINDOW_MAX_S}, inclusive"
        errors.append(validation.invalid(f"{at}.stabilizationWindowSeconds", window, said))
    if rules.tolerance is not None and not _is_tolerance(rules.tolerance):
        said = "must be greater or equal to zero"
        errors.append(validation.invalid(f"{at}.tolerance", rules.tolerance, said))
    for index, policy in enumerate(rules.policies):
        path = f"{at}.policies[{index}]"
        errors += validation.one_of(f"{path}.type", policy.type, ("Percent", "Pods"))
        if policy.value <= 0:
            said = "must be greater than zero"
            errors.append(validation.invalid(f"{path}.value", policy.value, said))
        if not 0 < policy.period_seconds <= PERIOD_MAX_S:
            said = f"must be between 1 and {PERIOD_MAX_S}, inclusive"
            errors.append(validation.invalid(f"{path}.periodSeconds", policy.period_seconds, said))
    return errors


def _targets_cell(found: HorizontalPodAutoscaler) -> str:
    """Source: printers.go, formatHPAMetrics."""
    metrics, readings = found.spec.metrics, found.status.current_metrics
    shown = [
        _target_cell(metric, readings[index] if index < len(readings) else MetricStatus())
        for index, metric in enumerate(metrics[:_SHOWN_MAX])
    ]
    more = len(metrics) - _SHOWN_MAX
    return ", ".join(shown) + (f" + {more} more..." if more > 0 else "") or "<none>"


def _target_cell(metric: MetricSpec, reading: MetricStatus) -> str:
    field = SOURCES.get(metric.type, "")
    source: MetricSource | None = getattr(metric, field, None)
    if source is None:
        return "<unknown type>"
    told: MetricReading | None = getattr(reading, field)
    current = MetricValue() if told is None else told.current
    prefix = f"{source.name}: " if source.name else ""
    target = source.target
    if target.average_utilization is not None:
        return f"{prefix}{_percent(current)}/{target.average_utilization}%"
    if target.average_value is not None:
        suffix = "" if metric.type in ("Pods", "Resource", "ContainerResource") else " (avg)"
        return f"{prefix}{_or_unknown(current.average_value)}/{target.average_value}{suffix}"
    return f"{prefix}{_or_unknown(current.value)}/{target.value}"


def _percent(current: MetricValue) -> str:
    percent = current.average_utilization
    return "<unknown>" if percent is None else f"{percent}%"


def _or_unknown(value: Any) -> str:
    return "<unknown>" if value is None else str(value)


def _least_cell(found: HorizontalPodAutoscaler) -> str:
    least = found.spec.min_replicas
    return "<unset>" if least is None else str(least)


def _reference_cell(found: HorizontalPodAutoscaler) -> str:
    target = found.spec.scale_target_ref
    return f"{target.kind}/{target.name}"


AUTOSCALERS: Kind[HorizontalPodAutoscaler] = Kind(
    name="HorizontalPodAutoscaler",
    group="autoscaling",
    version="v2",
    plural="horizontalpodautoscalers",
    singular="horizontalpodautoscaler",
    type=HorizontalPodAutoscaler,
    short_names=("hpa",),
    categories=("all",),
    columns=(
        Column("Reference", lambda found, _: _reference_cell(found)),
        Column("Targets", lambda found, _: _targets_cell(found)),
        Column("MinPods", lambda found, _: _least_cell(found)),
        Column("MaxPods", lambda found, _: found.spec.max_replicas, type="integer"),
        Column("Replicas", lambda found, _: found.status.current_replicas, type="integer"),
        Column("Age", age_cell),
    ),
    defaults=defaults,
    validate=validate,
)
