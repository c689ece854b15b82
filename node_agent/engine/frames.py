"""Docker's framing of a container's two outputs. Source: Docker API, "Attach to a container".

Each frame is a header of eight bytes (which output, three zeros, the length in big endian) and that
many bytes. A program that writes line by line makes a frame of every line, so frames are taken off
whole chunks at once.
"""

import asyncio

from node_agent.engine import Output

_HEADER_BYTES = 8


class Deframer:
    """Chunks cut anywhere, to the bytes that the program wrote."""

    def __init__(self) -> None:
        self._header = b""
        self._left = 0
        """Bytes of the present frame that are still to come."""

    def feed(self, chunk: bytes) -> bytes:
        """The output in this chunk; may be empty."""
        pieces = []
        at = 0
        while at < len(chunk):
            if self._left:
                piece = chunk[at : at + self._left]
                pieces.append(piece)
                self._left -= len(piece)
                at += len(piece)
            else:
                part = chunk[at : at + _HEADER_BYTES - len(self._header)]
                self._header += part
                at += len(part)
                if len(self._header) == _HEADER_BYTES:
                    self._left = int.from_bytes(self._header[4:], "big")
                    self._header = b""
        return b"".join(pieces)


class FrameReader:
    """Frames as they are, from a stream that waits for its reader."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._left = 0
        self._is_error = False

    async def read(self, bytes_max: int) -> Output | None:
        """The next part of one output; None at the end.

        Raises:
            EOFError: The stream ended within a frame.
        """
        while not self._left:
            header = await self._reader.read(1)
            if not header:
                return None
            header += await self._reader.readexactly(_HEADER_BYTES - 1)
            self._is_error = header[0] == 2
            self._left = int.from_bytes(header[4:], "big")
        data = await self._reader.read(min(self._left, bytes_max))
        if not data:
            raise EOFError("the stream ended within a frame")
        self._left -= len(data)
        return Output(data, self._is_error)
