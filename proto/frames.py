"""What a byte stream over the bus is cut into, and how much of it may be under way.

A stream has two ends and two directions, each its own. Every frame says how much its sender had
sent before it, and how much its sender takes from the other end, both counted from the start of the
stream. So a lost frame is noticed by the next one, and a lost grant is healed by it.
"""

import struct
from enum import IntEnum

from msgspec import Struct

from proto.errors import BadRequest, Unavailable

_HEADER = struct.Struct(">BBQQ")

FRAME_COST_BYTES = 64
"""What a frame costs besides its bytes, so that many small ones are bounded as well."""

WINDOW_BYTES = 262_144
"""Of one direction: enough to keep a local stream busy, little enough to have thousands."""

PIECE_BYTES_MAX = 65_536 - FRAME_COST_BYTES
"""Of one frame: a quarter of a window, so that sending and taking overlap."""


class Channel(IntEnum):
    """What a frame carries. The first five have Kubernetes' numbers (channel.k8s.io)."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    OUTCOME = 3
    """`messages.StreamOutcome`, once, after everything else."""
    RESIZE = 4
    """`messages.TerminalSize`."""
    NOTHING = 254
    """Only to be heard, and to grant."""
    CLOSE = 255
    """The sender is done with the stream, in both directions."""


class Frame(Struct, frozen=True):
    """One message of a stream.

    Attributes:
        offset: What its sender had sent before it, frames' own costs included.
        granted: What its sender takes in all.
        is_last: Nothing follows on this channel.
    """

    channel: Channel
    offset: int = 0
    granted: int = 0
    is_last: bool = False
    data: bytes = b""

    @property
    def cost(self) -> int:
        """What it takes of the window."""
        if self.channel is Channel.NOTHING:
            return 0
        return len(self.data) + FRAME_COST_BYTES

    def encode(self) -> bytes:
        """For the bus."""
        return _HEADER.pack(self.channel, self.is_last, self.offset, self.granted) + self.data


def decode(payload: bytes) -> Frame:
    """What `Frame.encode` made.

    Raises:
        BadRequest: It made something else.
    """
    try:
        channel, is_last, offset, granted = _HEADER.unpack_from(payload)
        return Frame(Channel(channel), offset, granted, bool(is_last), payload[_HEADER.size :])
    except (struct.error, ValueError) as error:
        raise BadRequest(f"no frame of a stream: {error}") from error


class Credit:
    """One end's account: what it sent and took, and what either may still send."""

    def __init__(self, window_bytes: int = WINDOW_BYTES) -> None:
        self._window = window_bytes
        self._granted = window_bytes
        self._told = window_bytes
        self._sent = 0
        self._received = 0
        self._taken = 0

    @property
    def room(self) -> int:
        """Bytes that the next frame may hold; 0: wait for a grant."""
        return min(max(0, self._granted - self._sent - FRAME_COST_BYTES), PIECE_BYTES_MAX)

    @property
    def is_grant_due(self) -> bool:
        """Whether so much was taken that the other end should hear of it."""
        return self._taken + self._window - self._told >= self._window // 4

    def stamp(self, channel: Channel, data: bytes = b"", *, is_last: bool = False) -> Frame:
        """The next frame to send."""
        self._told = self._taken + self._window
        frame = Frame(channel, self._sent, self._told, is_last, data)
        self._sent += frame.cost
        return frame

    def receive(self, frame: Frame) -> bool:
        """Account for a frame of the other end; False for one that came twice.

        Raises:
            Unavailable: A frame before it was lost.
            BadRequest: The other end sends more than it was granted.
        """
        self._granted = max(self._granted, frame.granted)
        if frame.offset > self._received:
            raise Unavailable(f"{frame.offset - self._received} bytes of the stream were lost")
        if frame.offset < self._received:
            return False
        self._received += frame.cost
        # The close is told whatever the window.
        if self._received > self._told + FRAME_COST_BYTES:
            raise BadRequest("the other end of the stream sends more than it was granted")
        return True

    def take(self, frame: Frame) -> None:
        """The frame's reader has it: there is room for as much more."""
        self._taken += frame.cost
