"""``node-agent``: builds the adapters, runs the agent, leaves in good order."""

import asyncio
import os
import random
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import structlog
import uvloop

from node_agent.core import pressure
from node_agent.settings import Settings
from proto import logs, quantity
from proto.settings import load

ENVIRONMENT_PREFIX = "LONGSHORE_AGENT_"

log = structlog.get_logger()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run an agent until SIGTERM or SIGINT; its containers stay, unless its host goes off."""
    settings = load_settings(arguments)
    logs.configure(settings.log_format, settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(settings))


def load_settings(
    arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None
) -> Settings:
    """The settings, with a name and an address for the node; see `proto.settings.load`."""
    settings = load(
        Settings,
        program="node-agent",
        about="Run the pods that a Longshore control plane assigns to this Docker host.",
        prefix=ENVIRONMENT_PREFIX,
        argv=arguments,
        environment=environment,
    )
    from node_agent.core import devices  # noqa: PLC0415 - so that --help does not pay for it

    try:
        devices.parse(settings.resources)
    except ValueError as error:
        raise SystemExit(f"node-agent: {error}; see --help") from error
    node_name = settings.node_name or socket.gethostname().lower()
    internal_ip = settings.internal_ip or _first_route_ip()
    if errors := pressure.wrong(settings.eviction_thresholds):
        raise SystemExit(f"node-agent: error: eviction_thresholds: {errors[0]}; see --help")
    config = Path(os.environ.get("DOCKER_CONFIG") or "~/.docker", "config.json").expanduser()
    return msgspec.structs.replace(
        settings,
        node_name=node_name,
        internal_ip=internal_ip,
        docker_config=settings.docker_config or str(config),
    )


def _first_route_ip() -> str:
    """The address this host would send from: connecting a UDP socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # TEST-NET-2, RFC 5737
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


async def _run(settings: Settings) -> None:
    # Here, so that --help does not pay for them.
    from node_agent.engine.docker import Docker  # noqa: PLC0415
    from node_agent.engine.inspection import LogLimits  # noqa: PLC0415
    from node_agent.host import (  # noqa: PLC0415
        Clock,
        FileDisk,
        Machine,
        TcpProber,
        resolver,
    )
    from node_agent.loop import Agent  # noqa: PLC0415
    from node_agent.storage.files import FileStorage, filesystem  # noqa: PLC0415
    from proto.bus.late import LateBus  # noqa: PLC0415

    bus = LateBus(settings.nats.split(","), name=f"node-agent {settings.node_name}")
    kept = LogLimits(
        quantity.whole(settings.container_log_max_size), settings.container_log_max_files
    )
    engine = Docker(settings.docker, settings.node_name, settings.cluster, logs=kept)
    state = Path(settings.state_dir)
    # Clusters that share a host may have nodes of one name.
    own = f"{settings.cluster}.{settings.node_name}" if settings.cluster else settings.node_name
    run = Path("/run") if filesystem(Path("/run")) == "tmpfs" else Path("/dev/shm")  # noqa: S108
    secrets = Path(settings.secrets_dir) if settings.secrets_dir else run / "longshore"
    agent = Agent(
        settings,
        bus,
        engine,
        FileStorage(state / settings.node_name, secrets / own),
        FileDisk(state / f"{settings.node_name}.json"),
        TcpProber(),
        Clock(),
        random.Random(),  # noqa: S311 - spreads heartbeats
        resolver=resolver(Path(settings.resolv_conf)),
        machine=Machine() if settings.docker.startswith("unix:") else None,
    )
    bus.on_connect = agent.report_soon
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    received: list[signal.Signals] = []

    def stop_by(number: signal.Signals) -> None:
        received.append(number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_by, number)
    log.info("agent.started", node=settings.node_name, ip=settings.internal_ip)
    try:
        async with asyncio.TaskGroup() as tasks:
            work = [tasks.create_task(bus.run()), tasks.create_task(agent.run())]
            await stop.wait()
            if settings.shutdown_grace_period_s and received[0] is signal.SIGTERM:
                await agent.shut_down()
            await agent.say_goodbye()
            for task in work:
                task.cancel()
    finally:
        await bus.close()
        await engine.close()
    log.info("agent.stopped", node=settings.node_name)


if __name__ == "__main__":
    main()
