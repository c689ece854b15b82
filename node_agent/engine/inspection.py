"""Docker's JSON to our values and back. Source: Docker Engine API 1.41."""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from node_agent.core import naming
from node_agent.core.actions import ContainerConfig, SandboxConfig
from node_agent.core.naming import PodKey
from node_agent.core.observed import Container, Sandbox, State
from node_agent.core.usage import Sample
from node_agent.core.volume_actions import Mount, NamedVolume, TmpfsConfig
from node_agent.engine import EngineVolume, Image
from node_agent.engine.confining import confine
from proto.meta import parse_time_ms

CPU_SHARES_PER_CORE = 1024
"""Source: Docker and Kubernetes alike (cgroup v1's cpu.shares)."""

CPU_SHARES_MIN = 2
"""Source: the kernel's own minimum, and the kubelet's for a container that asks for nothing."""


_JOINED = "container:"


def parse_state(text: str) -> State:
    """Docker knows seven states; three of them differ for us."""
    if text in ("running", "paused", "restarting"):
        return State.RUNNING
    return State.CREATED if text == "created" else State.EXITED


def _time_ns(text: str) -> int:
    """Docker's times have nanoseconds, which Python does not read; year 1 means never."""
    if not text or text.startswith("0001-"):
        return 0
    seconds, _, rest = text.rstrip("Z").partition(".")
    return parse_time_ms(f"{seconds}+00:00") * 1_000_000 + int(rest[:9].ljust(9, "0"))


def _time_ms(text: str) -> int:
    return _time_ns(text) // 1_000_000


def parse_inspection(found: Mapping[str, Any], node: str) -> Sandbox | Container | None:
    """What ``GET /containers/{id}/json`` says; None when it is not this node's.

    Labels alone prove nothing: a copy that somebody started, from a committed image say, has them,
    too. A holder also bears one of our names, and a pod's container shares a holder's network.
    """
    labels = found["Config"]["Labels"] or {}
    if labels.get(naming.NODE) != node:
        return None
    name = found["Name"].removeprefix("/")
    state = found["State"]
    if labels.get(naming.KIND) == naming.KIND_SANDBOX:
        if not naming.is_of_sandbox(name):
            return None
        return Sandbox(
            id=found["Id"],
            name=name,
            pod=naming.pod_of_sandbox(name),
            state=parse_state(state["Status"]),
            ip=_ip(found["NetworkSettings"]),
            started_at_ms=_time_ms(state["StartedAt"]),
        )
    network = found["HostConfig"]["NetworkMode"]
    if not network.startswith(_JOINED):
        return None
    try:
        return Container(
            id=found["Id"],
            name=name,
            pod=PodKey(labels[naming.NAMESPACE], labels[naming.POD], labels[naming.POD_UID]),
            container=labels[naming.CONTAINER],
            attempt=int(labels[naming.ATTEMPT]),
            backoff=int(labels.get(naming.BACKOFF, "0")),
            spec_hash=labels.get(naming.SPEC_HASH, ""),
            sandbox_id=network.removeprefix(_JOINED),
            state=parse_state(state["Status"]),
            image=found["Config"]["Image"],
            image_id=found["Image"],
            created_at_ms=_time_ms(found["Created"]),
            started_at_ms=_time_ms(state["StartedAt"]),
            finished_at_ms=_time_ms(state["FinishedAt"]),
            exit_code=state["ExitCode"],
            is_oom_killed=state["OOMKilled"],
            is_tty=found["Config"]["Tty"],
            error=state["Error"],
            stop_signal=found["Config"].get("StopSignal") or "SIGTERM",
            grace_s=int(labels.get(naming.GRACE_S, "30")),
            message_policy=labels.get(naming.MESSAGE, ""),
            devices=labels.get(naming.DEVICES, ""),
        )
    except (KeyError, ValueError):
        return None  # somebody else used our label, in their own way: leave it alone


def parse_stats(found: Mapping[str, Any]) -> Sample | None:
    """What ``GET /containers/{id}/stats`` says; None of a container that does not run."""
    memory = found.get("memory_stats") or {}
    if "usage" not in memory:
        return None
    detail = memory.get("stats") or {}
    cache = detail.get("total_inactive_file", detail.get("inactive_file", 0))  # cgroup v1, v2
    return Sample(
        at_ns=_time_ns(found["read"]),
        cpu_ns=found["cpu_stats"]["cpu_usage"]["total_usage"],
        memory_bytes=max(0, memory["usage"] - cache),
    )


def _ip(settings: Mapping[str, Any]) -> str:
    networks = settings.get("Networks") or {}
    return next((n["IPAddress"] for n in networks.values() if n.get("IPAddress")), "")


