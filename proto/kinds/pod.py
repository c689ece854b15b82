"""Pod: containers that run together on one node and share its network namespace."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from msgspec import Meta, field
from msgspec.structs import replace

from proto.errors import FieldError
from proto.kinds import affinity, ephemeral, gates, initial, security, shares, validation
from proto.kinds.affinity import Affinity, SpreadConstraints
from proto.kinds.container import Container, ContainerStatus, default_container, validate_container
from proto.kinds.ephemeral import EphemeralContainer
from proto.kinds.gates import SchedulingGates
from proto.kinds.kind import Column, Kind, format_age
from proto.kinds.naming import HostAliases, PodDNSConfig, validate_aliases, validate_dns
from proto.kinds.security import PodSecurityContext
from proto.kinds.source import LocalObjectReference
from proto.kinds.toleration import Toleration, validate_toleration
from proto.kinds.volume import Volumes, default_volume
from proto.kinds.volume_rules import (
    validate_container_names,
    validate_mounts,
    validate_volumes,
)
from proto.meta import Condition, Model, ObjectMeta, Resource, Time, is_true, parse_time_ms


class PodOS(Model, frozen=True, kw_only=True):
    """The operating system of its containers."""

    PARTLY: ClassVar[Mapping[str, str]] = {"name": "windows is refused: nodes run Linux"}

    name: str


class PodSpec(Model, frozen=True, kw_only=True):
    """What to run."""

    REFUSED: ClassVar[Mapping[str, str]] = {
        "runtimeClassName": "every container is run by the runtime that its Docker has for all",
        "readinessGates": "a pod is ready by its containers alone",
        "resourceClaims": "there are no ResourceClaims: devices are extended resources",
        "overhead": "it is set by a RuntimeClass, of which there are none",
        "resources": "resources are a container's",
        "hostnameOverride": "the host name is hostname or the pod's, with its subdomain or without",
    }
    IGNORED: ClassVar[Mapping[str, str]] = {
        "serviceAccount": "it is the old name of serviceAccountName: set that",
        "automountServiceAccountToken": "pods get no credentials of the cluster in any case",
        "enableServiceLinks": "services have no address yet that variables could name",
    }
    PARTLY: ClassVar[Mapping[str, str]] = {
        "dnsPolicy": "ClusterFirst is Default on nodes that are told of no cluster_dns",
        "hostUsers": "false is refused: Docker maps users for all of a host, or for none",
    }

    volumes: Volumes = ()
    init_containers: Annotated[tuple[Container, ...], Meta(extra={"merge_key": "name"})] = ()
    containers: Annotated[tuple[Container, ...], Meta(extra={"merge_key": "name"})] = ()
    ephemeral_containers: Annotated[
        tuple[EphemeralContainer, ...], Meta(extra={"merge_key": "name"})
    ] = ()
    restart_policy: str = ""
    termination_grace_period_seconds: int | None = None
    node_name: str = ""
    node_selector: Annotated[dict[str, str], Meta(extra={"is_atomic": True})] = {}
    affinity: Affinity | None = None
    topology_spread_constraints: SpreadConstraints = ()
    scheduling_gates: SchedulingGates = ()
    tolerations: tuple[Toleration, ...] = ()
    hostname: str = ""
    subdomain: str = ""
    set_hostname_as_fqdn: bool = field(default=False, name="setHostnameAsFQDN")
    host_network: bool = False
    host_pid: bool = field(default=False, name="hostPID")
    host_ipc: bool = field(default=False, name="hostIPC")
    host_users: bool | None = None
    host_aliases: HostAliases = ()
    share_process_namespace: bool = False
    dns_policy: str = ""
    dns_config: PodDNSConfig | None = None
    security_context: PodSecurityContext | None = None
    active_deadline_seconds: int | None = None
    os: PodOS | None = None
    scheduler_name: str = ""
    priority_class_name: str = ""
    priority: int | None = None
    preemption_policy: str = ""
    service_account_name: str = ""
    image_pull_secrets: Annotated[
        tuple[LocalObjectReference, ...], Meta(extra={"merge_key": "name"})
    ] = ()

    @property
    def all_containers(self) -> tuple[Container, ...]:
        """Those that come first, its own, and those that were added to debug it."""
        return (*self.init_containers, *self.containers, *self.ephemeral_containers)

    @property
    def sidecars(self) -> tuple[Container, ...]:
        """Init containers that run on beside the others."""
        return tuple(container for container in self.init_containers if container.is_sidecar)


class PodIP(Model, frozen=True, kw_only=True):
    """One address."""

    ip: str


class PodStatus(Model, frozen=True, kw_only=True):
    """What became of it.

    Attributes:
        phase: Pending, Running, Succeeded, Failed or Unknown.
    """

    phase: str = ""
    conditions: Annotated[tuple[Condition, ...], Meta(extra={"merge_key": "type"})] = ()
    message: str = ""
    reason: str = ""
    nominated_node_name: str = ""
    host_ip: str = field(default="", name="hostIP")
    pod_ip: str = field(default="", name="podIP")
    pod_ips: Annotated[tuple[PodIP, ...], Meta(extra={"merge_key": "ip"})] = field(
        default=(), name="podIPs"
    )
    start_time: Time = ""
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    ephemeral_container_statuses: tuple[ContainerStatus, ...] = ()
    qos_class: str = ""


class Pod(Resource, frozen=True, kw_only=True):
    """See the module."""

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class PodTemplateSpec(Model, frozen=True, kw_only=True):
    """What a controller stamps pods from."""

    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()


def is_terminated(pod: Pod) -> bool:
    """Whether all of its containers have ended for good."""
    return pod.status.phase in ("Succeeded", "Failed")


def is_active(pod: Pod) -> bool:
    """Whether it counts as a replica: neither ended nor being deleted."""
    return not is_terminated(pod) and not pod.metadata.deletion_timestamp


def is_ready(pod: Pod) -> bool:
    """Whether it can serve."""
    return is_true(pod.status.conditions, "Ready")


def requests(spec: PodSpec) -> dict[str, int]:
    """What the pod asks of a node; see `shares.requests`."""
    return shares.requests(spec.init_containers, spec.containers)


def host_ports(spec: PodSpec) -> frozenset[tuple[str, str, int]]:
    """The node's ports it needs: (address, protocol, port); an empty address means all of them."""
    return frozenset(
        (port.host_ip, port.protocol or "TCP", port.host_port or port.container_port)
        for container in (*spec.sidecars, *spec.containers)
        for port in container.ports
        if port.host_port or spec.host_network
    )


