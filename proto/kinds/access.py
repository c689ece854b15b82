"""ServiceAccount, roles and their bindings: who may do what."""

from typing import Annotated

from msgspec import Meta, field
from msgspec.structs import replace

from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.event import ObjectReference
from proto.kinds.kind import Column, Kind
from proto.kinds.pod import age_cell
from proto.kinds.source import LocalObjectReference
from proto.meta import LabelSelector, Model, Resource

RBAC = "rbac.authorization.k8s.io"
_NOT_ENFORCED = "are stored and served, but not enforced yet"


class ServiceAccount(Resource, frozen=True, kw_only=True):
    """Who a program is to the API."""

    secrets: Annotated[tuple[ObjectReference, ...], Meta(extra={"merge_key": "name"})] = ()
    image_pull_secrets: Annotated[
        tuple[LocalObjectReference, ...], Meta(extra={"merge_key": "name"})
    ] = ()
    automount_service_account_token: bool | None = None


class PolicyRule(Model, frozen=True, kw_only=True):
    """Verbs, and what they may be used on."""

    verbs: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()
    non_resource_urls: tuple[str, ...] = field(default=(), name="nonResourceURLs")


class Role(Resource, frozen=True, kw_only=True):
    """What one may do in a namespace."""

    rules: tuple[PolicyRule, ...] = ()


class AggregationRule(Model, frozen=True, kw_only=True):
    """Whose rules a cluster role takes over."""

    cluster_role_selectors: tuple[LabelSelector, ...] = ()


class ClusterRole(Resource, frozen=True, kw_only=True):
    """What one may do everywhere."""

    rules: tuple[PolicyRule, ...] = ()
    aggregation_rule: AggregationRule | None = None


class RoleRef(Model, frozen=True, kw_only=True):
    """The role that a binding gives."""

    api_group: str = ""
    kind: str = ""
    name: str = ""


class Subject(Model, frozen=True, kw_only=True):
    """A user, a group or a service account."""

    kind: str = ""
    api_group: str = ""
    name: str = ""
    namespace: str = ""


class RoleBinding(Resource, frozen=True, kw_only=True):
    """Who has a role in a namespace."""

    subjects: tuple[Subject, ...] = ()
    role_ref: RoleRef = RoleRef()


class ClusterRoleBinding(Resource, frozen=True, kw_only=True):
    """Who has a role everywhere."""

    subjects: tuple[Subject, ...] = ()
    role_ref: RoleRef = RoleRef()


def _validate_rules(new: Role | ClusterRole, _old: object) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, rule in enumerate(new.rules):
        at = f"rules[{index}]"
        if not rule.verbs:
            errors.append(
                validation.required(f"{at}.verbs", "verbs must contain at least one value")
            )
        if rule.non_resource_urls:
            if isinstance(new, Role):
                errors.append(
                    validation.invalid(
                        f"{at}.nonResourceURLs",
                        rule.non_resource_urls,
                        "namespaced rules cannot apply to non-resource URLs",
                    )
                )
            continue
        for name, values in (("apiGroups", rule.api_groups), ("resources", rule.resources)):
            if not values:
                errors.append(
                    validation.required(
                        f"{at}.{name}", "resource rules must supply at least one value"
                    )
                )
    return errors


def _default_binding(found: RoleBinding | ClusterRoleBinding) -> RoleBinding | ClusterRoleBinding:
    subjects = tuple(
        replace(
            subject,
            api_group=subject.api_group or (RBAC if subject.kind in ("User", "Group") else ""),
        )
        for subject in found.subjects
    )
    ref = replace(found.role_ref, api_group=found.role_ref.api_group or RBAC)
    return replace(found, subjects=subjects, role_ref=ref)