def sandbox_config(config: SandboxConfig, image: str, ours: Mapping[str, str]) -> dict[str, Any]:
    """The body of ``POST /containers/create`` for a holder."""
    ports = [(f"{p.container_port}/{p.protocol.lower()}", p) for p in config.ports]
    bindings: dict[str, list[dict[str, str]]] = {}
    for name, port in ports:
        binding = {"HostIp": port.host_ip, "HostPort": str(port.host_port)}
        bindings.setdefault(name, []).append(binding)
    return {
        "Image": image,
        "Hostname": config.hostname,
        "Domainname": config.domain_name,
        "Labels": {**config.labels, **ours},
        "ExposedPorts": {name: {} for name, _ in ports},
        "HostConfig": {
            "IpcMode": "shareable",
            "NetworkMode": "host" if config.is_host_network else "default",
            "PortBindings": bindings,
            "CpuShares": CPU_SHARES_MIN,
            "LogConfig": {"Type": "none"},
            "ExtraHosts": list(config.hosts),
            "Dns": list(config.resolver.nameservers),
            "DnsSearch": list(config.resolver.searches),
            "DnsOptions": list(config.resolver.options),
            "Sysctls": dict(config.sysctls),
            # Held here, they outlive the containers that use them.
            "Mounts": [_volume_mount(name, f"/{name}") for name in config.tmpfs],
        },
    }


class LogLimits(Struct, frozen=True):
    """How much of a container's output is kept: so many files of that size.

    Source: the kubelet, containerLogMaxSize and containerLogMaxFiles.
    """

    max_bytes: int = 10 << 20
    max_files: int = 5


LOG_LIMITS = LogLimits()


def created_config(
    config: ContainerConfig, ours: Mapping[str, str], logs: LogLimits
) -> dict[str, Any]:
    """The body of ``POST /containers/create`` for a pod's container."""
    shares = config.cpu_request_milli * CPU_SHARES_PER_CORE // 1000
    body: dict[str, Any] = {
        "Image": config.image,
        "Labels": {**config.labels, **ours},
        "Env": [f"{name}={value}" for name, value in config.env.items()],
        "Tty": config.is_tty,
        "OpenStdin": config.is_stdin_open,
        "StdinOnce": config.is_stdin_once,
        "WorkingDir": config.working_dir,
        "HostConfig": {
            "NetworkMode": f"container:{config.sandbox_id}",
            "IpcMode": f"container:{config.sandbox_id}",
            "PidMode": f"container:{config.processes_of}" if config.processes_of else "",
            "CpuShares": max(CPU_SHARES_MIN, shares),
            "NanoCpus": config.cpu_limit_milli * 1_000_000,
            "Memory": config.memory_limit_bytes,
            # The same again: no swap, as in Kubernetes; a limit of memory alone would double it.
            "MemorySwap": config.memory_limit_bytes,
            "Mounts": [_mount(mount, ours) for mount in config.mounts],
            "LogConfig": {
                "Type": "json-file",
                "Config": {"max-size": str(logs.max_bytes), "max-file": str(logs.max_files)},
            },
        },
    }
    confine(body, config)
    if config.entrypoint:
        body["Entrypoint"] = list(config.entrypoint)
    if config.command:
        body["Cmd"] = list(config.command)
    return body


def _mount(mount: Mount, ours: Mapping[str, str]) -> dict[str, Any]:
    if mount.tmpfs:
        return _volume_mount(mount.tmpfs, mount.target, mount.named, ours) | {
            "ReadOnly": mount.is_read_only
        }
    return {
        "Type": "bind",
        "Source": mount.source,
        "Target": mount.target,
        "ReadOnly": mount.is_read_only,
    }


def _volume_mount(
    name: str, target: str, named: NamedVolume | None = None, ours: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Without what the image has there: Docker would copy it into an empty volume."""
    options: dict[str, Any] = {"NoCopy": True}
    if named is not None:
        options["DriverConfig"] = {"Name": named.driver, "Options": dict(named.options)}
        if named.labels:
            options["Labels"] = {**named.labels, **(ours or {})}
    return {"Type": "volume", "Source": name, "Target": target, "VolumeOptions": options}


def volume_config(config: TmpfsConfig, ours: Mapping[str, str]) -> dict[str, Any]:
    """The body of ``POST /volumes/create``."""
    size = f",size={config.size_bytes}" if config.size_bytes else ""
    mode = "mode=0777" if config.group is None else f"mode=2777,gid={config.group}"
    return {
        "Name": config.engine_name,
        "Driver": "local",
        "DriverOpts": {"type": "tmpfs", "device": "tmpfs", "o": f"{mode}{size}"},
        "Labels": {**config.labels, **ours},
    }


def parse_images(found: Iterable[Mapping[str, Any]]) -> list[Image]:
    """What ``GET /images/json`` says."""
    images = []
    for image in found:
        names = (*(image["RepoTags"] or ()), *(image["RepoDigests"] or ()))
        named = tuple(name for name in names if "<none>" not in name)
        images.append(Image(image["Id"], named, image["Size"]))
    return images


def parse_volumes(found: Iterable[Mapping[str, Any]]) -> list[EngineVolume]:
    """What ``GET /volumes`` says of those that are ours."""
    volumes = []
    for volume in found:
        labels = volume["Labels"] or {}
        if labels.get(naming.KIND) == naming.KIND_STORED:
            kept = labels.get(naming.PERSISTENT_VOLUME)
            if kept:
                volumes.append(EngineVolume(volume["Name"], None, kept))
            continue
        try:
            pod = PodKey(labels[naming.NAMESPACE], labels[naming.POD], labels[naming.POD_UID])
            volumes.append(EngineVolume(volume["Name"], pod, labels[naming.VOLUME]))
        except KeyError:
            continue  # somebody else used our label, in their own way: leave it alone
    return volumes
