"""What a container may do, in Docker's words. Source: Docker Engine API 1.41, HostConfig."""

from typing import Any

from node_agent.core.actions import ContainerConfig

_GPU_CAPABILITIES = [["gpu"]]
"""What the runtime for GPUs is asked for: any device that can do this."""


def confine(body: dict[str, Any], config: ContainerConfig) -> None:
    """Add it to the body of ``POST /containers/create``."""
    found, host = config.confinement, body["HostConfig"]
    if found.user:
        body["User"] = found.user
    if found.is_host_pid:
        host["PidMode"] = "host"
    if found.is_host_ipc:
        host["IpcMode"] = "host"
    options = {
        "no-new-privileges": found.has_no_new_privileges,
        f"seccomp={found.seccomp}": found.seccomp,
        f"apparmor={found.app_armor}": found.app_armor,
    }
    host |= {
        "GroupAdd": [str(group) for group in found.groups],
        "CapAdd": list(found.added),
        "CapDrop": list(found.dropped),
        "Privileged": found.is_privileged,
        "ReadonlyRootfs": found.is_root_read_only,
        "SecurityOpt": [option for option, is_set in options.items() if is_set],
        "OomScoreAdj": found.oom_score,
        "Devices": [
            {"PathOnHost": path, "PathInContainer": path, "CgroupPermissions": "rwm"}
            for path in config.devices.paths
        ],
    }
    if config.devices.gpus:
        ids = [str(number) for number in config.devices.gpus]
        host["DeviceRequests"] = [
            {"Driver": "nvidia", "DeviceIDs": ids, "Capabilities": _GPU_CAPABILITIES}
        ]
