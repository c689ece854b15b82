"""Commands that kubectl does not have: what is wrong, why, and a rollout as it goes."""

from typing import Annotated

import typer

from orchestrator.cli import completion, options as shared
from orchestrator.cli.declare import command
from orchestrator.cli.session import run
from orchestrator.cli.where import Where


def declare(app: typer.Typer) -> None:
    """Add them."""
    command(
        app,
        examples="""
        longshore why web-7d9f-x2x4k
        longshore why deploy/web -n shop
        longshore why node/node-2
        longshore why web -o json""",
    )(why)
    command(
        app,
        examples="""
        longshore status
        longshore status --watch
        longshore status -o json
        longshore status > /dev/null || echo something is wrong""",
    )(status)
    command(
        app,
        examples="""
        longshore ui
        longshore ui --port 9000 --no-open""",
    )(ui)


Named = Annotated[
    list[str],
    typer.Argument(
        metavar="POD | TYPE/NAME...",
        show_default=False,
        autocompletion=completion.pods,
        help="A pod, or deploy/web, node/node-1, job/import, ns/shop…",
    ),
]
DocumentOutput = Annotated[
    str, typer.Option("--output", "-o", metavar="FORMAT", help="json or yaml.")
]


def why(at: Where, names: Named, *, output: DocumentOutput = "") -> None:
    """Why it is pending, restarting, not ready, terminating or gone: in words.

    Says what is so, what shows it (events, exit codes, the scheduler's reasons node by node, the
    last lines of a log), and what to type next. Exit code 0 also where something is wrong.
    """
    from orchestrator.cli.verbs.why import why as explain

    run(at, lambda session: explain(session, names, output))


def status(at: Where, *, watch: shared.Watch = False, output: DocumentOutput = "") -> None:
    """The cluster at a glance, and what is wrong with it now.

    Nodes (what pods asked for, of what there is, and what is in use where that is measured),
    workloads, problems with the command that explains each, recent warnings.

    Exit code 0 when all is well, 1 when something is wrong, or nothing answers.
    """
    from orchestrator.cli.verbs.status import status as show

    run(at, lambda session: show(session, output=output, is_watching=watch))


def ui(
    at: Where,
    *,
    port: Annotated[
        int,
        typer.Option(min=0, max=65535, metavar="PORT", help="On 127.0.0.1; 0 for any free one."),
    ] = 8001,
    open_: Annotated[
        bool, typer.Option("--open/--no-open", help="Start a browser with the page.")
    ] = True,
) -> None:
    """A page that shows the cluster as it changes, on this machine only.

    Overview, nodes with their pods, workloads, logs and events, and beside whatever is wrong what
    `longshore why` says of it. The page reads with your credentials and changes nothing; requests
    of other sites' pages, and for anything that runs something, are refused.
    """
    from orchestrator.cli.verbs.ui import ui as show

    run(at, lambda session: show(session, port=port, is_opened=open_))
