"""What a pod and its containers may do to their host: securityContext, at both levels.

A container's word counts before its pod's. Source of fields, rules and texts: Kubernetes,
pkg/apis/core/validation, ValidatePodSecurityContext and ValidateSecurityContext.
"""

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from proto.errors import FieldError
from proto.kinds import validation
from proto.meta import Model

ID_MAX = 2**31 - 1
"""Of users and groups. Source: apimachinery, IsValidUserID."""

_SYSCTL = re.compile(r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?")
_SAYS_SYSCTL = (
    "must have at most 253 characters and match regex "
    "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
)

SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
"""What a pod may set without harm to others. Source: Kubernetes, Using sysctls in a Cluster."""

_NO_SELINUX = "SELinux labels are not passed on: Docker labels containers by itself"
_NO_WINDOWS = "nodes run Linux"


class SeccompProfile(Model, frozen=True, kw_only=True):
    """Which calls of the kernel are allowed: Unconfined, RuntimeDefault or Localhost.

    Attributes:
        localhost_profile: A file in the node's folder of profiles.
    """

    type: str = ""
    localhost_profile: str = ""


class AppArmorProfile(Model, frozen=True, kw_only=True):
    """Which profile of AppArmor the container runs under, where its host has it."""

    PARTLY: ClassVar[Mapping[str, str]] = {
        "type": "Localhost is refused: nothing tells which profiles a host has loaded"
    }
    REFUSED: ClassVar[Mapping[str, str]] = {
        "localhostProfile": "nothing tells which profiles a host has loaded"
    }

    type: str = ""


class Capabilities(Model, frozen=True, kw_only=True):
    """Of the kernel's, as ``NET_ADMIN`` or ``ALL``: more or fewer than Docker gives."""

    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


class Sysctl(Model, frozen=True, kw_only=True):
    """A setting of the kernel for the pod's namespaces."""

    name: str
    value: str


class PodSecurityContext(Model, frozen=True, kw_only=True):
    """For all containers of a pod, and for its volumes."""

    REFUSED: ClassVar[Mapping[str, str]] = {
        "seLinuxOptions": _NO_SELINUX,
        "seLinuxChangePolicy": _NO_SELINUX,
        "windowsOptions": _NO_WINDOWS,
    }
    PARTLY: ClassVar[Mapping[str, str]] = {
        "fsGroupChangePolicy": "as in Kubernetes without effect on what is made for a pod",
        "supplementalGroupsPolicy": "Strict is refused: Docker always adds the image's own groups",
        "sysctls": "those that Kubernetes calls safe; a pod with another fails",
    }

    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    supplemental_groups: tuple[int, ...] = ()
    supplemental_groups_policy: str = ""
    fs_group: int | None = None
    fs_group_change_policy: str = ""
    seccomp_profile: SeccompProfile | None = None
    app_armor_profile: AppArmorProfile | None = None
    sysctls: tuple[Sysctl, ...] = ()


class SecurityContext(Model, frozen=True, kw_only=True):
    """For one container."""

    REFUSED: ClassVar[Mapping[str, str]] = {
        "seLinuxOptions": _NO_SELINUX,
        "windowsOptions": _NO_WINDOWS,
    }
    PARTLY: ClassVar[Mapping[str, str]] = {
        "procMount": "Unmasked is refused, as it is in Kubernetes without hostUsers: false"
    }

    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    capabilities: Capabilities | None = None
    privileged: bool | None = None
    read_only_root_filesystem: bool | None = None
    allow_privilege_escalation: bool | None = None
    seccomp_profile: SeccompProfile | None = None
    app_armor_profile: AppArmorProfile | None = None
    proc_mount: str = ""


class Identity(Model, frozen=True, kw_only=True):
    """As whom a container runs; None: as its image says."""

    user: int | None = None
    group: int | None = None
    is_non_root: bool = False


def identity(pod: PodSecurityContext | None, own: SecurityContext | None) -> Identity:
    """The container's own word, else its pod's."""
    pods, mine = pod or PodSecurityContext(), own or SecurityContext()
    return Identity(
        user=_first(mine.run_as_user, pods.run_as_user),
        group=_first(mine.run_as_group, pods.run_as_group),
        is_non_root=bool(_first(mine.run_as_non_root, pods.run_as_non_root)),
    )


def _first(own: int | None, pods: int | None) -> int | None:
    return pods if own is None else own


def seccomp(pod: PodSecurityContext | None, own: SecurityContext | None) -> SeccompProfile | None:
    """The container's own profile, else its pod's."""
    return (own and own.seccomp_profile) or (pod and pod.seccomp_profile) or None


def app_armor(
    pod: PodSecurityContext | None, own: SecurityContext | None
) -> AppArmorProfile | None:
    """The container's own profile, else its pod's."""
    return (own and own.app_armor_profile) or (pod and pod.app_armor_profile) or None


def validate_pod(
    at: str, found: PodSecurityContext | None, *, host_network: bool, host_ipc: bool
) -> list[FieldError]:
    """Every wrong field of a pod's."""
    if found is None:
        return []
    errors = _id(f"{at}.runAsUser", found.run_as_user) + _id(f"{at}.runAsGroup", found.run_as_group)
    errors += _id(f"{at}.fsGroup", found.fs_group)
    for index, group in enumerate(found.supplemental_groups):
        errors += _id(f"{at}.supplementalGroups[{index}]", group)
    if found.supplemental_groups_policy not in ("", "Merge"):
        text = "Longshore adds the image's own groups, as Docker does: leave it out, or say Merge"
        errors.append(validation.forbidden(f"{at}.supplementalGroupsPolicy", text))
    if policy := found.fs_group_change_policy:
        choices = ("Always", "OnRootMismatch")
        errors += validation.one_of(f"{at}.fsGroupChangePolicy", policy, choices)
    errors += _validate_seccomp(f"{at}.seccompProfile", found.seccomp_profile)
    errors += _validate_app_armor(f"{at}.appArmorProfile", found.app_armor_profile)
    shared = {"net": "hostNetwork"} if host_network else {}
    shared |= {"ipc": "hostIPC"} if host_ipc else {}
    return errors + _validate_sysctls(f"{at}.sysctls", found.sysctls, shared)


def validate_container(at: str, found: SecurityContext | None) -> list[FieldError]:
    """Every wrong field of a container's."""
    if found is None:
        return []
    errors = _id(f"{at}.runAsUser", found.run_as_user) + _id(f"{at}.runAsGroup", found.run_as_group)
    errors += _validate_seccomp(f"{at}.seccompProfile", found.seccomp_profile)
    errors += _validate_app_armor(f"{at}.appArmorProfile", found.app_armor_profile)
    if found.proc_mount == "Unmasked":
        text = "`hostUsers` must be false to use `Unmasked`"
        errors.append(validation.invalid(f"{at}.procMount", found.proc_mount, text))
    elif found.proc_mount:
        choices = ("Default", "Unmasked")
        errors += validation.one_of(f"{at}.procMount", found.proc_mount, choices)
    if found.allow_privilege_escalation is False:
        refused = "cannot set `allowPrivilegeEscalation` to false and"
        if found.privileged:
            errors.append(FieldError("FieldValueInvalid", at, f"{refused} `privileged` to true"))
        if found.capabilities and "CAP_SYS_ADMIN" in found.capabilities.add:
            text = f"{refused} `capabilities.Add` CAP_SYS_ADMIN"
            errors.append(FieldError("FieldValueInvalid", at, text))
    return errors


def _id(path: str, value: int | None) -> list[FieldError]:
    if value is None or 0 <= value <= ID_MAX:
        return []
    return [validation.invalid(path, value, f"must be between 0 and {ID_MAX}, inclusive")]


def _validate_seccomp(at: str, found: SeccompProfile | None) -> list[FieldError]:
    if found is None:
        return []
    profile, path = found.localhost_profile, f"{at}.localhostProfile"
    if not found.type:
        text = "type is required when seccompProfile is set"
        return [validation.required(f"{at}.type", text)]
    if found.type != "Localhost":
        errors = validation.one_of(
            f"{at}.type", found.type, ("Localhost", "RuntimeDefault", "Unconfined")
        )
        if profile:
            text = "can only be set when seccomp type is Localhost"
            errors.append(validation.invalid(path, profile, text))
        return errors
    if not profile:
        return [validation.required(path, "must be set when seccomp type is Localhost ")]
    if profile.startswith("/"):
        return [validation.invalid(path, profile, "must be a relative path")]
    if ".." in profile.split("/"):
        return [validation.invalid(path, profile, "must not contain '..'")]
    return []


def _validate_app_armor(at: str, found: AppArmorProfile | None) -> list[FieldError]:
    if found is None:
        return []
    if not found.type:
        text = "type is required when appArmorProfile is set"
        return [validation.required(f"{at}.type", text)]
    if found.type == "Localhost":
        text = "nobody sees which profiles a host has loaded: use RuntimeDefault or Unconfined"
        return [validation.forbidden(f"{at}.type", text)]
    choices = ("Localhost", "RuntimeDefault", "Unconfined")
    return validation.one_of(f"{at}.type", found.type, choices)


def _validate_sysctls(
    at: str, sysctls: Sequence[Sysctl], shared: Mapping[str, str]
) -> list[FieldError]:
    """What is wrong with them; `shared` names namespaces of the host and the field that says so."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        path, name = f"{at}[{index}].name", sysctl.name.replace("/", ".")
        if not name:
            errors.append(validation.required(path))
        elif len(name) > 253 or not _SYSCTL.fullmatch(sysctl.name):
            errors.append(validation.invalid(path, sysctl.name, _SAYS_SYSCTL))
        elif name in seen:
            errors.append(validation.duplicate(path, sysctl.name))
        elif (field := shared.get(_namespace(name))) is not None:
            text = f"may not be specified when '{field}' is true"
            errors.append(validation.invalid(path, sysctl.name, text))
        seen.add(name)
    return errors


def _namespace(sysctl: str) -> str:
    """Of the kernel, that it is a setting of. Source: component-helpers, sysctl.GetNamespace."""
    if sysctl.startswith("net."):
        return "net"
    return (
        "ipc" if sysctl.startswith(("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue")) else ""
    )