def qos_class(spec: PodSpec) -> str:
    """Guaranteed, Burstable or BestEffort; see `shares.qos_class`."""
    return shares.qos_class((*spec.init_containers, *spec.containers))


def default_spec(spec: PodSpec) -> PodSpec:
    """The spec with Kubernetes' defaults filled in."""
    return replace(
        spec,
        volumes=tuple(default_volume(found) for found in spec.volumes),
        init_containers=tuple(
            default_container(c, spec.host_network) for c in spec.init_containers
        ),
        containers=tuple(default_container(c, spec.host_network) for c in spec.containers),
        ephemeral_containers=tuple(
            default_container(c, host_network=False) for c in spec.ephemeral_containers
        ),
        restart_policy=spec.restart_policy or "Always",
        termination_grace_period_seconds=(
            30
            if spec.termination_grace_period_seconds is None
            else spec.termination_grace_period_seconds
        ),
        dns_policy=spec.dns_policy or "ClusterFirst",
        scheduler_name=spec.scheduler_name or "default-scheduler",
    )


def defaults(pod: Pod) -> Pod:
    """The pod with Kubernetes' defaults filled in."""
    spec = default_spec(pod.spec)
    status = pod.status
    return replace(
        pod,
        spec=spec,
        status=replace(
            status,
            phase=status.phase or "Pending",
            conditions=status.conditions or gates.told(spec.scheduling_gates),
            qos_class=status.qos_class or qos_class(spec),
        ),
    )


