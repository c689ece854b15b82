"""One command at work: the cluster it talks to, what it prints, and how it ends."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from functools import cached_property
from typing import TYPE_CHECKING, Any

import typer

from orchestrator.cli.refused import first_of, told
from orchestrator.cli.where import Where
from proto.errors import LongshoreError

if TYPE_CHECKING:  # both import much: --help stays quick
    from orchestrator.cli.client import Client
    from orchestrator.cli.screen import Screen

INTERRUPTED = 130
"""Exit code after Ctrl-C. Source: shells, 128 + SIGINT."""

UNREAD = 141
"""Exit code when the reader of a pipe went away. Source: shells, 128 + SIGPIPE."""


class Session:
    """What a verb works with.

    Attributes:
        client: Connected to the cluster.
    """

    def __init__(self, client: "Client") -> None:
        self.client = client

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


def run(where: Where, work: Work) -> None:
    """Do the work on the cluster that was asked for, and end the process as it ended."""
    from orchestrator.cli.connection import connected

    async def whole() -> int | None:
        async with connected(where) as client:
            return await work(Session(client))

    finish(whole())


def finish(work: Coroutine[Any, Any, int | None]) -> None:
    """Run it to the end; what fails on purpose is a sentence on standard error and exit code 1."""
    try:
        code = asyncio.run(work)
    except* LongshoreError as group:
        typer.echo(told(first_of(group)), err=True)
        code = 1
    except* KeyboardInterrupt:
        code = INTERRUPTED
    except* BrokenPipeError:
        quiet_pipe()
        code = UNREAD
    if code:
        raise typer.Exit(code)


def quiet_pipe() -> None:
    """Nobody reads any more: what is still printed goes nowhere, without complaint."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
