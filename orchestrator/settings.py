"""What can be set on an orchestrator: flags, then environment, then the TOML file, then these."""

from typing import Annotated

from msgspec import Meta, Struct

from proto.settings import NATS_URLS, one_of, urls

ENVIRONMENT_PREFIX = "LONGSHORE_"


def _is(description: str) -> Meta:
    return Meta(description=description)


class Settings(Struct, frozen=True, kw_only=True):
    """One field a flag: ``nats`` is ``--nats``, ``LONGSHORE_NATS``, and ``nats`` in the file."""

    etcd: Annotated[str, urls("http|https"), _is("etcd's client URLs, separated by commas")] = (
        "http://127.0.0.1:2379"
    )
    nats: Annotated[str, NATS_URLS, _is("the NATS servers' URLs, separated by commas")] = (
        "nats://127.0.0.1:4222"
    )
    listen: Annotated[
        str,
        _is("address of the Kubernetes API; who reaches it is administrator: keep it on loopback"),
    ] = "127.0.0.1"
    port: Annotated[
        int,
        Meta(ge=0, le=65_535),
        _is("port of the Kubernetes API; 0 picks a free one and logs it"),
    ] = 6443
    identity: Annotated[
        str,
        _is("names this orchestrator among others, the same after a restart (the host's name)"),
    ] = ""
    leader_ttl_s: Annotated[
        int, Meta(ge=2), _is("seconds after which a vanished leader is replaced, 2 at least")
    ] = 2
    node_grace_ms: Annotated[
        int,
        Meta(ge=30),  # three heartbeats of the least that an agent takes
        _is(
            "milliseconds of silence (three heartbeats) that make a node NotReady, its host probed"
        ),
    ] = 750
    autoscaler_sync_ms: Annotated[
        int, Meta(ge=100), _is("milliseconds between two looks at what an autoscaler scales")
    ] = 15_000
    audit_log: Annotated[
        str, _is("file for a line of JSON (audit.k8s.io/v1) on each request that is of interest")
    ] = ""
    audit_reads: Annotated[
        bool, _is("write get, list and watch to the audit log as well, not only when refused")
    ] = False
    audit_log_mb: Annotated[
        int, Meta(ge=1), _is("megabytes at which the audit log goes on in a new file")
    ] = 100
    audit_log_files: Annotated[
        int, Meta(ge=1), _is("files of the audit log that are kept: FILE, FILE.1 and so on")
    ] = 10
    encryption_config: Annotated[
        str,
        _is("file (Kubernetes' EncryptionConfiguration) that says what is encrypted in etcd"),
    ] = ""
    log_format: Annotated[
        str, one_of("console", "json"), _is("console for people, json for machines")
    ] = "console"
    log_level: Annotated[
        str, one_of("debug", "info", "warning", "error"), _is("debug, info, warning or error")
    ] = "info"
