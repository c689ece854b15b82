"""Who waits for an answer to which message, where the message's store does not keep that."""

import hashlib
from collections import OrderedDict, deque

from proto.bus import Envelope

REPLIES_MAX = 4096
"""Different messages whose publishers are remembered: a few hundred bytes each."""

SAME_MAX = 64
"""Publishers of one and the same message that are remembered."""


class WaitingPublishers:
    """Reply subjects, by what the message says."""

    def __init__(self) -> None:
        self._replies: OrderedDict[bytes, deque[str]] = OrderedDict()

    def remember(self, envelope: Envelope) -> None:
        """Somebody published this and waits; the oldest messages are forgotten first."""
        replies = self._replies.setdefault(self._digest(envelope), deque(maxlen=SAME_MAX))
        replies.append(envelope.reply)
        if len(self._replies) > REPLIES_MAX:
            self._replies.popitem(last=False)

    def take(self, envelope: Envelope) -> str:
        """The longest waiting publisher of that message; empty when nobody is known to wait."""
        key = self._digest(envelope)
        replies = self._replies.get(key)
        reply = replies.popleft() if replies else ""
        if not replies:
            self._replies.pop(key, None)
        return reply

    @staticmethod
    def _digest(envelope: Envelope) -> bytes:
        digest = hashlib.blake2b(envelope.payload, digest_size=16)
        digest.update(repr((envelope.subject, sorted(envelope.headers.items()))).encode())
        return digest.digest()
