"""One command at work: the cluster it talks to, what it prints, and how it ends."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from orchestrator.cli import INTERRUPTED
from orchestrator.cli.refused import Refused, first_of, told
from orchestrator.cli.where import Where
from proto.errors import LongshoreError

if TYPE_CHECKING:  # both import much: --help stays quick
    from orchestrator.cli.client import Client
    from orchestrator.cli.screen import Screen

UNREAD = 141
"""Exit code when the reader of a pipe went away. Source: shells, 128 + SIGPIPE."""


class Session:
    """What a verb works with.

    Attributes:
        client: Connected to the cluster.
        chosen_namespace: The one on the command line; empty when there was none.
        has_spoken: Whether a document of the answer has been printed.
    """

    def __init__(self, client: "Client", *, chosen_namespace: str = "") -> None:
        self.client = client
        self.chosen_namespace = chosen_namespace
        self.has_spoken = False

    @cached_property
    def screen(self) -> "Screen":
        """What is printed goes there."""
        from orchestrator.cli.screen import Screen

        return Screen()

    @property
    def namespace(self) -> str:
        """The one asked for, or the context's."""
        return self.client.namespace


Work = Callable[[Session], Awaitable[int | None]]
"""A verb, with its options bound. Returns an exit code; None for 0."""


def run(where: Where, work: Work, *, failure: int = 1) -> None:
    """Do the work on the cluster that was asked for, and end the process as it ended.

    Args:
        where: The cluster.
        work: With its options bound.
        failure: The exit code after an error.
    """
    from orchestrator.cli.connection import connected

    async def whole() -> int | None:
        async with connected(where) as client:
            return await work(Session(client, chosen_namespace=where.namespace))

    finish(whole(), failure=failure)


def finish(work: Coroutine[Any, Any, int | None], *, failure: int = 1) -> None:
    """Run it to the end; what fails on purpose is a sentence on standard error."""
    try:
        code = asyncio.run(work)
    except* LongshoreError as group:
        typer.echo(told(first_of(group)), err=True)
        code = failure
    except* KeyboardInterrupt:
        code = INTERRUPTED
    except* BrokenPipeError:
        quiet_pipe()
        code = UNREAD
    if code:
        raise typer.Exit(code)


def refused(error: Refused) -> NoReturn:
    """End the process: the options do not fit together."""
    typer.echo(told(error), err=True)
    raise typer.Exit(1)


def quiet_pipe() -> None:
    """Nobody reads any more: what is still printed goes nowhere, without complaint."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
