"""`longshore`: composed of groups of commands. What each does is imported when it is called."""

import typer

from orchestrator.cli.commands import (
    changing,
    creating,
    embedded,
    information,
    manifests,
    nodes,
    reading,
    rollouts,
    streams,
    views,
)
from orchestrator.cli.declare import Context, Group, Kubeconfig, Namespace, Server
from orchestrator.cli.where import Where

app = typer.Typer(
    name="longshore",
    cls=Group,
    help="Containers on many Docker hosts, declared with Kubernetes manifests and kubectl.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def where(
    ctx: typer.Context,
    *,
    server: Server = "",
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    namespace: Namespace = "",
) -> None:
    """Containers on many Docker hosts, declared with Kubernetes manifests: kubectl's grammar."""
    ctx.obj = Where(server=server, kubeconfig=kubeconfig, context=context, namespace=namespace)


for group in (
    embedded,
    reading,
    manifests,
    creating,
    changing,
    rollouts,
    streams,
    nodes,
    views,
    information,
):  # in the order of the help
    group.declare(app)
