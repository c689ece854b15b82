"""What can be told to an agent. `docs` describe each setting for ``--help`` and the TOML file."""

from typing import Annotated

from msgspec import Meta, Struct

from proto.settings import NATS_URLS, one_of

_AMOUNT = Meta(pattern=r"^([0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?)?$")
_SIZE = Meta(pattern=r"^[0-9]+(k|M|G|Ki|Mi|Gi)?$")
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
    """On two cores and 1, 4 and 8 at a time raw Docker starts 4.7, 8.8 and 9.4 holders a second, or
    10.7, 21.8 and 21.1 containers in a holder's network. On two busy ones it removed 50 pods in
    11 to 14 s by 4 at a time, and in 15 to 19 s by 8.
    """
    docker_config: Annotated[
        str,
        _doc(
            "Docker's own configuration, whose credentials are tried after those of pods (default: "
            "config.json in $DOCKER_CONFIG or ~/.docker)"
        ),
    ] = ""
    image_pulls: Annotated[int, Meta(ge=1), _doc("images pulled at once")] = 4
    image_pull_progress_deadline_s: Annotated[
        float, Meta(gt=0), _doc("seconds without progress after which a pull is given up")
    ] = 60.0
    """Source: cri-dockerd, --image-pull-progress-deadline."""
    image_gc_high_percent: Annotated[
        int, Meta(ge=0, le=100), _doc("disk use that makes unused images go; 100: never")
    ] = 85
    image_gc_low_percent: Annotated[
        int, Meta(ge=0, le=100), _doc("disk use down to which unused images go then")
    ] = 80
    image_gc_min_age_s: Annotated[
        float, Meta(ge=0), _doc("seconds that an unused image is kept at least")
    ] = 120.0
    """Source of the three: the kubelet's imageGC… and imageMinimumGCAge."""
    image_gc_period_s: Annotated[
        float, Meta(gt=0), _doc("seconds between two looks at the images and their disk")
    ] = 300.0
    """Source: the kubelet, ImageGCPeriod."""
    eviction_thresholds: Annotated[
        dict[str, str],
        _doc(
            "when pods are evicted, besides the defaults: memory.available, nodefs.available, "
            "nodefs.inodesFree, imagefs.available, imagefs.inodesFree or pid.available, as "
            "signal=quantity or signal=percent%%; 0 for never"
        ),
    ] = {}
    eviction_period_s: Annotated[
        float, Meta(gt=0), _doc("seconds between two looks at what the node is short of")
    ] = 10.0
    eviction_transition_s: Annotated[
        float, Meta(ge=0), _doc("seconds that a condition of pressure outlives its cause")
    ] = 300.0
    """Source of both: the kubelet, its monitoring interval and evictionPressureTransitionPeriod."""
    eviction_grace_s: Annotated[
        int, Meta(ge=1), _doc("seconds that the containers of an evicted pod get to end, at most")
    ] = 1
    """Source: the kubelet, immediateEvictionGracePeriodSeconds."""
    shutdown_grace_period_s: Annotated[
        int,
        Meta(ge=0),
        _doc(
            "seconds in which SIGTERM ends all pods, as a host that goes off should; 0: they run on"
        ),
    ] = 0
    shutdown_grace_critical_s: Annotated[
        int, Meta(ge=0), _doc("seconds of those that are left to critical pods, which end last")
    ] = 0
    container_log_max_size: Annotated[
        str, _SIZE, _doc("size of a file of a container's output, as a quantity")
    ] = "10Mi"
    container_log_max_files: Annotated[
        int, Meta(ge=1), _doc("files of output kept of each container")
    ] = 5
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
