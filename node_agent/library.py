"""What ConfigMaps and Secrets hold, as far as this node's pods need it: asked for, and kept.

A request names one piece of one object, so that no message grows with what users store. Contents
are kept in `storage`, so that containers can be made while the control plane is away.
"""

from collections.abc import Callable, Collection

import structlog

from node_agent.core.contents import Held, SourceKey
from node_agent.core.observed import Failure
from node_agent.core.volume_actions import DropContent, FetchContent
from node_agent.storage import Storage, StorageFailure
from proto import codec, subjects
from proto.bus import Bus
from proto.errors import BadRequest, Rejected, Retryable, Unavailable
from proto.messages import Content, ContentPiece, ContentRefused, ContentReply, ContentRequest

log = structlog.get_logger()

REQUEST_TIMEOUT_S = 2.0
"""For one piece: a round trip and at most 512 KiB."""

PIECES_MAX = 32
"""Of one object, and of its changes meanwhile: the largest has four."""


class Library:
    """See the module."""

    def __init__(
        self,
        bus: Bus,
        node: str,
        storage: Storage,
        *,
        clock: Callable[[], int],
        on_done: Callable[[], None],
    ) -> None:
        """Knows nothing before `load`.

        Args:
            bus: To the control plane.
            node: Whose pods need to know.
            storage: Where contents are kept.
            clock: Epoch milliseconds.
            on_done: Called whenever something else may be planned.
        """
        self._clock = clock
        self._on_done = on_done
        self._bus = bus
        self._subject = subjects.content(node)
        self._storage = storage
        self.held: dict[SourceKey, Held] = {}
        self.busy: set[SourceKey] = set()
        """What is being asked for, or dropped."""
        self.unfetched: dict[SourceKey, Failure] = {}
        """What could not be had when it was last asked for."""

    async def load(self) -> None:
        """What an earlier agent kept; nothing, when it cannot be read."""
        try:
            self.held = dict(await self._storage.open())
        except StorageFailure as error:
            log.warning("contents.unreadable", error=str(error))

    def forget(self, besides: Collection[SourceKey]) -> None:
        """Keep in mind no failure but of these."""
        self.unfetched = {key: found for key, found in self.unfetched.items() if key in besides}

    async def perform(self, action: FetchContent | DropContent) -> None:
        """On nobody's path: the plan knows what has to wait for it."""
        source = action.source
        try:
            if isinstance(action, FetchContent):
                await self.fetch(source, action.version)
            else:
                await self.drop(source)
            self.unfetched.pop(source, None)
        except (Retryable, Rejected) as error:
            log.info("content.unavailable", source=str(source), error=str(error))
            before = self.unfetched.get(source)
            self.unfetched[source] = Failure.after(
                before, "ContainerCreating", str(error), self._clock()
            )
        finally:
            self.busy.discard(source)
            self._on_done()

    async def fetch(self, source: SourceKey, version: str) -> None:
        """Ask for an object of that version, or newer, and keep it.

        Raises:
            Unavailable: Nobody can say, or only who does not know yet.
            BadRequest: The answer is none.
            StorageFailure: It cannot be kept.
        """
        content, got = await self._ask(source, version)
        if int(got) < int(version):  # of a leader that was deposed, say
            raise Unavailable(f"{source} is not known in version {version} yet")
        held = Held(content, got, version)
        await self._storage.keep(source, held)
        self.held[source] = held

    async def _ask(self, source: SourceKey, version: str) -> tuple[Content, str]:
        received, of = b"", ""
        for _ in range(PIECES_MAX):
            piece = await self._piece(source, version, len(received))
            if piece.version != of and received:  # it changed meanwhile: from the start
                received, of = b"", ""
                continue
            received, of = received + piece.piece, piece.version
            if len(received) >= piece.size:
                return codec.decode(received, Content), of
            if not piece.piece:
                break
        raise Unavailable(f"{source} could not be read as a whole")

    async def _piece(self, source: SourceKey, version: str, offset: int) -> ContentPiece:
        request = ContentRequest(
            kind=source.kind,
            namespace=source.namespace,
            name=source.name,
            version=version,
            offset=offset,
        )
        answer = await self._bus.request(
            self._subject, codec.encode(request), timeout_s=REQUEST_TIMEOUT_S
        )
        reply: ContentReply = codec.decode(answer, ContentReply)  # type: ignore[arg-type]
        if isinstance(reply, ContentRefused):
            raise BadRequest(reply.reason)
        return reply

    async def drop(self, source: SourceKey) -> None:
        """Forget it."""
        self.held.pop(source, None)
        await self._storage.drop(source)
