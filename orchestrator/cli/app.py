"""The commands of `longshore`. What each does is imported when it is called: --help stays quick."""

import asyncio
import importlib.metadata
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from proto.errors import LongshoreError

DATA = Path("~/.longshore")

app = typer.Typer(
    name="longshore",
    help="Containers on many Docker hosts, declared with Kubernetes manifests and kubectl.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
node_app = typer.Typer(
    help="Kill and start the nodes of a cluster that `longshore up` runs.", no_args_is_help=True
)
app.add_typer(node_app, name="node")

Data = Annotated[
    Path,
    typer.Option(
        metavar="DIR", envvar="LONGSHORE_DATA", help="The cluster's state, logs, kubeconfig."
    ),
]


@app.command(
    epilog="""Examples:

    \b
    longshore up
    longshore up --nodes 5 --data /tmp/try --simulate-host-loss
    longshore up --etcd http://10.0.0.5:2379 --nats nats://10.0.0.5:4222"""
)
def up(
    *,
    nodes: Annotated[
        int, typer.Option(min=1, max=50, metavar="N", help="How many node agents.")
    ] = 3,
    data: Data = DATA,
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="PORT",
            max=65535,
            show_default="as last time, or 6443, or a free one",
            help="Of the API.",
        ),
    ] = None,
    etcd: Annotated[str, typer.Option(metavar="URL", help="Use this etcd; run none.")] = "",
    nats: Annotated[str, typer.Option(metavar="URL", help="Use this NATS; run none.")] = "",
    simulate_host_loss: Annotated[
        bool,
        typer.Option(
            "--simulate-host-loss",
            help="A killed node counts as a lost host: its containers die and its pods move.",
        ),
    ] = False,
) -> None:
    """Run a whole cluster on this machine, in the foreground.

    It needs a Docker engine and nothing else: etcd and nats-server are part of the installation.
    Every node reports the whole machine as its capacity. Ctrl-C stops the cluster; containers keep
    running, and state comes back with the next `longshore up` on the same folder.

    DIR/kubeconfig is for kubectl; DIR/ready is there while the API answers and all nodes are Ready.
    """
    from orchestrator.cli.up import UpOptions, run

    options = UpOptions(
        data=data,
        nodes=nodes,
        port=port,
        etcd=etcd,
        nats=nats,
        is_host_lost_with_agent=simulate_host_loss,
    )
    _finish(run(options, _say))


@app.command()
def demo() -> None:
    """Deploy, kill a node, watch it heal, roll out over NATS: in under a minute, and tidied up.

    Runs a cluster of its own beside whatever else runs on this machine.
    """
    from orchestrator.cli.demo import run

    _finish(run())


@app.command()
def version() -> None:
    """The version of Longshore."""
    typer.echo(importlib.metadata.version("longshore"))


@node_app.command(epilog="Example: longshore node kill node-2")
def kill(name: str, *, data: Data = DATA) -> None:
    """Kill a node's agent (SIGKILL) and leave it dead.

    In a cluster that was started with --simulate-host-loss, its containers die with it.
    """
    _ask("kill", name, data)


@node_app.command(epilog="Example: longshore node start node-2")
def start(name: str, *, data: Data = DATA) -> None:
    """Let a killed node run again."""
    _ask("start", name, data)


def _ask(verb: str, node: str, data: Path) -> None:
    from orchestrator.cli.control import Command, ask
    from orchestrator.cli.data_dir import DataDir

    async def told() -> None:
        _say(await ask(DataDir(data).control, Command(verb, node)))

    _finish(told())


def _finish(work: Coroutine[Any, Any, None]) -> None:
    """Run it to the end; what fails on purpose is a sentence and exit code 1."""
    try:
        asyncio.run(work)
    except LongshoreError as error:
        typer.echo(f"longshore: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _say(text: str) -> None:
    try:
        typer.echo(text)
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads any more: go on without words
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
