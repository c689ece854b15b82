"""SPDY/3.1, as much as kubectl speaks, without any I/O: bytes to events and back.

kubectl tunnels exec (up to 1.29) and port-forward (all versions) through it. It uses streams,
pings and resets; it neither sends nor heeds window updates, priorities and settings.
Source: draft-mbelshe-httpbis-spdy-00 and github.com/moby/spdystream.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from enum import IntEnum

from msgspec import Struct

from orchestrator.api.spdy_dictionary import DICTIONARY
from proto.errors import BadRequest

FRAME_BYTES_MAX = 1 << 20
"""Of a frame that we accept. kubectl's have 32 KiB; the format would allow 16 MiB."""

HEADERS_BYTES_MAX = 65_536
"""Of a stream's headers, decompressed: a small frame must not become a large memory."""

_CONTROL = 0x80
_VERSION = 3
_FIN = 0x01
_PREFIX = struct.Struct(">II")  # what it is; flags (8 bits) and length (24 bits)
_LENGTH_MASK = 0xFF_FFFF
_ID_MASK = 0x7FFF_FFFF


class _Type(IntEnum):
    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    PING = 6
    GOAWAY = 7


class Opened(Struct, frozen=True):
    """The client opened a stream; answer it with `Session.accept`."""

    stream: int
    headers: Mapping[str, str]
    is_last: bool = False


class Data(Struct, frozen=True):
    """Bytes of a stream.

    Attributes:
        is_last: The client sends no more on it.
    """

    stream: int
    data: bytes
    is_last: bool = False


class Reset(Struct, frozen=True):
    """The client wants nothing more of a stream."""

    stream: int


class Ping(Struct, frozen=True):
    """The client wants to hear `Session.pong`."""

    id: int


Event = Opened | Data | Reset | Ping


class Session:
    """One connection's state: compression and half a frame."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """What a piece of the connection says; the rest is kept for the next one.

        Raises:
            BadRequest: It is no SPDY/3.
        """
        self._buffer += chunk
        at = 0
        try:
            while len(self._buffer) - at >= _PREFIX.size:
                head, tail = _PREFIX.unpack_from(self._buffer, at)
                flags, length = tail >> 24, tail & _LENGTH_MASK
                if length > FRAME_BYTES_MAX:
                    raise BadRequest(f"a SPDY frame of {length} bytes is too large")
                end = at + _PREFIX.size + length
                if end > len(self._buffer):
                    return
                body = bytes(self._buffer[at + _PREFIX.size : end])
                at = end
                event = self._event(head, flags, body)
                if event is not None:
                    yield event
        finally:
            del self._buffer[:at]

    def _event(self, head: int, flags: int, body: bytes) -> Event | None:
        is_last = bool(flags & _FIN)
        if not head >> 31:
            return Data(head, body, is_last)
        if (head >> 16) & 0x7FFF != _VERSION:
            raise BadRequest("only version 3 of SPDY is spoken here")
        try:
            match head & 0xFFFF:
                case _Type.SYN_STREAM:  # id, associated id, priority and slot, headers
                    id = int.from_bytes(body[:4], "big") & _ID_MASK
                    return Opened(id, self._headers(body[10:]), is_last)
                case _Type.RST_STREAM:
                    return Reset(int.from_bytes(body[:4], "big") & _ID_MASK)
                case _Type.PING if body[3] & 1:  # an even number is an answer to ours
                    return Ping(int.from_bytes(body[:4], "big"))
                case _:  # settings, window updates, goodbyes
                    return None
        except (zlib.error, struct.error, IndexError, UnicodeDecodeError) as error:
            raise BadRequest(f"a SPDY frame cannot be read: {error}") from error

    def _headers(self, block: bytes) -> dict[str, str]:
        plain = self._inflate.decompress(block, HEADERS_BYTES_MAX)
        if self._inflate.unconsumed_tail:
            raise BadRequest("the headers of a SPDY stream are too large")
        (count,) = struct.unpack_from(">I", plain)
        at, texts = 4, []
        for _ in range(2 * min(count, HEADERS_BYTES_MAX)):
            (length,) = struct.unpack_from(">I", plain, at)
            texts.append(plain[at + 4 : at + 4 + length].decode())
            at += 4 + length
        return {name.lower(): value for name, value in zip(texts[::2], texts[1::2], strict=True)}

    def accept(self, stream: int) -> bytes:
        """Tell the client that its stream is open."""
        block = self._deflate.compress(struct.pack(">I", 0))
        block += self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return _control(_Type.SYN_REPLY, struct.pack(">I", stream) + block)

    def data(self, stream: int, data: bytes = b"", *, is_last: bool = False) -> bytes:
        """Bytes of a stream."""
        flags = _FIN if is_last else 0
        return _PREFIX.pack(stream, flags << 24 | len(data)) + data

    def pong(self, ping: Ping) -> bytes:
        """The answer to a ping."""
        return _control(_Type.PING, struct.pack(">I", ping.id))


def _control(type_: _Type, body: bytes) -> bytes:
    return _PREFIX.pack(_CONTROL << 24 | _VERSION << 16 | type_, len(body)) + body


PING = _control(_Type.PING, struct.pack(">I", 2))
"""Asks whether the client is there. The answer is of no interest: writing fails if it is not."""
