"""ResourceQuota, LimitRange and PriorityClass: shares of a cluster, and who goes first."""

from msgspec import field
from msgspec.structs import replace

from proto import quantity
from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.kind import Column, Kind
from proto.kinds.pod import age_cell
from proto.meta import Model, Resource

Amounts = dict[str, quantity.Quantity]

PREEMPT_LOWER = "PreemptLowerPriority"
PREEMPT_NEVER = "Never"

SYSTEM_CLASSES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
"""Classes of every cluster, with their values. Source: Kubernetes, pkg/apis/scheduling."""

SCOPES = (
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
)

VALUE_MAX = 1_000_000_000
"""Of a priority class that users make. Source: Kubernetes, HighestUserDefinablePriority."""


class ScopedSelectorRequirement(Model, frozen=True, kw_only=True):
    """One term of `ScopeSelector`."""

    scope_name: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()


class ScopeSelector(Model, frozen=True, kw_only=True):
    """Which objects count."""

    match_expressions: tuple[ScopedSelectorRequirement, ...] = ()


class ResourceQuotaSpec(Model, frozen=True, kw_only=True):
    """How much a namespace may use."""

    hard: Amounts = {}
    scopes: tuple[str, ...] = ()
    scope_selector: ScopeSelector | None = None


class ResourceQuotaStatus(Model, frozen=True, kw_only=True):
    """How much it uses."""

    hard: Amounts = {}
    used: Amounts = {}


class ResourceQuota(Resource, frozen=True, kw_only=True):
    """How much a namespace may use."""

    spec: ResourceQuotaSpec = ResourceQuotaSpec()
    status: ResourceQuotaStatus = ResourceQuotaStatus()


class LimitRangeItem(Model, frozen=True, kw_only=True):
    """Bounds and defaults of one type of thing: Container, Pod, PersistentVolumeClaim."""

    type: str = ""
    max: Amounts = {}
    min: Amounts = {}
    default: Amounts = {}
    default_request: Amounts = {}
    max_limit_request_ratio: Amounts = {}


class LimitRangeSpec(Model, frozen=True, kw_only=True):
    """All bounds."""

    limits: tuple[LimitRangeItem, ...] = ()


class LimitRange(Resource, frozen=True, kw_only=True):
    """How large one thing of a namespace may be."""

    spec: LimitRangeSpec = LimitRangeSpec()


class PriorityClass(Resource, frozen=True, kw_only=True):
    """A named priority.

    Attributes:
        value: The higher, the sooner a pod is placed.
        preemption_policy: ``PreemptLowerPriority`` or ``Never``.
    """

    value: int = field(default=0)
    global_default: bool = False
    description: str = ""
    preemption_policy: str = ""


