"""What the agent remembers on disk: a file that is whole at any moment, as it was or as it is."""

import asyncio

import structlog
from msgspec import Struct
from msgspec.structs import replace

from node_agent.core.health import Good
from node_agent.core.observed import Verdict
from node_agent.host import Disk
from proto import codec
from proto.errors import BadRequest
from proto.messages import Assignment

log = structlog.get_logger()


class Kept(Struct, frozen=True):
    """The file's content.

    Attributes:
        assignment: The newest; None before the first.
        accepted_at_ms: By pod uid: when it was first assigned, epoch milliseconds.
        incarnation: Of the agent that wrote this. The next one's is greater, though the clock was
            set back meanwhile: or its reports would pass for old ones.
        good: Probes that were last found good.
        verdicts: By pod uid: see `Memory.verdicts`.
    """

    assignment: Assignment | None = None
    accepted_at_ms: dict[str, int] = {}
    incarnation: int = 0
    good: tuple[Good, ...] = ()
    verdicts: dict[str, Verdict] = {}


class Keeper:
    """Reads and writes it."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._lock = asyncio.Lock()
        self.kept = Kept()
        """What was last saved, or would have been, had the disk not refused."""

    async def load(self) -> Kept:
        """What an earlier agent left; nothing, when it cannot be read."""
        content = await self._disk.load()
        if content is not None:
            try:
                self.kept = codec.decode(content, Kept)
            except BadRequest as error:
                log.warning("assignment.unreadable", error=str(error))
        return self.kept

    async def save(self, **changed: object) -> None:
        """Replace these fields. A disk that refuses is logged: the agent works on without it."""
        async with self._lock:  # so that the newest content is also the last to be written
            self.kept = replace(self.kept, **changed)
            try:
                await self._disk.save(codec.encode(self.kept))
            except OSError as error:
                log.error("assignment.unsaved", error=str(error))  # noqa: TRY400
