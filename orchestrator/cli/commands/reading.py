"""Commands that look and change nothing."""

from typing import Annotated

import typer

from orchestrator.cli import options as shared
from orchestrator.cli.declare import command
from orchestrator.cli.session import run
from orchestrator.cli.where import Where


def declare(app: typer.Typer) -> None:
    """Add them."""
    command(
        app,
        examples="""
        longshore get pods
        longshore get deploy,pods -A -o wide
        longshore get pod web -o yaml
        longshore get pods -l app=web -o jsonpath='{.items[*].spec.nodeName}'
        longshore get pods --watch""",
    )(get)
    command(
        app,
        "api-resources",
        examples="""
        longshore api-resources
        longshore api-resources --api-group apps -o wide""",
    )(api_resources)
    command(app, examples="longshore version\nlongshore version --client")(version)


def get(
    at: Where,
    resources: shared.Resources = None,
    *,
    files: shared.Filenames = None,
    output: shared.Output = "",
    selector: shared.Selector = "",
    field_selector: shared.FieldSelector = "",
    all_namespaces: shared.AllNamespaces = False,
    watch: shared.Watch = False,
    watch_only: Annotated[
        bool, typer.Option("--watch-only", help="Only what changes from now on.")
    ] = False,
    show_labels: Annotated[
        bool, typer.Option("--show-labels", help="A column of all labels.")
    ] = False,
    label_columns: Annotated[
        list[str] | None,
        typer.Option(
            "--label-columns", "-L", metavar="LABEL", show_default=False, help="A column of it."
        ),
    ] = None,
    sort_by: Annotated[
        str, typer.Option(metavar="PATH", help="In the order of a field: .metadata.name")
    ] = "",
    no_headers: Annotated[bool, typer.Option("--no-headers", help="Rows only.")] = False,
    ignore_not_found: Annotated[
        bool, typer.Option("--ignore-not-found", help="What is not there is no error.")
    ] = False,
    show_managed_fields: Annotated[
        bool,
        typer.Option("--show-managed-fields", help="With -o json or yaml: who owns which field."),
    ] = False,
) -> None:
    """Show objects: a table, or whole with -o yaml."""
    from orchestrator.cli.verbs.get import GetOptions, get as show

    options = GetOptions(
        output=output,
        labels=selector,
        fields=field_selector,
        is_everywhere=all_namespaces,
        is_watching=watch,
        is_watching_only=watch_only,
        has_labels=show_labels,
        label_columns=tuple(label for given in label_columns or () for label in given.split(",")),
        sort_by=sort_by,
        has_header=not no_headers,
        ignores_absent=ignore_not_found,
        has_managed_fields=show_managed_fields,
        files=tuple(files or ()),
    )
    run(at, lambda session: show(session, resources or [], options))


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
