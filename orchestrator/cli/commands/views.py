"""Commands that kubectl does not have: what is wrong, why, and a rollout as it goes."""

from typing import Annotated

import typer

from orchestrator.cli import completion
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
