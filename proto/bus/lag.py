"""How far a JetStream consumer is behind, in the server's own words: its consumer info.

Asking is core NATS, one request: nothing is made, and nothing of the consumer changes.
Source: NATS, JetStream API reference, CONSUMER.INFO and its error codes.
"""

from msgspec import Struct

from proto import codec
from proto.errors import BadRequest, NotFound, Unavailable

_ABSENT = 404
_IN_NO_NAME = frozenset(" \t\r\n.*>/\\")


class Lag(Struct, frozen=True):
    """Messages that a consumer has still to do.

    Attributes:
        pending: Not delivered yet.
        ack_pending: Delivered, not acknowledged.
    """

    pending: int
    ack_pending: int

    @property
    def total(self) -> int:
        """Both together."""
        return self.pending + self.ack_pending


class _Error(Struct):
    code: int = 0
    description: str = ""


class _Info(Struct):
    error: _Error | None = None
    num_pending: int = 0
    num_ack_pending: int = 0


def no_consumer(stream: str, consumer: str) -> NotFound:
    """There is none of that name, or no such stream."""
    return NotFound(f'stream "{stream}" has no consumer "{consumer}"')


def info_subject(stream: str, consumer: str) -> str:
    """Where the server is asked.

    Raises:
        NotFound: One is no name that a stream or a consumer could have.
    """
    if not all(name and _IN_NO_NAME.isdisjoint(name) for name in (stream, consumer)):
        raise no_consumer(stream, consumer)
    return f"$JS.API.CONSUMER.INFO.{stream}.{consumer}"


def read(answer: bytes, stream: str, consumer: str) -> Lag:
    """The server's answer.

    Raises:
        NotFound: It knows of no such consumer.
        Unavailable: It does not know just now, or said something else.
    """
    try:
        info = codec.decode(answer, _Info)
    except BadRequest as error:
        raise Unavailable(f"the server's answer about {stream} makes no sense: {error}") from error
    if info.error is None:
        return Lag(info.num_pending, info.num_ack_pending)
    if info.error.code == _ABSENT:
        raise no_consumer(stream, consumer)
    raise Unavailable(f"no word of {stream}: {info.error.description}")
