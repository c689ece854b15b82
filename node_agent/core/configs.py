"""From a pod's spec to what Docker is told."""

from collections.abc import Collection

from msgspec import Struct

from node_agent.core import devices, naming, resolving, volumes
from node_agent.core.actions import ContainerConfig, PublishedPort, SandboxConfig
from node_agent.core.confinement import confinement, named
from node_agent.core.contents import Sources
from node_agent.core.devices import Declared, Units
from node_agent.core.downward import Room
from node_agent.core.env import Surroundings, environment, expand
from node_agent.core.observed import Sandbox
from node_agent.core.resolving import Names, Resolver
from node_agent.core.volumes import Places
from proto import quantity
from proto.kinds.container import Container as ContainerSpec
from proto.messages import AssignedPod


class Host(Struct, frozen=True):
    """What pods need to know of their node, and how many holders to keep in stock."""

    name: str
    ip: str = ""
    pool_size: int = 0
    cluster: str = ""
    places: Places = Places()
    room: Room = Room()
    names: Names = Names()
    resources: tuple[Declared, ...] = ()
    is_seccomp_default: bool = True


_NO_NAMES = Names()
_NO_UNITS: Units = {}

MESSAGE_PATH_DEFAULT = "/dev/termination-log"
"""Source: Kubernetes, TerminationMessagePathDefault."""

GRACE_DEFAULT_S = 30
"""Source: Kubernetes, PodSpec.terminationGracePeriodSeconds."""


def grace_s(pod: AssignedPod) -> int:
    """Seconds between SIGTERM and SIGKILL."""
    if pod.delete_grace_s is not None:
        return pod.delete_grace_s
    own = pod.spec.termination_grace_period_seconds
    return GRACE_DEFAULT_S if own is None else own


def address(pod: AssignedPod, sandbox: Sandbox, host_ip: str) -> str:
    """Where the pod answers."""
    return host_ip if pod.spec.host_network else sandbox.ip


def fits_pool(pod: AssignedPod, names: Names = _NO_NAMES) -> bool:
    """Whether any holder will do: what a holder is told at its making cannot be changed later."""
    spec = pod.spec
    own = spec.hostname or spec.subdomain or spec.host_network or spec.host_aliases
    is_told = resolving.resolver(pod, names) != Resolver() or _sysctls(pod)
    return not (own or is_told or _published(pod) or volumes.tmpfs(pod))


def _sysctls(pod: AssignedPod) -> dict[str, str]:
    found = pod.spec.security_context.sysctls if pod.spec.security_context else ()
    return {sysctl.name.replace("/", "."): sysctl.value for sysctl in found}


def _published(pod: AssignedPod) -> tuple[PublishedPort, ...]:
    if pod.spec.host_network:
        return ()
    return tuple(
        PublishedPort(port.container_port, port.host_port, port.host_ip, port.protocol or "TCP")
        for container in pod.spec.containers
        for port in container.ports
        if port.host_port
    )


def sandbox_config(host: Host, pod: AssignedPod) -> SandboxConfig:
    """The pod's own holder."""
    is_host = pod.spec.host_network
    return SandboxConfig(
        name=naming.sandbox_name(naming.key(pod)),
        labels=naming.sandbox_labels(host.name),
        hostname="" if is_host else resolving.hostname(pod, host.names.domain),
        domain_name="" if is_host else resolving.domain_name(pod, host.names.domain),
        hosts=resolving.hosts(pod),
        resolver=resolving.resolver(pod, host.names),
        sysctls=_sysctls(pod),
        is_host_network=pod.spec.host_network,
        ports=_published(pod),
        tmpfs=volumes.tmpfs(pod),
    )


def pool_config(host: Host, taken: Collection[str]) -> SandboxConfig:
    """A holder for the pool, under a name that none has."""
    # Names are the engine's: a node of another cluster may be called like this one.
    prefix = f"{host.cluster}-" if host.cluster else ""
    names = (naming.pool_name(host.name, f"{prefix}{n}") for n in range(len(taken) + 1))
    free = next(name for name in names if name not in taken)
    return SandboxConfig(name=free, labels=naming.sandbox_labels(host.name))


def container_config(
    host: Host,
    pod: AssignedPod,
    spec: ContainerSpec,
    sandbox: Sandbox,
    sources: Sources,
    *,
    attempt: int,
    backoff: int,
    processes_of: str = "",
    units: Units = _NO_UNITS,
) -> ContainerConfig:
    """The next attempt at one of the pod's containers.

    Raises:
        Absent: It needs what is not there.
        Awaited: It needs what is not known yet.
    """
    key = naming.key(pod)
    labels = naming.container_labels(
        host.name, key, spec, attempt=attempt, backoff=backoff, grace_s=grace_s(pod)
    )
    limits, requests = spec.resources.limits, spec.resources.requests
    around = Surroundings(address(pod, sandbox, host.ip), host.ip, host.room)
    env = environment(pod, spec, sources, around)
    return ContainerConfig(
        name=naming.container_name(key, spec.name, attempt),
        labels=labels
        | {naming.MESSAGE: spec.termination_message_policy or "File"}
        | ({naming.DEVICES: devices.label(units)} if units else {}),
        image=spec.image,
        sandbox_id=sandbox.id,
        processes_of=sandbox.id if pod.spec.share_process_namespace else processes_of,
        entrypoint=tuple(expand(word, env) for word in spec.command),
        command=tuple(expand(word, env) for word in spec.args),
        env=env,
        working_dir=spec.working_dir,
        is_tty=spec.tty,
        is_stdin_open=spec.stdin,
        is_stdin_once=spec.stdin_once,
        cpu_limit_milli=quantity.milli(limits.get("cpu", 0)),
        cpu_request_milli=quantity.milli(requests.get("cpu", limits.get("cpu", 0))),
        memory_limit_bytes=quantity.whole(limits.get("memory", 0)),
        mounts=volumes.mounts(host.name, pod, spec, host.places, env),
        confinement=confinement(
            pod,
            spec,
            memory_bytes=host.room.memory_bytes,
            is_seccomp_default=host.is_seccomp_default,
        ),
        devices=devices.given(host.resources, units),
        message_path=spec.termination_message_path or MESSAGE_PATH_DEFAULT,
        asked_as=named(pod, spec.name),
    )
