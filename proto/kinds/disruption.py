"""PodDisruptionBudget: how many pods of a selector must stay when others evict."""

from typing import Annotated

from msgspec import Meta

from proto.errors import FieldError
from proto.kinds import share, validation
from proto.kinds.kind import Column, Kind
from proto.kinds.pod import age_cell
from proto.kinds.share import IntOrPercent
from proto.meta import Condition, LabelSelector, Model, Resource, Time


class PodDisruptionBudgetSpec(Model, frozen=True, kw_only=True):
    """What must hold: `min_available` or `max_unavailable`, a count or a percentage.

    Attributes:
        selector: None selects no pod, an empty one every pod of the namespace.
        unhealthy_pod_eviction_policy: ``IfHealthyBudget`` (also when empty) or ``AlwaysAllow``.
    """

    min_available: IntOrPercent | None = None
    max_unavailable: IntOrPercent | None = None
    selector: Annotated[LabelSelector | None, Meta(extra={"replace": True})] = None
    unhealthy_pod_eviction_policy: str = ""


class PodDisruptionBudgetStatus(Model, frozen=True, kw_only=True, omit_defaults=False):
    """What there is. Counts are always encoded, as Kubernetes does.

    Attributes:
        disrupted_pods: Pods whose eviction was allowed and that are not gone yet, with the time.
    """

    observed_generation: int = 0
    disrupted_pods: dict[str, Time] = {}
    disruptions_allowed: int = 0
    current_healthy: int = 0
    desired_healthy: int = 0
    expected_pods: int = 0
    conditions: Annotated[tuple[Condition, ...], Meta(extra={"merge_key": "type"})] = ()


class PodDisruptionBudget(Resource, frozen=True, kw_only=True):
    """See the module."""

    spec: PodDisruptionBudgetSpec = PodDisruptionBudgetSpec()
    status: PodDisruptionBudgetStatus = PodDisruptionBudgetStatus()


def validate(new: PodDisruptionBudget, _old: PodDisruptionBudget | None) -> list[FieldError]:
    """Every wrong field."""
    spec = new.spec
    errors = share.validate("spec.minAvailable", spec.min_available, percent_max=100)
    errors += share.validate("spec.maxUnavailable", spec.max_unavailable, percent_max=100)
    if spec.min_available is not None and spec.max_unavailable is not None:
        errors.append(
            validation.invalid("spec", "", "minAvailable and maxUnavailable cannot be both set")
        )
    if spec.selector is not None:
        errors += validation.selector("spec.selector", spec.selector)
    return errors + validation.one_of(
        "spec.unhealthyPodEvictionPolicy",
        spec.unhealthy_pod_eviction_policy or "IfHealthyBudget",
        ("AlwaysAllow", "IfHealthyBudget"),
    )


def _or_na(value: IntOrPercent | None) -> str:
    return "N/A" if value is None else str(value)


DISRUPTION_BUDGETS: Kind[PodDisruptionBudget] = Kind(
    name="PodDisruptionBudget",
    group="policy",
    version="v1",
    plural="poddisruptionbudgets",
    singular="poddisruptionbudget",
    type=PodDisruptionBudget,
    short_names=("pdb",),
    columns=(
        Column("Min Available", lambda pdb, _: _or_na(pdb.spec.min_available)),
        Column("Max Unavailable", lambda pdb, _: _or_na(pdb.spec.max_unavailable)),
        Column(
            "Allowed Disruptions", lambda pdb, _: pdb.status.disruptions_allowed, type="integer"
        ),
        Column("Age", age_cell),
    ),
    validate=validate,
)
