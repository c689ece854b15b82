"""A pod's container: what it runs, what it may use, and what became of it."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from msgspec import Meta, field
from msgspec.structs import replace

from proto import quantity
from proto.errors import FieldError
from proto.kinds import security, validation
from proto.kinds.lifecycle import (
    Lifecycle,
    LifecycleHandler,
    default_lifecycle,
    validate_lifecycle,
)
from proto.kinds.probe import Probe, default_probe, validate_probe
from proto.kinds.resources import ResourceRequirements, validate_resources
from proto.kinds.security import SecurityContext
from proto.kinds.source import (
    ConfigMapKeySelector,
    EnvFromSource,
    ObjectFieldSelector,
    ResourceFieldSelector,
    SecretKeySelector,
    validate_env_from,
    validate_key,
    validate_resource_field,
)
from proto.kinds.volume import VolumeMounts
from proto.meta import Model, Time


class ContainerPort(Model, frozen=True, kw_only=True):
    """A port the container listens on; `host_port` publishes it on the node."""

    container_port: int
    host_port: int = 0
    host_ip: str = field(default="", name="hostIP")
    name: str = ""
    protocol: str = ""


class EnvVarSource(Model, frozen=True, kw_only=True):
    """Where a variable's value comes from."""

    REFUSED: ClassVar[Mapping[str, str]] = {
        "fileKeyRef": "variables come from no files of a container yet",
    }

    field_ref: ObjectFieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    config_map_key_ref: ConfigMapKeySelector | None = None
    secret_key_ref: SecretKeySelector | None = None


class EnvVar(Model, frozen=True, kw_only=True):
    """One environment variable."""

    name: str
    value: str = ""
    value_from: EnvVarSource | None = None


class Container(Model, frozen=True, kw_only=True):
    """One container of a pod.

    Attributes:
        restart_policy: ``Always`` makes an init container a sidecar: it runs on beside the others.
        termination_message_path: Empty, for ``/dev/termination-log``, stays empty: containers are
            made anew when what they are made from changes.
        termination_message_policy: Empty for ``File``, likewise.
    """

    REFUSED: ClassVar[Mapping[str, str]] = {
        "volumeDevices": "there are no block volumes",
        "restartPolicyRules": "a container is restarted by its pod's restartPolicy alone",
        "resizePolicy": "a container keeps the resources it was made with",
    }

    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    ports: Annotated[
        tuple[ContainerPort, ...],
        Meta(
            extra={
                "merge_key": "containerPort",
                "map_keys": {"containerPort": None, "protocol": "TCP"},
            }
        ),
    ] = ()
    env: Annotated[tuple[EnvVar, ...], Meta(extra={"merge_key": "name"})] = ()
    env_from: tuple[EnvFromSource, ...] = ()
    volume_mounts: VolumeMounts = ()
    resources: ResourceRequirements = ResourceRequirements()
    startup_probe: Probe | None = None
    readiness_probe: Probe | None = None
    liveness_probe: Probe | None = None
    lifecycle: Lifecycle | None = None
    image_pull_policy: str = ""
    restart_policy: str = ""
    security_context: SecurityContext | None = None
    termination_message_path: str = ""
    termination_message_policy: str = ""
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False

    @property
    def post_start(self) -> LifecycleHandler | None:
        """What it is told right after its start."""
        return self.lifecycle.post_start if self.lifecycle else None

    @property
    def pre_stop(self) -> LifecycleHandler | None:
        """What it is told before it is asked to end."""
        return self.lifecycle.pre_stop if self.lifecycle else None

    @property
    def is_sidecar(self) -> bool:
        """Of an init container: whether it stays."""
        return self.restart_policy == "Always"


class ContainerStateRunning(Model, frozen=True, kw_only=True):
    """Running since."""

    started_at: Time = ""


class ContainerStateWaiting(Model, frozen=True, kw_only=True):
    """Not running yet, or not yet again."""

    reason: str = ""
    message: str = ""


class ContainerStateTerminated(Model, frozen=True, kw_only=True, omit_defaults=False):
    """Ran, and ended.

    Attributes:
        signal: 0 when none ended it.
    """

    exit_code: int
    reason: str = ""
    message: str = ""
    started_at: Time | None = None
    finished_at: Time | None = None
    container_id: str = field(default="", name="containerID")


class ContainerState(Model, frozen=True, kw_only=True):
    """Exactly one of these is set; none on `ContainerStatus.last_state` before the first end."""

    running: ContainerStateRunning | None = None
    waiting: ContainerStateWaiting | None = None
    terminated: ContainerStateTerminated | None = None


class ContainerStatus(Model, frozen=True, kw_only=True, omit_defaults=False):
    """One container, as its node last saw it."""

    name: str
    image: str = ""
    image_id: str = field(default="", name="imageID")
    container_id: str = field(default="", name="containerID")
    ready: bool = False
    started: bool = False
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


