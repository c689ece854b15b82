"""Opens streams to agents, over the bus; see `proto.bus.stream` for what carries them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from msgspec.structs import replace

from proto import codec, subjects
from proto.bus import Bus
from proto.bus.stream import Stream, open_end
from proto.errors import BadRequest, Forbidden, NotFound, Unavailable
from proto.messages import StreamFailed, StreamReply, StreamRequest

OPEN_TIMEOUT_S = 15.0
"""Docker starts a program in a tenth of a second, on two busy cores in some; connecting to a port
that does not answer takes 10 s."""


class Streams:
    """Opens streams to agents."""

    def __init__(self, bus: Bus, new_id: Callable[[], str]) -> None:
        self._bus = bus
        self._new_id = new_id

    @property
    def can_reach_nodes(self) -> bool:
        """Whether agents hear us at all."""
        return self._bus.connected

    @asynccontextmanager
    async def open(self, node: str, request: StreamRequest) -> AsyncIterator[Stream]:
        """A stream, until the context ends, which ends it on the node as well.

        Args:
            node: Where the pod runs.
            request: What to connect to; its stream is filled in here.

        Raises:
            Unavailable: The node's agent does not answer.
            NotFound, BadRequest, Forbidden: In the agent's words.
        """
        name = self._new_id()
        asked = codec.encode(replace(request, stream=name))
        async with open_end(
            self._bus,
            hears=subjects.stream_from_node(name),
            speaks=subjects.stream_to_node(name),
        ) as stream:
            answer = await self._bus.request(
                subjects.open_stream(node), asked, timeout_s=OPEN_TIMEOUT_S
            )
            _check(codec.decode(answer, StreamReply))  # type: ignore[arg-type]
            yield stream


def _check(reply: StreamReply) -> None:
    if isinstance(reply, StreamFailed):
        refused = {404: NotFound, 400: BadRequest, 403: Forbidden}
        raise refused.get(reply.code, Unavailable)(reply.reason)
