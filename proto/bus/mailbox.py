"""What a subscription keeps for its reader: bounded, and what does not fit is counted."""

import asyncio
from collections import deque

from proto.bus import Envelope
from proto.errors import Unavailable

MAILBOX_BYTES_MAX = 128 * 1024 * 1024
"""Payload bytes kept for one slow reader. Source: nats-py's default pending_bytes_limit."""


class Mailbox:
    """A queue between a connection and its reader: putting never waits, getting does.

    A message is taken out in the same step that returns it, so a cancelled reader loses none.

    Attributes:
        dropped: Messages thrown away because the reader was too slow.
    """

    def __init__(self, limit: int) -> None:
        self.dropped = 0
        self._limit = limit
        self._kept: deque[Envelope] = deque()
        self._bytes = 0
        self._bell = asyncio.Event()
        self._is_closed = False

    def put(self, envelope: Envelope) -> bool:
        """Keep the message; False when it was dropped because the mailbox is full."""
        if self._is_closed:
            return True  # nobody will read it: that is no reader's slowness
        bytes_then = self._bytes + len(envelope.payload)
        if len(self._kept) >= self._limit or bytes_then > MAILBOX_BYTES_MAX:
            self.dropped += 1
            return False
        self._kept.append(envelope)
        self._bytes = bytes_then
        self._bell.set()
        return True

    async def get(self) -> Envelope:
        """The oldest message; waits for it.

        Raises:
            Unavailable: The subscription was closed, and everything kept has been read.
        """
        while not self._kept:
            if self._is_closed:
                raise Unavailable("the subscription is closed")
            self._bell.clear()
            await self._bell.wait()
        envelope = self._kept.popleft()
        self._bytes -= len(envelope.payload)
        return envelope

    def close(self) -> None:
        """Take no more messages, and tell a reader that waits."""
        self._is_closed = True
        self._bell.set()