def _validate_binding(
    new: RoleBinding | ClusterRoleBinding, old: RoleBinding | ClusterRoleBinding | None
) -> list[FieldError]:
    kinds = ("ClusterRole", "Role") if isinstance(new, RoleBinding) else ("ClusterRole",)
    ref = new.role_ref
    errors = validation.one_of("roleRef.apiGroup", ref.api_group, (RBAC,))
    errors += validation.one_of("roleRef.kind", ref.kind, kinds)
    if not ref.name:
        errors.append(validation.required("roleRef.name"))
    for index, subject in enumerate(new.subjects):
        at = f"subjects[{index}]"
        errors += validation.one_of(f"{at}.kind", subject.kind, ("Group", "ServiceAccount", "User"))
        if not subject.name:
            errors.append(validation.required(f"{at}.name"))
        is_account = subject.kind == "ServiceAccount"
        if is_account and not subject.namespace and isinstance(new, ClusterRoleBinding):
            errors.append(validation.required(f"{at}.namespace"))
    if old is not None and new.role_ref != old.role_ref:
        errors.append(validation.invalid("roleRef", new.role_ref, "cannot change roleRef"))
    return errors


def _role_cell(found: RoleBinding | ClusterRoleBinding) -> str:
    return f"{found.role_ref.kind}/{found.role_ref.name}"


def _created_cell(found: Resource, _now_ms: int) -> str:
    return found.metadata.creation_timestamp


def _subjects_cell(found: RoleBinding | ClusterRoleBinding, kind: str) -> str:
    return ", ".join(
        f"{subject.namespace}/{subject.name}" if kind == "ServiceAccount" else subject.name
        for subject in found.subjects
        if subject.kind == kind
    )


_BINDING_COLUMNS = (
    Column("Role", lambda found, _: _role_cell(found)),
    Column("Age", age_cell),
    Column("Users", lambda found, _: _subjects_cell(found, "User"), priority=1),
    Column("Groups", lambda found, _: _subjects_cell(found, "Group"), priority=1),
    Column("ServiceAccounts", lambda found, _: _subjects_cell(found, "ServiceAccount"), priority=1),
)

SERVICE_ACCOUNTS: Kind[ServiceAccount] = Kind(
    name="ServiceAccount",
    group="",
    version="v1",
    plural="serviceaccounts",
    singular="serviceaccount",
    type=ServiceAccount,
    short_names=("sa",),
    columns=(
        Column("Secrets", lambda account, _: len(account.secrets), type="string"),
        Column("Age", age_cell),
    ),
    has_status=False,
    subresources={"token": ("create",)},
    notice="are stored and served, but pods do not act as them yet",
)

ROLES: Kind[Role] = Kind(
    name="Role",
    group=RBAC,
    version="v1",
    plural="roles",
    singular="role",
    type=Role,
    columns=(Column("Created At", _created_cell, type="date"),),
    validate=_validate_rules,
    has_status=False,
    check_name=validation.path_segment,
    notice=_NOT_ENFORCED,
)

CLUSTER_ROLES: Kind[ClusterRole] = Kind(
    name="ClusterRole",
    group=RBAC,
    version="v1",
    plural="clusterroles",
    singular="clusterrole",
    type=ClusterRole,
    is_namespaced=False,
    columns=(Column("Created At", _created_cell, type="date"),),
    validate=_validate_rules,
    has_status=False,
    check_name=validation.path_segment,
    notice=_NOT_ENFORCED,
)

ROLE_BINDINGS: Kind[RoleBinding] = Kind(
    name="RoleBinding",
    group=RBAC,
    version="v1",
    plural="rolebindings",
    singular="rolebinding",
    type=RoleBinding,
    columns=_BINDING_COLUMNS,
    defaults=_default_binding,  # type: ignore[arg-type]
    validate=_validate_binding,
    has_status=False,
    check_name=validation.path_segment,
    notice=_NOT_ENFORCED,
)

CLUSTER_ROLE_BINDINGS: Kind[ClusterRoleBinding] = Kind(
    name="ClusterRoleBinding",
    group=RBAC,
    version="v1",
    plural="clusterrolebindings",
    singular="clusterrolebinding",
    type=ClusterRoleBinding,
    is_namespaced=False,
    columns=_BINDING_COLUMNS,
    defaults=_default_binding,  # type: ignore[arg-type]
    validate=_validate_binding,
    has_status=False,
    check_name=validation.path_segment,
    notice=_NOT_ENFORCED,
)
