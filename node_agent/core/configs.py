"""From a pod's spec to what Docker is told."""

from node_agent.core import naming
from node_agent.core.actions import ContainerConfig, PublishedPort, SandboxConfig
from node_agent.core.env import environment, expand
from node_agent.core.observed import Sandbox
from proto import quantity
from proto.kinds.container import Container as ContainerSpec
from proto.messages import AssignedPod

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


def fits_pool(pod: AssignedPod) -> bool:
    """Whether any holder will do: what a holder is told at its making cannot be changed later."""
    return not (pod.spec.hostname or pod.spec.host_network or _published(pod))


def _published(pod: AssignedPod) -> tuple[PublishedPort, ...]:
    if pod.spec.host_network:
        return ()
    return tuple(
        PublishedPort(port.container_port, port.host_port, port.host_ip, port.protocol or "TCP")
        for container in pod.spec.containers
        for port in container.ports
        if port.host_port
    )


def sandbox_config(node: str, pod: AssignedPod) -> SandboxConfig:
    """The pod's own holder."""
    return SandboxConfig(
        name=naming.sandbox_name(naming.key(pod)),
        labels=naming.sandbox_labels(node),
        hostname="" if pod.spec.host_network else (pod.spec.hostname or pod.name)[:63],
        is_host_network=pod.spec.host_network,
        ports=_published(pod),
    )


def container_config(
    node: str,
    host_ip: str,
    pod: AssignedPod,
    spec: ContainerSpec,
    sandbox: Sandbox,
    *,
    attempt: int,
    backoff: int,
    processes_of: str = "",
) -> ContainerConfig:
    """The next attempt at one of the pod's containers."""
    key = naming.key(pod)
    limits, requests = spec.resources.limits, spec.resources.requests
    env = environment(pod, spec, pod_ip=address(pod, sandbox, host_ip), host_ip=host_ip)
    return ContainerConfig(
        name=naming.container_name(key, spec.name, attempt),
        labels=naming.container_labels(
            node, key, spec, attempt=attempt, backoff=backoff, grace_s=grace_s(pod)
        ),
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
    )