def validate_spec(path: str, spec: PodSpec) -> list[FieldError]:
    """Every wrong field of a new pod's spec, or of a template's, after defaults."""
    errors: list[FieldError] = []
    if spec.ephemeral_containers:
        errors.append(
            validation.forbidden(
                f"{path}.ephemeralContainers",
                "may only be added to a pod that exists, through its subresource",
            )
        )
    if not spec.containers:
        errors.append(validation.required(f"{path}.containers"))
    errors += validate_volumes(f"{path}.volumes", spec.volumes)
    names = [container.name for container in (*spec.init_containers, *spec.containers)]
    errors += validate_container_names(f"{path}.volumes", spec.volumes, names)
    seen: set[str] = set()
    for at, container in (
        *_numbered(f"{path}.initContainers", spec.init_containers),
        *_numbered(f"{path}.containers", spec.containers),
    ):
        errors += validate_container(at, container)
        errors += validate_mounts(f"{at}.volumeMounts", container.volume_mounts, spec.volumes)
        if container.name in seen:
            errors.append(validation.duplicate(f"{at}.name", container.name))
        seen.add(container.name)
    for at, container in _numbered(f"{path}.initContainers", spec.init_containers):
        errors += initial.validate(at, container)
    errors += [
        validation.forbidden(f"{at}.restartPolicy", "may not be set for non-init containers")
        for at, container in _numbered(f"{path}.containers", spec.containers)
        if container.restart_policy
    ]
    if spec.restart_policy not in ("Always", "OnFailure", "Never"):
        errors.append(
            validation.not_supported(
                f"{path}.restartPolicy", spec.restart_policy, ("Always", "OnFailure", "Never")
            )
        )
    errors += validate_dns(path, spec.dns_policy, spec.dns_config)
    errors += validate_aliases(f"{path}.hostAliases", spec.host_aliases)
    errors += _validate_host(path, spec)
    errors += validation.non_negative(
        f"{path}.terminationGracePeriodSeconds", spec.termination_grace_period_seconds
    )
    errors += validation.labels(f"{path}.nodeSelector", spec.node_selector)
    errors += affinity.validate(path, spec.affinity, spec.topology_spread_constraints)
    errors += gates.validate(path, spec.scheduling_gates, spec.node_name)
    errors += validation.optional_label(f"{path}.hostname", spec.hostname)
    errors += validation.optional_label(f"{path}.subdomain", spec.subdomain)
    if spec.service_account_name:
        errors += validation.subdomain(f"{path}.serviceAccountName", spec.service_account_name)
    if spec.node_name:
        errors += validation.subdomain(f"{path}.nodeName", spec.node_name)
    for index, toleration in enumerate(spec.tolerations):
        errors += validate_toleration(f"{path}.tolerations[{index}]", toleration)
    return errors


def _validate_host(path: str, spec: PodSpec) -> list[FieldError]:
    """What a pod may share with its host, do to it, and for how long."""
    errors = security.validate_pod(
        f"{path}.securityContext",
        spec.security_context,
        host_network=spec.host_network,
        host_ipc=spec.host_ipc,
    )
    if spec.host_pid and spec.share_process_namespace:
        text = "ShareProcessNamespace and HostPID cannot both be enabled"
        at = f"{path}.shareProcessNamespace"
        errors.append(validation.invalid(at, spec.share_process_namespace, text))
    if spec.host_users is False:
        text = "Docker maps users for all containers of a host, or for none: leave it out"
        errors.append(validation.forbidden(f"{path}.hostUsers", text))
    if spec.os is not None and spec.os.name != "linux":
        errors.append(validation.not_supported(f"{path}.os.name", spec.os.name, ("linux",)))
    deadline_s = spec.active_deadline_seconds
    if deadline_s is not None and not 1 <= deadline_s < 2**31:
        text = "must be between 1 and 2147483647, inclusive"
        errors.append(validation.invalid(f"{path}.activeDeadlineSeconds", deadline_s, text))
    return errors


def _numbered(path: str, found: Sequence[Container]) -> list[tuple[str, Container]]:
    return [(f"{path}[{index}]", container) for index, container in enumerate(found)]


def validate(new: Pod, old: Pod | None) -> list[FieldError]:
    """Every wrong field; most of a pod's spec may not change once it exists."""
    if old is None:
        return validate_spec("spec", new.spec)
    errors = validate_spec("spec", replace(new.spec, ephemeral_containers=()))
    if errors:
        return errors
    allowed = replace(
        new.spec,
        init_containers=_with_images_of(old.spec.init_containers, new.spec.init_containers),
        containers=_with_images_of(old.spec.containers, new.spec.containers),
        tolerations=old.spec.tolerations,
        termination_grace_period_seconds=old.spec.termination_grace_period_seconds,
        scheduling_gates=old.spec.scheduling_gates,
        node_name=old.spec.node_name or new.spec.node_name,
    )
    if replace(allowed, node_name="") != replace(old.spec, node_name=""):
        errors.append(
            validation.forbidden(
                "spec",
                "pod updates may not change fields other than `spec.containers[*].image`,"
                "`spec.initContainers[*].image`,`spec.terminationGracePeriodSeconds`,"
                "`spec.tolerations` (only additions to existing tolerations)",
            )
        )
    elif old.spec.node_name and new.spec.node_name != old.spec.node_name:
        errors.append(validation.forbidden("spec.nodeName", "a bound pod stays on its node"))
    return errors + gates.validate_change(new.spec.scheduling_gates, old.spec.scheduling_gates)


def _with_images_of(
    old: tuple[Container, ...], new: tuple[Container, ...]
) -> tuple[Container, ...]:
    """The new containers, with the images that those of the same place had."""
    if len(old) != len(new):
        return new
    return tuple(replace(mine, image=theirs.image) for mine, theirs in zip(new, old, strict=True))


