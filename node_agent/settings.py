"""What can be told to an agent. `docs` describe each setting for ``--help`` and the TOML file."""

from typing import Annotated

from msgspec import Meta, Struct

from proto.settings import NATS_URLS, one_of

_AMOUNT = Meta(pattern=r"^([0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?)?$")
_NAME = Meta(pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$")
"""As Kubernetes wants a node's name; empty for the default."""


def _doc(text: str) -> Meta:
    return Meta(description=text)


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of a node agent. Flags win over the environment, that over the file."""

    node_name: Annotated[str, _NAME, _doc("name of this node (default: the host's name)")] = ""
    cluster: Annotated[
        str, _doc("tells apart clusters that share a Docker engine and have nodes of one name")
    ] = ""
    nats: Annotated[str, NATS_URLS, _doc("URL of NATS; several separated by commas")] = (
        "nats://127.0.0.1:4222"
    )
    docker: Annotated[str, _doc("URL of the Docker engine")] = "unix:///var/run/docker.sock"
    state_dir: Annotated[str, _doc("where the last assignment and pods' volumes are kept")] = (
        "/var/lib/longshore-agent"
    )
    secrets_dir: Annotated[
        str,
        _doc(
            "where contents of secrets are kept, a folder on a tmpfs (default: longshore in /run, "
            "or in /dev/shm where /run is on a disk)"
        ),
    ] = ""
    internal_ip: Annotated[str, _doc("address of this node (default: that of its first route)")] = (
        ""
    )
    probe_address: Annotated[
        str,
        _doc("where other nodes try whether this host lives (default: the internal IP, port 9)"),
    ] = ""
    simulate_host_loss: Annotated[
        bool, _doc("count the agent's silence as the loss of its host, even while the host lives")
    ] = False
    heartbeat_ms: Annotated[int, Meta(ge=10), _doc("milliseconds between heartbeats")] = 250
    report_ms: Annotated[
        int, Meta(ge=0), _doc("milliseconds that changes are gathered for a report")
    ] = 15
    resync_s: Annotated[float, Meta(gt=0), _doc("seconds between full looks at Docker")] = 15.0
    usage_period_s: Annotated[
        float, Meta(ge=0), _doc("seconds between looks at what each container uses; 0: no looks")
    ] = 15.0
    sandbox_pool: Annotated[int, Meta(ge=0), _doc("pod sandboxes kept ready")] = 10
    engine_concurrency: Annotated[int, Meta(ge=1), _doc("Docker operations at once")] = 6
    max_pods: Annotated[int, Meta(ge=0), _doc("pods that this node takes")] = 110
    cpu: Annotated[
        str, _AMOUNT, _doc("CPU capacity as a quantity (default: all of the host's)")
    ] = ""
    memory: Annotated[
        str, _AMOUNT, _doc("memory capacity as a quantity (default: all of the host's)")
    ] = ""
    labels: Annotated[dict[str, str], _doc("labels of this node, key=value")] = {}
    resources: Annotated[
        dict[str, str],
        _doc(
            "extended resources of this node, example.com/widget=COUNT[:/dev/PATH...]: each unit "
            "comes with these devices, {} in a path stands for its number; nvidia.com/gpu=COUNT "
            "are GPUs"
        ),
    ] = {}
    seccomp_dir: Annotated[
        str, _doc("where seccomp's Localhost profiles are (default: seccomp in the state_dir)")
    ] = ""
    seccomp_default: Annotated[
        bool, _doc("give containers that name no seccomp profile Docker's own")
    ] = True
    resolv_conf: Annotated[str, _doc("the resolver of pods that use their host's")] = (
        "/etc/resolv.conf"
    )
    cluster_dns: Annotated[
        str, _doc("addresses of servers that know the cluster's names, separated by commas")
    ] = ""
    cluster_domain: Annotated[str, _doc("domain of the cluster's names")] = "cluster.local"
    room_period_s: Annotated[
        float, Meta(gt=0), _doc("seconds between looks at emptyDirs that have a sizeLimit")
    ] = 10.0
    log_format: Annotated[str, one_of("console", "json"), _doc("console or json")] = "console"
    log_level: Annotated[
        str, one_of("debug", "info", "warning", "error"), _doc("debug, info, warning or error")
    ] = "info"
