"""StatefulSet: pods that keep their names and their storage."""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from proto.errors import FieldError
from proto.kinds import share, validation
from proto.kinds.kind import Column, Kind
from proto.kinds.pod import Pod, PodSpec, PodTemplateSpec, age_cell, default_spec
from proto.kinds.replicaset import containers_cell, images_cell, validate_workload
from proto.kinds.share import IntOrPercent
from proto.kinds.storage import PersistentVolumeClaim, default_claim
from proto.kinds.volume import PersistentVolumeClaimVolumeSource, Volume
from proto.meta import Condition, LabelSelector, Model, Resource


class RollingUpdateStatefulSet(Model, frozen=True, kw_only=True):
    """How it rolls.

    Attributes:
        partition: Pods with a lower ordinal keep the old template.
        max_unavailable: How many may be missing meanwhile: a count or a percentage.
    """

    partition: int | None = None
    max_unavailable: IntOrPercent | None = None


class StatefulSetUpdateStrategy(Model, frozen=True, kw_only=True):
    """``RollingUpdate`` or ``OnDelete``."""

    type: str = ""
    rolling_update: RollingUpdateStatefulSet | None = None


class ClaimRetentionPolicy(Model, frozen=True, kw_only=True):
    """What becomes of a pod's claims: ``Retain`` or ``Delete``."""

    when_deleted: str = ""
    when_scaled: str = ""


class StatefulSetOrdinals(Model, frozen=True, kw_only=True):
    """How pods are numbered."""

    start: int = 0


class StatefulSetSpec(Model, frozen=True, kw_only=True):
    """What is wanted."""

    replicas: int | None = None
    selector: LabelSelector | None = None
    template: PodTemplateSpec = PodTemplateSpec()
    volume_claim_templates: tuple[PersistentVolumeClaim, ...] = ()
    service_name: str = ""
    pod_management_policy: str = ""
    update_strategy: StatefulSetUpdateStrategy = StatefulSetUpdateStrategy()
    revision_history_limit: int | None = None
    min_ready_seconds: int = 0
    persistent_volume_claim_retention_policy: ClaimRetentionPolicy | None = None
    ordinals: StatefulSetOrdinals | None = None


class StatefulSetStatus(Model, frozen=True, kw_only=True):
    """What there is. `replicas` and `available_replicas` are always encoded, as Kubernetes does."""

    observed_generation: int = 0
    replicas: int | None = None
    ready_replicas: int = 0
    current_replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int | None = None
    current_revision: str = ""
    update_revision: str = ""
    collision_count: int | None = None
    conditions: Annotated[tuple[Condition, ...], Meta(extra={"merge_key": "type"})] = ()


class StatefulSet(Resource, frozen=True, kw_only=True):
    """See the module."""

    spec: StatefulSetSpec = StatefulSetSpec()
    status: StatefulSetStatus = StatefulSetStatus()


def defaults(found: StatefulSet) -> StatefulSet:
    """Source: Kubernetes, pkg/apis/apps/v1/defaults.go."""
    spec, status = found.spec, found.status
    strategy = replace(spec.update_strategy, type=spec.update_strategy.type or "RollingUpdate")
    if strategy.type == "RollingUpdate":
        rolling = strategy.rolling_update or RollingUpdateStatefulSet()
        partition = 0 if rolling.partition is None else rolling.partition
        strategy = replace(strategy, rolling_update=replace(rolling, partition=partition))
    kept = spec.persistent_volume_claim_retention_policy or ClaimRetentionPolicy()
    kept = ClaimRetentionPolicy(
        when_deleted=kept.when_deleted or "Retain", when_scaled=kept.when_scaled or "Retain"
    )
    limit = spec.revision_history_limit
    return replace(
        found,
        spec=replace(
            spec,
            replicas=1 if spec.replicas is None else spec.replicas,
            template=replace(spec.template, spec=default_spec(spec.template.spec)),
            volume_claim_templates=tuple(map(default_claim, spec.volume_claim_templates)),
            pod_management_policy=spec.pod_management_policy or "OrderedReady",
            update_strategy=strategy,
            revision_history_limit=10 if limit is None else limit,
            persistent_volume_claim_retention_policy=kept,
        ),
        status=replace(
            status,
            replicas=status.replicas or 0,
            available_replicas=status.available_replicas or 0,
        ),
    )


