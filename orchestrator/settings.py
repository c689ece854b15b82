"""What can be set on an orchestrator: flags, then environment, then the TOML file, then these."""

from typing import Annotated

from msgspec import Meta, Struct

ENVIRONMENT_PREFIX = "LONGSHORE_"


def _is(description: str) -> Meta:
    return Meta(description=description)


class Settings(Struct, frozen=True, kw_only=True):
    """One field a flag: ``nats`` is ``--nats``, ``LONGSHORE_NATS``, and ``nats`` in the file."""

    etcd: Annotated[str, _is("etcd's client URLs, separated by commas")] = "http://127.0.0.1:2379"
    nats: Annotated[str, _is("the NATS servers' URLs, separated by commas")] = (
        "nats://127.0.0.1:4222"
    )
    listen: Annotated[
        str,
        _is("address of the Kubernetes API; it has no authentication yet: keep it on loopback"),
    ] = "127.0.0.1"
    port: Annotated[int, _is("port of the Kubernetes API; 0 picks a free one and logs it")] = 6443
    identity: Annotated[
        str,
        _is("names this orchestrator among others, the same after a restart (the host's name)"),
    ] = ""
    leader_ttl_s: Annotated[
        int, _is("seconds after which a vanished leader is replaced, 2 at least")
    ] = 2
    node_grace_ms: Annotated[
        int,
        _is(
            "milliseconds of silence (three heartbeats) that make a node NotReady, its host probed"
        ),
    ] = 750
    log_format: Annotated[str, _is("console for people, json for machines")] = "console"
    log_level: Annotated[str, _is("debug, info, warning or error")] = "info"