def _validate_ephemeral(new: Pod, old: Pod) -> list[FieldError]:
    at, found = "spec.ephemeralContainers", new.spec.ephemeral_containers
    own = (*new.spec.init_containers, *new.spec.containers)
    errors = ephemeral.validate(at, found, own, new.spec.volumes)
    return errors or ephemeral.validate_change(at, found, old.spec.ephemeral_containers)


def ready_cell(pod: Pod) -> str:
    """``1/2``: containers ready of containers declared that stay."""
    staying = {container.name for container in (*pod.spec.sidecars, *pod.spec.containers)}
    statuses = (*pod.status.init_container_statuses, *pod.status.container_statuses)
    ready = sum(1 for status in statuses if status.ready and status.name in staying)
    return f"{ready}/{len(staying)}"


def status_cell(pod: Pod) -> str:
    """The one word kubectl shows. Source: kubernetes, pkg/printers/internalversion, printPod."""
    if pod.metadata.deletion_timestamp:
        return "Unknown" if pod.status.reason == "NodeLost" else "Terminating"
    if word := _starting_word(pod):
        return word
    word = pod.status.reason or pod.status.phase
    if gates.is_told(pod.status.conditions):
        return gates.SCHEDULING_GATED
    for status in reversed(pod.status.container_statuses):
        if status.state.waiting is not None and status.state.waiting.reason:
            word = status.state.waiting.reason
        elif status.state.terminated is not None:
            ended = status.state.terminated
            word = ended.reason or f"ExitCode:{ended.exit_code}"
    if word == "Completed" and any(
        s.ready and s.state.running for s in pod.status.container_statuses
    ):
        word = "Running" if is_ready(pod) else "NotReady"
    return word


def _starting_word(pod: Pod) -> str:
    """How far its init containers are; empty once they have all done their part."""
    if is_true(pod.status.conditions, "Initialized"):
        return ""
    return initial.status_word(pod.spec.init_containers, pod.status.init_container_statuses)


def _restarts_cell(pod: Pod, now_ms: int) -> str:
    """Of init containers while they are at work, then of those that stay."""
    staying = {container.name for container in pod.spec.sidecars}
    is_starting = bool(_starting_word(pod))
    first = [s for s in pod.status.init_container_statuses if is_starting or s.name in staying]
    statuses = first if is_starting else [*first, *pod.status.container_statuses]
    restarts = sum(status.restart_count for status in statuses)
    ends = [
        parse_time_ms(status.last_state.terminated.finished_at)
        for status in statuses
        if status.last_state.terminated and status.last_state.terminated.finished_at
    ]
    if restarts and ends:
        return f"{restarts} ({format_age(max(ends), now_ms)} ago)"
    return str(restarts)


def age_cell(resource: Any, now_ms: int) -> str:
    """How long ago the object was created."""
    created = resource.metadata.creation_timestamp
    return format_age(parse_time_ms(created), now_ms) if created else "<unknown>"


def _nominated_cell(pod: Pod) -> str:
    return pod.status.nominated_node_name or "<none>"


PODS: Kind[Pod] = Kind(
    name="Pod",
    group="",
    version="v1",
    plural="pods",
    singular="pod",
    type=Pod,
    short_names=("po",),
    categories=("all",),
    columns=(
        Column("Ready", lambda pod, _: ready_cell(pod)),
        Column("Status", lambda pod, _: status_cell(pod)),
        Column("Restarts", _restarts_cell),
        Column("Age", age_cell),
        Column("IP", lambda pod, _: pod.status.pod_ip or "<none>", priority=1),
        Column("Node", lambda pod, _: pod.spec.node_name or "<none>", priority=1),
        Column("Nominated Node", lambda pod, _: _nominated_cell(pod), priority=1),
        Column("Readiness Gates", lambda _pod, _: "<none>", priority=1),
    ),
    defaults=defaults,
    validate=validate,
    fields={
        "spec.nodeName": lambda pod: pod.spec.node_name,
        "spec.restartPolicy": lambda pod: pod.spec.restart_policy,
        "spec.schedulerName": lambda pod: pod.spec.scheduler_name,
        "status.phase": lambda pod: pod.status.phase,
        "status.podIP": lambda pod: pod.status.pod_ip,
    },
    subresources={
        "log": ("get",),
        "exec": ("create", "get"),
        "attach": ("create", "get"),
        "portforward": ("create", "get"),
        "binding": ("create",),
        "eviction": ("create",),
        "ephemeralcontainers": ("get", "patch", "update"),
    },
    validate_part={"ephemeralcontainers": _validate_ephemeral},
    is_deleted_gracefully=True,
)
