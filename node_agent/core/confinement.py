"""What a container may do to its host, from its pod's securityContext.

Where a manifest says nothing, Kubernetes and Docker mostly agree: the same capabilities, the same
masked paths. Where they differ, in seccomp and in who dies first when memory is short, this says
what Kubernetes would. Source: the kubelet, pkg/kubelet/kuberuntime/security_context.go.
"""

from msgspec import Struct
from msgspec.structs import replace

from node_agent.core.contents import Absent
from proto import quantity
from proto.kinds import security
from proto.kinds.container import Container
from proto.kinds.pod import qos_class
from proto.kinds.security import SAFE_SYSCTLS, PodSecurityContext, SecurityContext
from proto.messages import AssignedPod

UNCONFINED = "unconfined"

GUARANTEED_OOM_SCORE = -997
BEST_EFFORT_OOM_SCORE = 1000
"""Source: the kubelet, pkg/kubelet/qos/policy.go."""


class Refused(Absent):
    """The container may not be made as it is: what it lacks is a user that is not root."""


class Confinement(Struct, frozen=True, kw_only=True):
    """How a container is confined.

    Attributes:
        user: As Docker takes it: ``1000``, ``web:100``; empty: the image's own.
        group: Of the image's own user, until that is known; None: it keeps its own.
        is_non_root: Whether the image's own user must be looked at.
        groups: Further ones.
        seccomp: Empty: Docker's own profile; ``unconfined``; or a profile's content.
        seccomp_file: Where that is to be read, within the node's folder of profiles.
        app_armor: Empty: Docker's own profile; or ``unconfined``.
        oom_score: Who dies first when memory is short, from -1000 to 1000.
    """

    user: str = ""
    group: int | None = None
    is_non_root: bool = False
    groups: tuple[int, ...] = ()
    added: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    is_privileged: bool = False
    is_root_read_only: bool = False
    has_no_new_privileges: bool = False
    seccomp: str = ""
    seccomp_file: str = ""
    app_armor: str = ""
    oom_score: int = 0
    is_host_pid: bool = False
    is_host_ipc: bool = False

    @property
    def needs_image_user(self) -> bool:
        """Whether it depends on whom the image would run as."""
        return not self.user and (self.is_non_root or self.group is not None)


def confinement(
    pod: AssignedPod, container: Container, *, memory_bytes: int, is_seccomp_default: bool
) -> Confinement:
    """Of one of the pod's containers.

    Args:
        pod: The pod.
        container: Which of its containers.
        memory_bytes: The node's.
        is_seccomp_default: Whether a container that names no profile gets Docker's own.

    Raises:
        Refused: It must not run as root, and says that it does.
    """
    pods = pod.spec.security_context or PodSecurityContext()
    own = container.security_context or SecurityContext()
    who = security.identity(pods, own)
    if who.is_non_root and who.user == 0:
        text = f"container's runAsUser breaks non-root policy ({named(pod, container.name)})"
        raise Refused(text)
    profile = security.seccomp(pods, own)
    kind = profile.type if profile else "RuntimeDefault" if is_seccomp_default else "Unconfined"
    armor = security.app_armor(pods, own)
    capabilities = own.capabilities or security.Capabilities()
    groups = dict.fromkeys((*pods.supplemental_groups, *_group(pods.fs_group)))
    return Confinement(
        user=_user(who.user, who.group),
        group=who.group if who.user is None else None,
        is_non_root=who.is_non_root,
        groups=tuple(groups),
        added=capabilities.add,
        dropped=capabilities.drop,
        is_privileged=bool(own.privileged),
        is_root_read_only=bool(own.read_only_root_filesystem),
        has_no_new_privileges=own.allow_privilege_escalation is False,
        seccomp=UNCONFINED if kind == "Unconfined" else "",
        seccomp_file=profile.localhost_profile if profile and kind == "Localhost" else "",
        app_armor=UNCONFINED if armor and armor.type == "Unconfined" else "",
        oom_score=oom_score(pod, container, memory_bytes),
        is_host_pid=pod.spec.host_pid,
        is_host_ipc=pod.spec.host_ipc,
    )


def _group(fs_group: int | None) -> tuple[int, ...]:
    return () if fs_group is None else (fs_group,)


def _user(user: int | None, group: int | None) -> str:
    if user is None:
        return ""
    return str(user) if group is None else f"{user}:{group}"


def named(pod: AssignedPod, container: str) -> str:
    """Pod and container, as the kubelet's errors name them."""
    return f'pod: "{pod.name}_{pod.namespace}({pod.uid})", container: {container}'


def with_image_user(found: Confinement, image_user: str, who: str) -> Confinement:
    """The confinement, once it is known as whom the image runs.

    Args:
        found: What needs to know.
        image_user: As the image says it: ``1000``, ``web:web``; empty for root.
        who: See `named`.

    Raises:
        Refused: It must not run as root, and would, or nobody can tell.
    """
    user = image_user.partition(":")[0]
    if found.is_non_root and user in ("", "0"):
        raise Refused(f"container has runAsNonRoot and image will run as root ({who})")
    if found.is_non_root and not user.isdecimal():
        text = f"image has non-numeric user ({user}), cannot verify user is non-root"
        raise Refused(f"container has runAsNonRoot and {text} ({who})")
    if found.group is None:
        return found
    return replace(found, user=f"{user or 0}:{found.group}")


def oom_score(pod: AssignedPod, container: Container, memory_bytes: int) -> int:
    """The less a container asks for of what there is, the sooner it dies. Source: as above."""
    qos = qos_class(pod.spec)
    if qos == "Guaranteed":
        return GUARANTEED_OOM_SCORE
    if qos == "BestEffort" or not memory_bytes:
        return BEST_EFFORT_OOM_SCORE
    resources = container.resources
    asked = (resources.limits | resources.requests).get("memory", 0)
    score = 1000 - 1000 * quantity.whole(asked) // memory_bytes
    return min(max(score, 1000 + GUARANTEED_OOM_SCORE), BEST_EFFORT_OOM_SCORE - 1)


def forbidden_sysctl(pod: AssignedPod) -> str:
    """The first setting of the kernel that a pod may not change; empty: there is none."""
    context = pod.spec.security_context or PodSecurityContext()
    names = (sysctl.name.replace("/", ".") for sysctl in context.sysctls)
    return next((name for name in names if name not in SAFE_SYSCTLS), "")