def is_one_of_a_kind(pod: Pod) -> bool:
    """Whether there must never be two of it, not even for a moment."""
    owner = pod.metadata.controller
    return owner is not None and owner.kind == STATEFUL_SETS.name


def with_claims(spec: PodSpec, names: Mapping[str, str]) -> PodSpec:
    """A pod's spec in which volumes are the claims of these names, whatever the spec says of them.

    Args:
        spec: Of the template.
        names: Volume's name to its claim's.
    """
    claimed = (
        Volume(
            name=volume,
            persistent_volume_claim=PersistentVolumeClaimVolumeSource(claim_name=claim),
        )
        for volume, claim in names.items()
    )
    others = (volume for volume in spec.volumes if volume.name not in names)
    return replace(spec, volumes=(*claimed, *others))


def validate(new: StatefulSet, old: StatefulSet | None) -> list[FieldError]:
    """Every wrong field; most of the spec may not change."""
    spec = new.spec
    errors = validation.non_negative("spec.replicas", spec.replicas)
    errors += validation.non_negative("spec.minReadySeconds", spec.min_ready_seconds)
    errors += validation.non_negative("spec.revisionHistoryLimit", spec.revision_history_limit)
    if spec.ordinals is not None:
        errors += validation.non_negative("spec.ordinals.start", spec.ordinals.start)
    errors += _either(
        "spec.podManagementPolicy", spec.pod_management_policy, ("OrderedReady", "Parallel")
    )
    errors += _strategy(spec.update_strategy)
    kept = spec.persistent_volume_claim_retention_policy or ClaimRetentionPolicy()
    at = "spec.persistentVolumeClaimRetentionPolicy"
    for name, value in (("whenDeleted", kept.when_deleted), ("whenScaled", kept.when_scaled)):
        errors += validation.one_of(f"{at}.{name}", value, ("Delete", "Retain"))
    claims = {found.metadata.name: found.metadata.name for found in spec.volume_claim_templates}
    mounted = replace(spec.template, spec=with_claims(spec.template.spec, claims))
    errors += validate_workload(spec.selector, mounted, "statefulset")
    return errors + ([] if old is None else _change(spec, old.spec))


def _either(path: str, value: str, choices: tuple[str, str]) -> list[FieldError]:
    if value in choices:
        return []
    return [validation.invalid(path, value, f"must be '{choices[0]}' or '{choices[1]}'")]


def _strategy(strategy: StatefulSetUpdateStrategy) -> list[FieldError]:
    at = "spec.updateStrategy"
    rolling = strategy.rolling_update
    errors = _either(f"{at}.type", strategy.type, ("RollingUpdate", "OnDelete"))
    if rolling is None:
        return errors
    if strategy.type == "OnDelete":
        said = "only allowed for updateStrategy 'RollingUpdate'"
        errors.append(validation.invalid(f"{at}.rollingUpdate", rolling, said))
    errors += validation.non_negative(f"{at}.rollingUpdate.partition", rolling.partition)
    return errors + share.validate(
        f"{at}.rollingUpdate.maxUnavailable", rolling.max_unavailable, percent_max=100
    )


def _change(new: StatefulSetSpec, old: StatefulSetSpec) -> list[FieldError]:
    allowed = replace(
        old,
        replicas=new.replicas,
        ordinals=new.ordinals,
        template=new.template,
        update_strategy=new.update_strategy,
        revision_history_limit=new.revision_history_limit,
        persistent_volume_claim_retention_policy=new.persistent_volume_claim_retention_policy,
        min_ready_seconds=new.min_ready_seconds,
    )
    if new == allowed:
        return []
    return [
        validation.forbidden(
            "spec",
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
            "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
            "'minReadySeconds' are forbidden",
        )
    ]


STATEFUL_SETS: Kind[StatefulSet] = Kind(
    name="StatefulSet",
    group="apps",
    version="v1",
    plural="statefulsets",
    singular="statefulset",
    type=StatefulSet,
    short_names=("sts",),
    categories=("all",),
    columns=(
        Column("Ready", lambda found, _: f"{found.status.ready_replicas}/{found.spec.replicas}"),
        Column("Age", age_cell),
        Column("Containers", lambda found, _: containers_cell(found.spec.template), priority=1),
        Column("Images", lambda found, _: images_cell(found.spec.template), priority=1),
    ),
    defaults=defaults,
    validate=validate,
    has_scale=True,
)