def _validate_quota(new: ResourceQuota, old: ResourceQuota | None) -> list[FieldError]:
    errors = validation.amounts("spec.hard", new.spec.hard)
    for name in new.spec.hard:
        errors += validation.qualified_name(f"spec.hard[{name}]", name)
    for scope in new.spec.scopes:
        if scope not in SCOPES:
            listed = list(new.spec.scopes)
            errors.append(validation.invalid("spec.scopes", listed, "unsupported scope"))
    for one, other in (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")):
        if {one, other} <= set(new.spec.scopes):
            listed = list(new.spec.scopes)
            errors.append(validation.invalid("spec.scopes", listed, "conflicting scopes"))
    if new.spec.scope_selector is not None:
        for index, term in enumerate(new.spec.scope_selector.match_expressions):
            errors += _validate_scope(f"spec.scopeSelector.matchExpressions[{index}]", term)
    if old is not None:
        errors += validation.immutable("spec.scopes", new.spec.scopes, old.spec.scopes)
    return errors


def _validate_scope(at: str, term: ScopedSelectorRequirement) -> list[FieldError]:
    errors: list[FieldError] = []
    if term.scope_name not in SCOPES:
        errors.append(validation.invalid(f"{at}.scopeName", term.scope_name, "unsupported scope"))
    if term.operator in ("In", "NotIn"):
        if term.scope_name != "PriorityClass":
            said = (
                "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, "
                "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
                "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
            )
            errors.append(validation.invalid(f"{at}.operator", term.operator, said))
        if not term.values:
            said = (
                "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            )
            errors.append(validation.required(f"{at}.values", said))
    elif term.operator not in ("Exists", "DoesNotExist"):
        said = "not a valid selector operator"
        errors.append(validation.invalid(f"{at}.operator", term.operator, said))
    elif term.values:
        said = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
        errors.append(validation.invalid(f"{at}.values", list(term.values), said))
    return errors


def _default_limits(found: LimitRange) -> LimitRange:
    items = tuple(_default_item(item) for item in found.spec.limits)
    return replace(found, spec=replace(found.spec, limits=items))


def _default_item(item: LimitRangeItem) -> LimitRangeItem:
    """A container's default limit is its maximum; its default request that, or its minimum.

    Source: Kubernetes, SetDefaults_LimitRangeItem.
    """
    if item.type != "Container":
        return item
    default = _canonical(item.max | item.default)
    return replace(
        item,
        max=_canonical(item.max),
        min=_canonical(item.min),
        default=default,
        default_request=_canonical(item.min | default | item.default_request),
        max_limit_request_ratio=_canonical(item.max_limit_request_ratio),
    )


def _canonical(amounts: Amounts) -> Amounts:
    return {name: quantity.canonical(amount) for name, amount in amounts.items()}


def _default_quota(found: ResourceQuota) -> ResourceQuota:
    return replace(found, spec=replace(found.spec, hard=_canonical(found.spec.hard)))


def _validate_limits(new: LimitRange, _old: LimitRange | None) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, item in enumerate(new.spec.limits):
        at = f"spec.limits[{index}]"
        if not item.type:
            errors.append(validation.required(f"{at}.type"))
        for name, values in (
            ("max", item.max),
            ("min", item.min),
            ("default", item.default),
            ("defaultRequest", item.default_request),
            ("maxLimitRequestRatio", item.max_limit_request_ratio),
        ):
            errors += validation.amounts(f"{at}.{name}", values)
    return errors


def _default_priority(found: PriorityClass) -> PriorityClass:
    return replace(found, preemption_policy=found.preemption_policy or PREEMPT_LOWER)


def _validate_priority(new: PriorityClass, old: PriorityClass | None) -> list[FieldError]:
    errors: list[FieldError] = []
    name = new.metadata.name
    if name.startswith("system-") and SYSTEM_CLASSES.get(name) != new.value:
        said = "priority class names with 'system-' prefix are reserved for system use only"
        errors.append(validation.forbidden("metadata.name", said))
    elif new.value > VALUE_MAX and name not in SYSTEM_CLASSES:
        errors.append(
            validation.forbidden(
                "value", f"maximum allowed value of a user defined priority is {VALUE_MAX}"
            )
        )
    errors += validation.one_of(
        "preemptionPolicy", new.preemption_policy, (PREEMPT_NEVER, PREEMPT_LOWER)
    )
    if old is not None and new.value != old.value:
        errors.append(validation.forbidden("value", "may not be changed in an update."))
    return errors


def _used_cell(found: ResourceQuota, *, limits: bool) -> str:
    status = found.status
    return ", ".join(
        f"{name}: {status.used.get(name, 0)}/{hard}"
        for name, hard in sorted((status.hard or found.spec.hard).items())
        if name.startswith("limits.") is limits
    )


RESOURCE_QUOTAS: Kind[ResourceQuota] = Kind(
    name="ResourceQuota",
    group="",
    version="v1",
    plural="resourcequotas",
    singular="resourcequota",
    type=ResourceQuota,
    short_names=("quota",),
    columns=(
        Column("Request", lambda found, _: _used_cell(found, limits=False)),
        Column("Limit", lambda found, _: _used_cell(found, limits=True)),
        Column("Age", age_cell),
    ),
    defaults=_default_quota,
    validate=_validate_quota,
)

LIMIT_RANGES: Kind[LimitRange] = Kind(
    name="LimitRange",
    group="",
    version="v1",
    plural="limitranges",
    singular="limitrange",
    type=LimitRange,
    short_names=("limits",),
    columns=(Column("Created At", lambda f, _: f.metadata.creation_timestamp, type="date"),),
    defaults=_default_limits,
    validate=_validate_limits,
    has_status=False,
)

PRIORITY_CLASSES: Kind[PriorityClass] = Kind(
    name="PriorityClass",
    group="scheduling.k8s.io",
    version="v1",
    plural="priorityclasses",
    singular="priorityclass",
    type=PriorityClass,
    is_namespaced=False,
    short_names=("pc",),
    columns=(
        Column("Value", lambda found, _: found.value, type="integer"),
        Column("Global-Default", lambda found, _: str(found.global_default).lower()),
        Column("Age", age_cell),
        Column("PreemptionPolicy", lambda found, _: found.preemption_policy),
    ),
    defaults=_default_priority,
    validate=_validate_priority,
    has_status=False,
)
