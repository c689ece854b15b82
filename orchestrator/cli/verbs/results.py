"""What a command says of the objects that it wrote: ``deployment.apps/web configured``."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from msgspec import Struct

from orchestrator.cli import formats
from orchestrator.cli.client import Json
from orchestrator.cli.refused import Refused, told
from orchestrator.cli.session import Session
from proto.errors import Rejected

T = TypeVar("T")

DRY_RUNS = {"": "", "none": "", "server": " (server dry run)", "client": " (dry run)"}


class Outcome(Struct, frozen=True, kw_only=True):
    """How results are told.

    Attributes:
        output: A format; empty for a line each.
        dry_run: ``none``, ``server`` or ``client``.
    """

    output: str = ""
    dry_run: str = "none"

    def check(self) -> None:
        """Before anything is done.

        Raises:
            Refused: There is no such format or dry run.
        """
        if self.dry_run not in DRY_RUNS:
            raise Refused(
                f"there is no dry run {self.dry_run!r}",
                hint="--dry-run=server checks it there, --dry-run=client prints it",
            )
        if self.output == "wide":
            raise Refused("-o wide is for tables", hint="-o yaml, json or name")
        formats.check(self.output)

    @property
    def params(self) -> dict[str, str]:
        """For the request."""
        return {"dryRun": "All"} if self.dry_run == "server" else {}

    def tell(self, session: Session, object: Json, verb: str) -> None:
        """Print what was done to it."""
        if self.output:
            shown = formats.without_managed_fields(object)
            separator = "---\n" if self.output == "yaml" and session.has_spoken else ""
            session.screen.write((separator + formats.printer(self.output)(shown)).encode())
            session.has_spoken = True
        else:
            name = formats.name_of(object)
            session.screen.say(f"{name} {verb}{DRY_RUNS[self.dry_run]}")


async def each(
    session: Session, items: Iterable[T], act: Callable[[T], Awaitable[None]]
) -> int | None:
    """Do it to all of them, though some fail: those are told, and the exit code is 1."""
    code = None
    for item in items:
        try:
            await act(item)
        except Rejected as error:
            session.screen.tell(told(error))
            code = 1
    return code
