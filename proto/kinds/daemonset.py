"""DaemonSet: one pod on every node that it selects."""

from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from proto.errors import FieldError
from proto.kinds import share, validation
from proto.kinds.kind import Column, Kind
from proto.kinds.pod import PodTemplateSpec, age_cell, default_spec
from proto.kinds.replicaset import containers_cell, images_cell, validate_workload
from proto.kinds.share import IntOrPercent
from proto.meta import Condition, LabelSelector, Model, Resource, format_selector


class RollingUpdateDaemonSet(Model, frozen=True, kw_only=True):
    """On how many nodes the pod may be missing, or be there twice: counts or percentages."""

    max_unavailable: IntOrPercent | None = None
    max_surge: IntOrPercent | None = None


class DaemonSetUpdateStrategy(Model, frozen=True, kw_only=True):
    """``RollingUpdate`` or ``OnDelete``."""

    type: str = ""
    rolling_update: RollingUpdateDaemonSet | None = None


class DaemonSetSpec(Model, frozen=True, kw_only=True):
    """What is wanted."""

    selector: LabelSelector | None = None
    template: PodTemplateSpec = PodTemplateSpec()
    update_strategy: DaemonSetUpdateStrategy = DaemonSetUpdateStrategy()
    min_ready_seconds: int = 0
    revision_history_limit: int | None = None


class DaemonSetStatus(Model, frozen=True, kw_only=True):
    """What there is: numbers of nodes. The first four are always encoded, as Kubernetes does."""

    current_number_scheduled: int | None = None
    number_misscheduled: int | None = None
    desired_number_scheduled: int | None = None
    number_ready: int | None = None
    observed_generation: int = 0
    updated_number_scheduled: int = 0
    number_available: int = 0
    number_unavailable: int = 0
    collision_count: int | None = None
    conditions: Annotated[tuple[Condition, ...], Meta(extra={"merge_key": "type"})] = ()


class DaemonSet(Resource, frozen=True, kw_only=True):
    """See the module."""

    spec: DaemonSetSpec = DaemonSetSpec()
    status: DaemonSetStatus = DaemonSetStatus()


def defaults(found: DaemonSet) -> DaemonSet:
    """Source: Kubernetes, pkg/apis/apps/v1/defaults.go."""
    spec, status = found.spec, found.status
    strategy = replace(spec.update_strategy, type=spec.update_strategy.type or "RollingUpdate")
    if strategy.type == "RollingUpdate":
        rolling = strategy.rolling_update or RollingUpdateDaemonSet()
        rolling = RollingUpdateDaemonSet(
            max_unavailable=1 if rolling.max_unavailable is None else rolling.max_unavailable,
            max_surge=0 if rolling.max_surge is None else rolling.max_surge,
        )
        strategy = replace(strategy, rolling_update=rolling)
    limit = spec.revision_history_limit
    return replace(
        found,
        spec=replace(
            spec,
            template=replace(spec.template, spec=default_spec(spec.template.spec)),
            update_strategy=strategy,
            revision_history_limit=10 if limit is None else limit,
        ),
        status=replace(
            status,
            current_number_scheduled=status.current_number_scheduled or 0,
            number_misscheduled=status.number_misscheduled or 0,
            desired_number_scheduled=status.desired_number_scheduled or 0,
            number_ready=status.number_ready or 0,
        ),
    )


def validate(new: DaemonSet, old: DaemonSet | None) -> list[FieldError]:
    """Every wrong field; the selector may not change."""
    spec = new.spec
    errors = validation.non_negative("spec.minReadySeconds", spec.min_ready_seconds)
    errors += validation.non_negative("spec.revisionHistoryLimit", spec.revision_history_limit)
    errors += _strategy(spec.update_strategy)
    errors += validate_workload(spec.selector, spec.template, "daemonset")
    if old is not None:
        errors += validation.immutable("spec.selector", spec.selector, old.spec.selector)
    return errors


def _strategy(strategy: DaemonSetUpdateStrategy) -> list[FieldError]:
    at = "spec.updateStrategy"
    errors = validation.one_of(f"{at}.type", strategy.type, ("OnDelete", "RollingUpdate"))
    rolling = strategy.rolling_update
    if strategy.type != "RollingUpdate" or rolling is None:
        return errors
    at += ".rollingUpdate"
    most, more = rolling.max_unavailable, rolling.max_surge
    errors += share.validate(f"{at}.maxUnavailable", most, percent_max=100)
    errors += share.validate(f"{at}.maxSurge", more, percent_max=100)
    if errors:
        return errors
    if {most, more} <= {0, "0%"}:
        said = "cannot be 0 when maxSurge is 0"
        return [validation.invalid(f"{at}.maxUnavailable", most, said)]
    if not {most, more} & {0, "0%"}:
        said = "may not be set when maxUnavailable is non-zero"
        return [validation.invalid(f"{at}.maxSurge", more, said)]
    return []


def _nodes_cell(found: DaemonSet) -> str:
    return format_selector(LabelSelector(match_labels=found.spec.template.spec.node_selector))


DAEMON_SETS: Kind[DaemonSet] = Kind(
    name="DaemonSet",
    group="apps",
    version="v1",
    plural="daemonsets",
    singular="daemonset",
    type=DaemonSet,
    short_names=("ds",),
    categories=("all",),
    columns=(
        Column("Desired", lambda ds, _: ds.status.desired_number_scheduled or 0, type="integer"),
        Column("Current", lambda ds, _: ds.status.current_number_scheduled or 0, type="integer"),
        Column("Ready", lambda ds, _: ds.status.number_ready or 0, type="integer"),
        Column("Up-to-date", lambda ds, _: ds.status.updated_number_scheduled, type="integer"),
        Column("Available", lambda ds, _: ds.status.number_available, type="integer"),
        Column("Node Selector", lambda ds, _: _nodes_cell(ds)),
        Column("Age", age_cell),
        Column("Containers", lambda ds, _: containers_cell(ds.spec.template), priority=1),
        Column("Images", lambda ds, _: images_cell(ds.spec.template), priority=1),
        Column("Selector", lambda ds, _: format_selector(ds.spec.selector), priority=1),
    ),
    defaults=defaults,
    validate=validate,
)
