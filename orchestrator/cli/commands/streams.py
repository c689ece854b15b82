"""Commands that stay connected to a pod: logs, exec, attach, port-forward, cp."""

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
        longshore logs web --tail=20
        longshore logs -f deploy/web
        longshore logs -l app=web --all-containers --prefix
        longshore logs web --previous""",
    )(logs)
    command(
        app,
        "exec",
        examples="""
        longshore exec web -- ls /
        longshore exec -it deploy/web -- sh
        cat dump.sql | longshore exec -i db -- psql""",
    )(execute)
    command(app, examples="longshore attach -it shell")(attach)
    command(
        app,
        "port-forward",
        examples="""
        longshore port-forward web 8080:80
        longshore port-forward deploy/web :80
        longshore port-forward svc/web 8080:80 8443:443 --address 0.0.0.0""",
    )(port_forward)
    command(
        app,
        examples="""
        longshore cp settings.conf web:/etc/app/
        longshore cp team-a/web:/var/log ./log -c web""",
    )(cp)


def logs(
    at: Where,
    pod: Annotated[
        str,
        typer.Argument(
            metavar="[POD | TYPE/NAME]",
            show_default=False,
            autocompletion=shared.completion.pods,
            help="Whose; or use -l.",
        ),
    ] = "",
    container_name: Annotated[
        str, typer.Argument(metavar="[CONTAINER]", show_default=False, help="As -c.")
    ] = "",
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    previous: Annotated[
        bool, typer.Option("--previous", "-p", help="Of the container before its last restart.")
    ] = False,
    container: shared.Container = "",
    all_containers: Annotated[
        bool, typer.Option("--all-containers", help="Of every container.")
    ] = False,
    all_pods: Annotated[
        bool, typer.Option("--all-pods", help="Of every pod of TYPE/NAME, with --prefix.")
    ] = False,
    selector: shared.Selector = "",
    tail: Annotated[
        int | None, typer.Option(metavar="N", show_default=False, help="The last lines only.")
    ] = None,
    since: Annotated[str, typer.Option(metavar="DURATION", help="Younger than 5s, 2m, 3h.")] = "",
    since_time: Annotated[str, typer.Option(metavar="TIME", help="After it (RFC 3339).")] = "",
    timestamps: Annotated[bool, typer.Option("--timestamps", help="When each line came.")] = False,
    prefix: Annotated[bool, typer.Option("--prefix", help="Which container each is of.")] = False,
    limit_bytes: Annotated[
        int | None, typer.Option(metavar="N", show_default=False, help="At most.")
    ] = None,
    max_log_requests: Annotated[int, typer.Option(metavar="N", help="Followed at once.")] = 5,
    ignore_errors: Annotated[
        bool, typer.Option("--ignore-errors", help="Go on with the others' logs.")
    ] = False,
) -> None:
    """Print what containers write."""
    from orchestrator.cli.verbs.logs import LogOptions, logs as verb

    options = LogOptions(
        labels=selector,
        container=container or container_name,
        is_following=follow,
        is_previous=previous,
        has_timestamps=timestamps,
        since=since,
        since_time=since_time,
        tail=tail,
        limit_bytes=limit_bytes,
        is_of_all_containers=all_containers,
        is_of_all_pods=all_pods,
        is_prefixed=prefix or all_pods,
        ignores_errors=ignore_errors,
        at_once_max=max_log_requests,
    )
    run(at, lambda session: verb(session, pod, options))


def execute(
    at: Where,
    pod: shared.Pod,
    command_line: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- COMMAND", show_default=False, help="What to run."),
    ] = None,
    *,
    container: shared.Container = "",
    stdin: shared.Stdin = False,
    tty: shared.Tty = False,
    quiet: shared.Quiet = False,
) -> None:
    """Run a program in a container; its exit code is this one's."""
    from orchestrator.cli.verbs.execution import ExecOptions, execute as verb

    options = ExecOptions(container=container, has_stdin=stdin, has_tty=tty, is_quiet=quiet)
    run(at, lambda session: verb(session, pod, command_line or (), options))


def attach(
    at: Where,
    pod: shared.Pod,
    *,
    container: shared.Container = "",
    stdin: shared.Stdin = False,
    tty: shared.Tty = False,
    quiet: shared.Quiet = False,
) -> None:
    """Talk to the program that a container runs."""
    from orchestrator.cli.verbs.execution import ExecOptions, attach as verb

    options = ExecOptions(container=container, has_stdin=stdin, has_tty=tty, is_quiet=quiet)
    run(at, lambda session: verb(session, pod, options))


def port_forward(
    at: Where,
    pod: shared.Pod,
    ports: Annotated[
        list[str],
        typer.Argument(
            metavar="[LOCAL:]REMOTE", show_default=False, help="8080, 5000:8080, :8080."
        ),
    ],
    *,
    address: Annotated[
        str, typer.Option(metavar="ADDRESS,...", help="Where to listen.")
    ] = "localhost",
) -> None:
    """Let local ports lead to ports of a pod, until Ctrl-C."""
    from orchestrator.cli.verbs.forward import forward

    addresses = ["127.0.0.1" if one == "localhost" else one for one in address.split(",")]
    run(at, lambda session: forward(session, pod, ports, addresses))


def cp(
    at: Where,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", show_default=False, help="[[NAMESPACE/]POD:]PATH")
    ],
    target: Annotated[
        str, typer.Argument(metavar="TARGET", show_default=False, help="[[NAMESPACE/]POD:]PATH")
    ],
    *,
    container: shared.Container = "",
    no_preserve: Annotated[
        bool, typer.Option("--no-preserve", help="Not the owner either.")
    ] = False,
) -> None:
    """Copy files and folders into a container, or out of it; it needs tar."""
    from orchestrator.cli.verbs.copying import copy

    run(
        at,
        lambda session: copy(
            session, source, target, container=container, keeps_owner=not no_preserve
        ),
    )
