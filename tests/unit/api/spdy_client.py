"""A SPDY/3.1 client in a few lines, for tests: kubectl's side of a session."""

import struct
import zlib
from collections.abc import Iterator

from orchestrator.api.spdy_dictionary import DICTIONARY


class Client:
    """What it sends, and what it makes of an answer."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._buffer = b""

    def open(self, stream: int, *, is_last: bool = False, **headers: str) -> bytes:
        block = struct.pack(">I", len(headers))
        for name, value in headers.items():
            for text in (name, value):
                block += struct.pack(">I", len(text)) + text.encode()
        packed = self._deflate.compress(block) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        body = struct.pack(">IIH", stream, 0, 0) + packed
        return control(1, body, flags=1 if is_last else 0)

    def data(self, stream: int, content: bytes = b"", *, is_last: bool = False) -> bytes:
        return struct.pack(">II", stream, (1 << 24 if is_last else 0) | len(content)) + content

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes, bool]]:
        """Data frames (stream, bytes, whether the last); control frames are left out."""
        self._buffer += chunk
        while len(self._buffer) >= 8:
            head, tail = struct.unpack_from(">II", self._buffer)
            length = tail & 0xFFFFFF
            if len(self._buffer) < 8 + length:
                return
            body, self._buffer = self._buffer[8 : 8 + length], self._buffer[8 + length :]
            if not head >> 31:
                yield head, body, bool(tail >> 24 & 1)


def control(type_: int, body: bytes, *, flags: int = 0, version: int = 3) -> bytes:
    return struct.pack(">HHI", 0x8000 | version, type_, flags << 24 | len(body)) + body
