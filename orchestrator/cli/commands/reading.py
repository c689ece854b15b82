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
        examples="""
        longshore describe pod web
        longshore describe nodes
        longshore describe -f web.yaml""",
    )(describe)
    command(
        app,
        examples="""
        longshore events
        longshore events --for deploy/web --watch
        longshore events -A --types=Warning""",
    )(events)
    command(
        app,
        examples="""
        longshore wait --for=condition=Ready pod/web
        longshore wait --for=condition=Available deploy --all --timeout=2m
        longshore wait --for=jsonpath='{.status.phase}'=Running pod/web
        longshore wait --for=delete pod/web""",
    )(wait)
    command(
        app,
        examples="""
        longshore explain deployment.spec.strategy
        longshore explain pods --recursive""",
    )(explain)


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


def describe(
    at: Where,
    resources: shared.Resources = None,
    *,
    files: shared.Filenames = None,
    selector: shared.Selector = "",
    all_namespaces: shared.AllNamespaces = False,
    show_events: Annotated[
        bool, typer.Option("--show-events/--no-show-events", help="What happened, too.")
    ] = True,
) -> None:
    """Show objects in words: their settings, their state, and what happened to them."""
    from orchestrator.cli.verbs.describe import DescribeOptions, describe as verb

    options = DescribeOptions(
        labels=selector,
        files=tuple(files or ()),
        is_everywhere=all_namespaces,
        has_events=show_events,
    )
    run(at, lambda session: verb(session, resources or [], options))


def events(
    at: Where,
    *,
    for_: Annotated[
        str, typer.Option("--for", metavar="TYPE/NAME", help="What happened to that only.")
    ] = "",
    types: Annotated[str, typer.Option(metavar="TYPE,...", help="Normal, Warning.")] = "",
    all_namespaces: shared.AllNamespaces = False,
    watch: shared.Watch = False,
    no_headers: Annotated[bool, typer.Option("--no-headers", help="Rows only.")] = False,
    output: shared.Output = "",
) -> None:
    """Show what happened, the latest last."""
    from orchestrator.cli.verbs.events import EventOptions, events as verb

    options = EventOptions(
        object=for_,
        types=tuple(filter(None, types.lower().split(","))),
        is_everywhere=all_namespaces,
        is_watching=watch,
        output=output,
        has_header=not no_headers,
    )
    run(at, lambda session: verb(session, options))


def wait(
    at: Where,
    resources: shared.Resources = None,
    *,
    for_: Annotated[
        str,
        typer.Option(
            "--for", metavar="WHAT", help="condition=NAME[=VALUE], jsonpath={PATH}=VALUE, delete."
        ),
    ],
    timeout: shared.TimeoutText = "30s",
    files: shared.Filenames = None,
    selector: shared.Selector = "",
    field_selector: shared.FieldSelector = "",
    all: shared.All = False,
    all_namespaces: shared.AllNamespaces = False,
) -> None:
    """Wait until objects are as they should be."""
    from orchestrator.cli.verbs.wait import WaitOptions, wait as verb

    options = WaitOptions(
        until=for_,
        timeout=timeout,
        labels=selector,
        fields=field_selector,
        is_all=all,
        is_everywhere=all_namespaces,
        files=tuple(files or ()),
    )
    run(at, lambda session: verb(session, resources or [], options))


def explain(
    at: Where,
    field: Annotated[
        str,
        typer.Argument(
            metavar="TYPE[.FIELD...]", show_default=False, help="pods, deploy.spec.strategy"
        ),
    ],
    *,
    recursive: Annotated[
        bool, typer.Option("--recursive", help="All fields below, names only.")
    ] = False,
    api_version: Annotated[str, typer.Option(metavar="GROUP/VERSION", help="Of which.")] = "",
) -> None:
    """Say what a kind is, and what its fields mean."""
    from orchestrator.cli.verbs.explain import explain as verb

    run(
        at,
        lambda session: verb(session, field, is_recursive=recursive, api_version=api_version),
    )