def default_container(container: Container, host_network: bool) -> Container:
    """The container with Kubernetes' defaults; on the host's network its ports are the host's."""
    resources = container.resources
    return replace(
        container,
        image_pull_policy=container.image_pull_policy or _pull_policy(container.image),
        startup_probe=default_probe(container.startup_probe),
        readiness_probe=default_probe(container.readiness_probe),
        liveness_probe=default_probe(container.liveness_probe),
        lifecycle=default_lifecycle(container.lifecycle),
        ports=tuple(
            replace(
                port,
                protocol=port.protocol or "TCP",
                host_port=port.host_port or (port.container_port if host_network else 0),
            )
            for port in container.ports
        ),
        resources=replace(
            resources,
            limits={name: quantity.canonical(v) for name, v in resources.limits.items()},
            requests={
                name: quantity.canonical(v)
                for name, v in (resources.limits | resources.requests).items()
            },
        ),
    )


def _pull_policy(image: str) -> str:
    """Always for a floating tag, else IfNotPresent. Source: Kubernetes, Images."""
    _, _, last = image.rpartition("/")
    tag = "" if "@" in last else last.partition(":")[2] or "latest"
    return "Always" if tag == "latest" else "IfNotPresent"


def validate_container(at: str, container: Container) -> list[FieldError]:
    """Every wrong field of a container at that path, after defaults."""
    errors: list[FieldError] = []
    if not container.name:
        errors.append(validation.required(f"{at}.name"))
    else:
        errors += validation.label(f"{at}.name", container.name)
    if not container.image:
        errors.append(validation.required(f"{at}.image"))
    elif container.image != container.image.strip():
        errors.append(
            validation.invalid(
                f"{at}.image", container.image, "must not have leading or trailing whitespace"
            )
        )
    if container.image_pull_policy not in ("Always", "IfNotPresent", "Never"):
        errors.append(
            validation.not_supported(
                f"{at}.imagePullPolicy",
                container.image_pull_policy,
                ("Always", "IfNotPresent", "Never"),
            )
        )
    for index, port in enumerate(container.ports):
        errors += _validate_port(f"{at}.ports[{index}]", port)
    for index, env in enumerate(container.env):
        if not env.name:
            errors.append(validation.required(f"{at}.env[{index}].name"))
        elif not validation.ENV_NAME.fullmatch(env.name):
            errors.append(
                validation.invalid(
                    f"{at}.env[{index}].name",
                    env.name,
                    validation.SAYS_ENV_NAME,
                )
            )
        errors += _validate_env_source(f"{at}.env[{index}]", env)
    for index, source in enumerate(container.env_from):
        errors += validate_env_from(f"{at}.envFrom[{index}]", source)
    errors += validate_resources(f"{at}.resources", container.resources)
    if policy := container.termination_message_policy:
        at_policy = f"{at}.terminationMessagePolicy"
        errors += validation.one_of(at_policy, policy, ("File", "FallbackToLogsOnError"))
    errors += security.validate_container(f"{at}.securityContext", container.security_context)
    errors += validate_lifecycle(f"{at}.lifecycle", container.lifecycle)
    for name, probe in (
        ("startupProbe", container.startup_probe),
        ("readinessProbe", container.readiness_probe),
        ("livenessProbe", container.liveness_probe),
    ):
        ends = name != "readinessProbe"
        errors += validate_probe(f"{at}.{name}", probe, ends_containers=ends)
    return errors


FIELD_PATHS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.podIP",
)
"""What `EnvVarSource.field_ref` may name, besides metadata.labels['x'] and annotations."""


def _validate_env_source(at: str, env: EnvVar) -> list[FieldError]:
    if env.value_from is None:
        return []
    if env.value:
        return [
            validation.invalid(
                f"{at}.valueFrom", "", "may not be specified when `value` is not empty"
            )
        ]
    source = env.value_from
    named = {
        "fieldRef": source.field_ref,
        "resourceFieldRef": source.resource_field_ref,
        "configMapKeyRef": source.config_map_key_ref,
        "secretKeyRef": source.secret_key_ref,
    }
    found = [name for name, value in named.items() if value is not None]
    if len(found) != 1:
        text = (
            "may not have more than one field specified at a time"
            if found
            else "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or "
            "`secretKeyRef`"
        )
        return [validation.invalid(f"{at}.valueFrom", "", text)]
    here = f"{at}.valueFrom.{found[0]}"
    if source.resource_field_ref is not None:
        return validate_resource_field(here, source.resource_field_ref)
    if (key := source.config_map_key_ref or source.secret_key_ref) is not None:
        return validate_key(here, key)
    path = source.field_ref.field_path if source.field_ref else ""
    if path in FIELD_PATHS or path.startswith(("metadata.labels['", "metadata.annotations['")):
        return []
    return [validation.not_supported(f"{here}.fieldPath", path, FIELD_PATHS)]


def _validate_port(at: str, port: ContainerPort) -> list[FieldError]:
    errors: list[FieldError] = []
    if not 0 < port.container_port < 65536:
        errors.append(
            validation.invalid(
                f"{at}.containerPort", port.container_port, "must be between 1 and 65535, inclusive"
            )
        )
    if not 0 <= port.host_port < 65536:
        errors.append(
            validation.invalid(
                f"{at}.hostPort", port.host_port, "must be between 1 and 65535, inclusive"
            )
        )
    if port.protocol not in ("TCP", "UDP", "SCTP"):
        errors.append(
            validation.not_supported(f"{at}.protocol", port.protocol, ("SCTP", "TCP", "UDP"))
        )
    if port.name and len(port.name) > 15:
        errors.append(
            validation.invalid(f"{at}.name", port.name, "must be no more than 15 characters")
        )
    return errors
