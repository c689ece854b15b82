"""Commands about the cluster as a whole: what it serves, what is used, which version it is."""

from typing import Annotated

import typer

from orchestrator.cli import options as shared
from orchestrator.cli.declare import command, group
from orchestrator.cli.session import run
from orchestrator.cli.where import Where


def declare(app: typer.Typer) -> None:
    """Add them."""
    top = group(
        "What nodes and pods use now.", examples="longshore top nodes\nlongshore top pods -A"
    )
    for name in ("nodes", "node", "no"):
        command(top, name, hidden=name != "nodes", examples="longshore top nodes")(top_nodes)
    for name in ("pods", "pod", "po"):
        command(
            top,
            name,
            hidden=name != "pods",
            examples="longshore top pods -A --sort-by=memory\nlongshore top pods --containers",
        )(top_pods)
    app.add_typer(top, name="top")
    command(
        app,
        "api-resources",
        examples="""
        longshore api-resources
        longshore api-resources --api-group apps -o wide""",
    )(api_resources)
    command(app, examples="longshore version\nlongshore version --client")(version)


SortBy = Annotated[str, typer.Option(metavar="cpu|memory", help="The most first.")]
NoHeaders = Annotated[bool, typer.Option("--no-headers", help="Rows only.")]


def top_nodes(
    at: Where,
    names: shared.Nodes = None,
    *,
    selector: shared.Selector = "",
    sort_by: SortBy = "",
    no_headers: NoHeaders = False,
) -> None:
    """What nodes use now."""
    from orchestrator.cli.verbs import top

    options = top.TopOptions(labels=selector, sort_by=sort_by, has_header=not no_headers)
    run(at, lambda session: top.top_nodes(session, names or [], options))


def top_pods(
    at: Where,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="POD", show_default=False, autocompletion=shared.completion.pods),
    ] = None,
    *,
    selector: shared.Selector = "",
    all_namespaces: shared.AllNamespaces = False,
    containers: Annotated[
        bool, typer.Option("--containers", help="A line for each container.")
    ] = False,
    sort_by: SortBy = "",
    no_headers: NoHeaders = False,
) -> None:
    """What pods use now."""
    from orchestrator.cli.verbs import top

    options = top.TopOptions(
        labels=selector,
        sort_by=sort_by,
        is_everywhere=all_namespaces,
        has_containers=containers,
        has_header=not no_headers,
    )
    run(at, lambda session: top.top_pods(session, names or [], options))


def version(
    at: Where,
    *,
    client: Annotated[bool, typer.Option("--client", help="This program's only.")] = False,
    output: shared.Output = "",
) -> None:
    """The versions of this program and of the cluster."""
    from orchestrator.cli.verbs import information

    if client or not output:
        information.show_client_version(output)
    if not client:
        run(at, lambda session: information.show_server_version(session, output))


def api_resources(
    at: Where,
    *,
    api_group: Annotated[
        str | None, typer.Option(metavar="GROUP", show_default=False, help="Only of that group.")
    ] = None,
    namespaced: Annotated[
        bool | None,
        typer.Option(
            "--namespaced/--no-namespaced", show_default=False, help="Only those in namespaces."
        ),
    ] = None,
    output: shared.Output = "",
) -> None:
    """The kinds of objects that the cluster serves, and how they may be called."""
    from orchestrator.cli.verbs import information

    run(
        at,
        lambda session: information.show_resources(
            session, group=api_group, is_namespaced=namespaced, output=output
        ),
    )
