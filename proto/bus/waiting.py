"""Who waits for an answer to which message, where the message's store does not keep that."""

import hashlib
from collections import OrderedDict, deque
from collections.abc import Sequence

from proto.bus import MESSAGE_ID_HEADER, Envelope

REPLIES_MAX = 4096
"""Different messages whose publishers are remembered: a few hundred bytes each."""

SAME_MAX = 64
"""Publishers of one and the same message that are remembered."""

ANSWERS_MAX = 1024
ANSWER_KEPT_S = 1.0
"""An answer serves those who publish the message again meanwhile: ten times the window in which the
store swallows a repeated message, so that nobody waits for one that will never be delivered."""


class WaitingPublishers:
    """Reply subjects, by what the message says.

    Messages with the same id are the same event, and all their publishers get its answer. Without
    an id each is an event of its own, answered in the order of publishing.
    """

    def __init__(self) -> None:
        self._replies: OrderedDict[bytes, deque[str]] = OrderedDict()
        self._answers: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()

    def remember(self, envelope: Envelope, now_s: float) -> bytes | None:
        """Somebody published this and waits; returns the answer, if there is one already."""
        key = _digest(envelope)
        answered_at, answer = self._answers.get(key, (0.0, b""))
        if answer and now_s - answered_at < ANSWER_KEPT_S:
            return answer
        self._replies.setdefault(key, deque(maxlen=SAME_MAX)).append(envelope.reply)
        if len(self._replies) > REPLIES_MAX:  # the oldest messages are forgotten first
            self._replies.popitem(last=False)
        return None

    def answered(self, envelope: Envelope, answer: bytes, now_s: float) -> Sequence[str]:
        """The reply subjects of those who wait for it; they wait no longer."""
        key = _digest(envelope)
        replies = self._replies.pop(key, deque())
        if MESSAGE_ID_HEADER in envelope.headers:
            self._answers[key] = now_s, answer
            self._answers.move_to_end(key)
            if len(self._answers) > ANSWERS_MAX:
                self._answers.popitem(last=False)
            return tuple(replies)
        first = (replies.popleft(),) if replies else ()
        if replies:
            self._replies[key] = replies
        return first


def _digest(envelope: Envelope) -> bytes:
    digest = hashlib.blake2b(envelope.payload, digest_size=16)
    digest.update(repr((envelope.subject, sorted(envelope.headers.items()))).encode())
    return digest.digest()
