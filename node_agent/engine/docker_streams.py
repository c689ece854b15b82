"""What Docker tells without end: a container's log, and events of its objects."""

import json
from collections.abc import Mapping

import aiohttp

from node_agent.engine import EngineEvent
from node_agent.engine.frames import Deframer
from proto.errors import Unavailable

_PIECE_BYTES_MAX = 65_536


class DockerLogs:
    """A log's bytes, without the frames that tell the two outputs apart."""

    def __init__(self, response: aiohttp.ClientResponse, *, is_raw: bool) -> None:
        self._response = response
        self._is_raw = is_raw
        self._frames = Deframer()

    async def read(self) -> bytes:
        """See `LogStream`."""
        while True:
            try:
                chunk = await self._response.content.read(_PIECE_BYTES_MAX)
            except (aiohttp.ClientError, OSError) as error:
                raise Unavailable(f"the log's stream broke: {error}") from error
            piece = chunk if self._is_raw or not chunk else self._frames.feed(chunk)
            if piece or not chunk:
                return piece

    async def close(self) -> None:
        """See `LogStream`."""
        self._response.close()  # not released: there is no end to wait for


_INTERESTING = frozenset({"start", "die", "destroy", "rename"})
"""What changes more than we do ourselves: a creation is answered, a signal's effect is a death."""


class DockerEvents:
    """Docker's event stream, of the objects with these labels."""

    def __init__(self, response: aiohttp.ClientResponse, ours: Mapping[str, str]) -> None:
        self._response = response
        self._content = response.content
        self._ours = ours

    async def get(self) -> EngineEvent:
        """See `EventStream`."""
        while True:
            try:
                line = await self._content.readline()
            except (aiohttp.ClientError, OSError, ValueError) as error:
                raise Unavailable(f"Docker's event stream broke: {error}") from error
            if not line:
                raise Unavailable("Docker's event stream ended")
            found = json.loads(line)
            action = found.get("Action", "")
            actor = found.get("Actor", {})
            if found.get("Type") == "image":
                return EngineEvent("", action)
            is_ours = self._ours.items() <= actor.get("Attributes", {}).items()
            if is_ours and action in _INTERESTING:
                return EngineEvent(actor["ID"], action)

    async def close(self) -> None:
        """See `EventStream`."""
        self._response.close()  # not released: there is no end to wait for
