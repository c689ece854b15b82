"""What an engine in memory tells: events as they happen, and logs."""

import asyncio
from collections import deque

from node_agent.engine import EngineEvent
from proto.errors import Unavailable


class FakeEvents:
    """See `EventStream`."""

    def __init__(self) -> None:
        self._waiting: deque[EngineEvent | None] = deque()
        self._bell = asyncio.Event()

    def put(self, event: EngineEvent | None) -> None:
        """An event, or None for the end."""
        self._waiting.append(event)
        self._bell.set()

    async def get(self) -> EngineEvent:
        """See `EventStream`."""
        while not self._waiting:
            self._bell.clear()
            await self._bell.wait()
        event = self._waiting.popleft()
        if event is None:
            self._waiting.append(None)
            raise Unavailable("the event stream broke")
        return event

    async def close(self) -> None:
        """See `EventStream`."""
        self.put(None)


class FakeLogs:
    """See `LogStream`."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def read(self) -> bytes:
        """See `LogStream`."""
        piece, self._content = self._content[:65_536], self._content[65_536:]
        return piece

    async def close(self) -> None:
        """See `LogStream`."""
