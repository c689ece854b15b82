"""``node-agent``: builds the adapters, runs the agent, leaves in good order."""

import argparse
import asyncio
import os
import random
import signal
import socket
import sys
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from node_agent.settings import Settings

ENVIRONMENT_PREFIX = "LONGSHORE_AGENT_"

log = structlog.get_logger()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an agent until SIGTERM or SIGINT; its containers stay. Returns the exit status."""
    try:
        settings = load_settings(sys.argv[1:] if arguments is None else arguments, os.environ)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"node-agent: {error}\n")
        return 2
    _set_up_logging(settings)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_run(settings))
    return 0


# -------------------------------------------------------------------- settings


def load_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Flags, over the environment, over the file, over the defaults.

    Raises:
        OSError: The file cannot be read.
        ValueError: A setting is unknown or has a wrong value; says which.
    """
    flags = vars(_parser().parse_args(arguments))
    found: dict[str, Any] = {}
    if path := flags.pop("config") or environment.get(f"{ENVIRONMENT_PREFIX}CONFIG"):
        found |= tomllib.loads(Path(path).read_text())
    for name in Settings.__struct_fields__:
        value = environment.get(f"{ENVIRONMENT_PREFIX}{name.upper()}")
        if value is not None:
            found[name] = _labels(value.split(",")) if name == "labels" else value
    found |= {name: value for name, value in flags.items() if value is not None}
    try:
        settings = msgspec.convert(found, Settings, strict=False)  # text may stand for a number
    except msgspec.ValidationError as error:
        raise ValueError(f"{error} (settings are listed by --help)") from error
    node_name = settings.node_name or socket.gethostname().lower()
    internal_ip = settings.internal_ip or _first_route_ip()
    return msgspec.structs.replace(settings, node_name=node_name, internal_ip=internal_ip)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="node-agent",
        description="Run the pods that a Longshore control plane assigns to this Docker host.",
        epilog=f"Each setting may also come from the environment ({ENVIRONMENT_PREFIX}NODE_NAME "
        "for --node-name) or from the TOML file (node_name = ...).",
    )
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings")
    types = msgspec.inspect.type_info(Settings)
    assert isinstance(types, msgspec.inspect.StructType)  # noqa: S101
    for field in types.fields:
        flag = f"--{field.name.replace('_', '-')}"
        text, kind = _described(field.type)
        if field.name == "labels":
            parser.add_argument(
                "--label", dest="labels", action=_LabelAction, metavar="KEY=VALUE", help=text
            )
        elif kind is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, help=text)
        else:
            shown = f" (default: {field.default})" if field.default not in ("", None) else ""
            parser.add_argument(flag, type=kind, metavar=kind.__name__.upper(), help=text + shown)
    return parser


def _described(type_: msgspec.inspect.Type) -> tuple[str, Callable[[str], Any]]:
    """A field's description and what turns a flag's text into its value."""
    text = ""
    if isinstance(type_, msgspec.inspect.Metadata):
        text = (type_.extra_json_schema or {}).get("description", "")
        type_ = type_.type
    kinds: dict[type, Callable[[str], Any]] = {
        msgspec.inspect.BoolType: bool,
        msgspec.inspect.IntType: int,
        msgspec.inspect.FloatType: float,
    }
    return text, kinds.get(type(type_), str)


class _LabelAction(argparse.Action):
    """Gathers ``--label key=value`` into one mapping."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        try:
            new = _labels([values])
        except ValueError as error:
            parser.error(f"{option_string}: {error}")
        setattr(namespace, self.dest, (getattr(namespace, self.dest) or {}) | new)


def _labels(texts: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise ValueError(f"{text!r} is not key=value")
        found[key] = value
    return found


def _first_route_ip() -> str:
    """The address this host would send from: connecting a UDP socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # TEST-NET-2, RFC 5737
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


# --------------------------------------------------------------------- running


async def _run(settings: Settings) -> None:
    # Here, so that --help does not pay for them.
    from node_agent.engine.docker import Docker  # noqa: PLC0415
    from node_agent.host import FileDisk, TcpProber  # noqa: PLC0415
    from node_agent.latebus import LateBus  # noqa: PLC0415
    from node_agent.loop import Agent  # noqa: PLC0415

    bus = LateBus(settings.nats.split(","), name=f"node-agent {settings.node_name}")
    engine = Docker(settings.docker, settings.node_name)
    agent = Agent(
        settings,
        bus,
        engine,
        FileDisk(Path(settings.state_dir) / f"{settings.node_name}.json"),
        TcpProber(),
        lambda: time.time_ns() // 1_000_000,
        random.Random(),  # noqa: S311 - spreads heartbeats
    )
    bus.on_connect = agent.report_soon
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    log.info("agent.started", node=settings.node_name, ip=settings.internal_ip)
    try:
        async with asyncio.TaskGroup() as tasks:
            work = [tasks.create_task(bus.run()), tasks.create_task(agent.run())]
            await stop.wait()
            await agent.say_goodbye()
            for task in work:
                task.cancel()
    finally:
        await bus.close()
        await engine.close()
    log.info("agent.stopped", node=settings.node_name)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _set_up_logging(settings: Settings) -> None:
    level = {"debug": 10, "info": 20, "warning": 30, "error": 40}[settings.log_level]
    is_json = settings.log_format == "json"
    renderer: Any = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    if is_json:
        renderer = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


if __name__ == "__main__":
    raise SystemExit(main())
