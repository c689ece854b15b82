"""What can be set on an orchestrator: flags, then environment, then the TOML file, then these."""

from msgspec import Struct


class Settings(Struct, frozen=True, kw_only=True):
    """One field a flag: ``nats`` is ``--nats``, ``LONGSHORE_NATS``, and ``nats`` in the file."""

    etcd: str = "http://127.0.0.1:2379"
    """etcd's client URLs, separated by commas."""

    nats: str = "nats://127.0.0.1:4222"
    """The NATS servers' URLs, separated by commas."""

    listen: str = "127.0.0.1"
    """Address the Kubernetes API listens on. It has no authentication yet: keep it on loopback."""

    port: int = 6443
    """Port of the Kubernetes API; 0 picks a free one and logs it."""

    identity: str = ""
    """Names this orchestrator among others, the same after each restart; the host's name if empty."""

    leader_ttl_s: int = 3
    """Seconds after which a vanished leader is replaced."""

    node_grace_ms: int = 800
    """Milliseconds without a heartbeat after which a node is NotReady and its host is probed."""

    log_format: str = "console"
    """``console`` for people, ``json`` for machines."""

    log_level: str = "info"
    """``debug``, ``info``, ``warning`` or ``error``."""
