"""Commands for a cluster of this machine's own: run it, see what it can do, break its nodes."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.declare import Command, epilog, group
from orchestrator.cli.session import finish, quiet_pipe

DATA = Path("~/.longshore")

Data = Annotated[
    Path,
    typer.Option(
        metavar="DIR", envvar="LONGSHORE_DATA", help="The cluster's state, logs, kubeconfig."
    ),
]


def declare(app: typer.Typer) -> None:
    """Add them."""
    examples = """
        longshore up
        longshore up --nodes 5 --data /tmp/try --simulate-host-loss
        longshore up --etcd http://10.0.0.5:2379 --nats nats://10.0.0.5:4222"""
    app.command(cls=Command, epilog=epilog(examples))(up)
    app.command(cls=Command, epilog=epilog("longshore demo"))(demo)
    node = group(
        "Kill and start the nodes of a cluster that `longshore up` runs.",
        examples="longshore node kill node-2\nlongshore node start node-2",
    )
    node.command(cls=Command, epilog=epilog("longshore node kill node-2"))(kill)
    node.command(cls=Command, epilog=epilog("longshore node start node-2"))(start)
    app.add_typer(node, name="node")


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
    finish(run(options, _say))


def demo() -> None:
    """Deploy, kill a node, watch it heal, roll out over NATS: in under a minute, and tidied up.

    Runs a cluster of its own beside whatever else runs on this machine.
    """
    from orchestrator.cli.demo import run

    finish(run())


def kill(name: str, *, data: Data = DATA) -> None:
    """Kill a node's agent (SIGKILL) and leave it dead.

    In a cluster that was started with --simulate-host-loss, its containers die with it.
    """
    _ask("kill", name, data)


def start(name: str, *, data: Data = DATA) -> None:
    """Let a killed node run again."""
    _ask("start", name, data)


def _ask(verb: str, node: str, data: Path) -> None:
    from orchestrator.cli.control import Command, ask
    from orchestrator.cli.data_dir import DataDir

    async def told() -> None:
        _say(await ask(DataDir(data).control, Command(verb, node)))

    finish(told())


def _say(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:  # go on without words
        quiet_pipe()
