"""Deployment: replicas that change from one template to the next without an outage."""

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

REVISION_ANNOTATION = "deployment.kubernetes.io/revision"
DESIRED_ANNOTATION = "deployment.kubernetes.io/desired-replicas"
MAX_ANNOTATION = "deployment.kubernetes.io/max-replicas"
HASH_LABEL = "pod-template-hash"


class RollingUpdateDeployment(Model, frozen=True, kw_only=True):
    """How far the number of pods may stray while it rolls: counts or percentages."""

    max_unavailable: IntOrPercent | None = None
    max_surge: IntOrPercent | None = None


class DeploymentStrategy(Model, frozen=True, kw_only=True):
    """``RollingUpdate`` or ``Recreate``."""

    type: str = ""
    rolling_update: RollingUpdateDeployment | None = None


class DeploymentSpec(Model, frozen=True, kw_only=True):
    """What is wanted."""

    replicas: int | None = None
    selector: LabelSelector | None = None
    template: PodTemplateSpec = PodTemplateSpec()
    strategy: Annotated[DeploymentStrategy, Meta(extra={"retain_keys": True})] = (
        DeploymentStrategy()
    )
    min_ready_seconds: int = 0
    revision_history_limit: int | None = None
    paused: bool = False
    progress_deadline_seconds: int | None = None


class DeploymentStatus(Model, frozen=True, kw_only=True):
    """What there is, over all of its replica sets."""

    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    unavailable_replicas: int = 0
    terminating_replicas: int = 0
    collision_count: int | None = None
    conditions: Annotated[tuple[Condition, ...], Meta(extra={"merge_key": "type"})] = ()


class Deployment(Resource, frozen=True, kw_only=True):
    """See the module."""

    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()


def defaults(found: Deployment) -> Deployment:
    """Source: Kubernetes, pkg/apis/apps/v1/defaults.go."""
    spec = found.spec
    strategy = replace(spec.strategy, type=spec.strategy.type or "RollingUpdate")
    if strategy.type == "RollingUpdate":
        rolling = strategy.rolling_update or RollingUpdateDeployment()
        strategy = replace(
            strategy,
            rolling_update=replace(
                rolling,
                max_unavailable=(
                    "25%" if rolling.max_unavailable is None else rolling.max_unavailable
                ),
                max_surge="25%" if rolling.max_surge is None else rolling.max_surge,
            ),
        )
    return replace(
        found,
        spec=replace(
            spec,
            replicas=1 if spec.replicas is None else spec.replicas,
            template=replace(spec.template, spec=default_spec(spec.template.spec)),
            strategy=strategy,
            revision_history_limit=(
                10 if spec.revision_history_limit is None else spec.revision_history_limit
            ),
            progress_deadline_seconds=(
                600 if spec.progress_deadline_seconds is None else spec.progress_deadline_seconds
            ),
        ),
    )


def surge_and_unavailable(found: Deployment) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) as counts; never both 0. Source: ResolveFenceposts."""
    rolling = found.spec.strategy.rolling_update
    if found.spec.strategy.type != "RollingUpdate" or rolling is None:
        return 0, 0
    replicas = found.spec.replicas or 0
    surge = share.count_of(rolling.max_surge or 0, replicas, round_up=True)
    unavailable = share.count_of(rolling.max_unavailable or 0, replicas, round_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, replicas)


def _validate_strategy(strategy: DeploymentStrategy) -> list[FieldError]:
    at = "spec.strategy"
    if strategy.type not in ("RollingUpdate", "Recreate"):
        return [
            validation.not_supported(f"{at}.type", strategy.type, ("Recreate", "RollingUpdate"))
        ]
    rolling = strategy.rolling_update
    if strategy.type == "Recreate":
        if rolling is None:
            return []
        return [
            validation.forbidden(
                f"{at}.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'"
            )
        ]
    rolling = rolling or RollingUpdateDeployment()
    errors = share.validate(f"{at}.rollingUpdate.maxUnavailable", rolling.max_unavailable)
    errors += share.validate(f"{at}.rollingUpdate.maxSurge", rolling.max_surge)
    if not errors and {rolling.max_surge, rolling.max_unavailable} <= {0, "0%"}:
        errors.append(
            validation.invalid(
                f"{at}.rollingUpdate.maxUnavailable",
                rolling.max_unavailable,
                "may not be 0 when `maxSurge` is 0",
            )
        )
    return errors


def validate(new: Deployment, old: Deployment | None) -> list[FieldError]:
    """Every wrong field; the selector may not change."""
    spec = new.spec
    errors = validation.non_negative("spec.replicas", spec.replicas)
    errors += validation.non_negative("spec.minReadySeconds", spec.min_ready_seconds)
    errors += validation.non_negative("spec.revisionHistoryLimit", spec.revision_history_limit)
    errors += validation.non_negative(
        "spec.progressDeadlineSeconds", spec.progress_deadline_seconds
    )
    errors += _validate_strategy(spec.strategy)
    errors += validate_workload(spec.selector, spec.template)
    if (spec.progress_deadline_seconds or 0) <= spec.min_ready_seconds:
        errors.append(
            validation.invalid(
                "spec.progressDeadlineSeconds",
                spec.progress_deadline_seconds,
                "must be greater than minReadySeconds",
            )
        )
    if old is not None and spec.selector != old.spec.selector:
        errors.append(
            validation.invalid(
                "spec.selector", format_selector(spec.selector), "field is immutable"
            )
        )
    return errors


DEPLOYMENTS: Kind[Deployment] = Kind(
    name="Deployment",
    group="apps",
    version="v1",
    plural="deployments",
    singular="deployment",
    type=Deployment,
    short_names=("deploy",),
    categories=("all",),
    columns=(
        Column("Ready", lambda d, _: f"{d.status.ready_replicas}/{d.spec.replicas or 0}"),
        Column("Up-to-date", lambda d, _: d.status.updated_replicas, type="integer"),
        Column("Available", lambda d, _: d.status.available_replicas, type="integer"),
        Column("Age", age_cell),
        Column("Containers", lambda d, _: containers_cell(d.spec.template), priority=1),
        Column("Images", lambda d, _: images_cell(d.spec.template), priority=1),
        Column("Selector", lambda d, _: format_selector(d.spec.selector), priority=1),
    ),
    defaults=defaults,
    validate=validate,
    has_scale=True,
)
