"""What is at the node's end of a stream, and how its bytes get there and back."""

import asyncio
from typing import Protocol

import structlog

from node_agent.engine import Console, LogStream
from proto import codec
from proto.bus.stream import Stream
from proto.errors import BadRequest, LongshoreError, Unavailable
from proto.frames import Channel, Frame
from proto.messages import StreamOutcome, TerminalSize

log = structlog.get_logger()

PIECE_BYTES_MAX = 65_536
CONNECT_TIMEOUT_S = 10.0
"""A pod's own network answers within milliseconds, or not at all."""


class Relay(Protocol):
    """One thing that is read and written."""

    async def copy_out(self, stream: Stream) -> StreamOutcome:
        """Send what it says, to its end.

        Raises:
            Unavailable: It broke, or the stream did.
        """
        ...

    async def take_in(self, frame: Frame) -> None:
        """Give it what was said to it; waits until it takes it.

        Raises:
            Unavailable: It takes no more.
        """
        ...

    async def close(self) -> None:
        """End it."""
        ...


async def run(relay: Relay, stream: Stream) -> None:
    """Both directions, until what is read has ended or the reader has."""
    async with asyncio.TaskGroup() as tasks:
        inward = tasks.create_task(_copy_in(relay, stream))
        outward = tasks.create_task(_copy_out(relay, stream))
        gone = tasks.create_task(stream.wait_closed())
        await asyncio.wait((outward, gone), return_when=asyncio.FIRST_COMPLETED)
        for task in (inward, outward, gone):
            task.cancel()


async def _copy_out(relay: Relay, stream: Stream) -> None:
    """All of it, and how it ended."""
    try:
        try:
            outcome = await relay.copy_out(stream)
        except LongshoreError as error:
            outcome = StreamOutcome(error=str(error))
        await stream.send(Channel.OUTCOME, codec.encode(outcome))
    except Unavailable as error:
        log.info("stream.broken", error=str(error))


async def _copy_in(relay: Relay, stream: Stream) -> None:
    has_input_ended = False
    try:
        while (frame := await stream.receive()) is not None:
            if frame.channel is Channel.STDIN and has_input_ended:
                continue  # what comes after the end was never said
            has_input_ended |= frame.channel is Channel.STDIN and frame.is_last
            await relay.take_in(frame)
    except LongshoreError as error:
        log.info("stream.input_ended", error=str(error))
        await _drain(stream)


async def _drain(stream: Stream) -> None:
    """What nobody takes must not hold up what comes behind it, above all the end."""
    try:
        while await stream.receive() is not None:
            pass
    except Unavailable:
        pass  # told by the other direction


class LogRelay:
    """A container's log."""

    def __init__(self, source: LogStream, bytes_max: int | None) -> None:
        self._source = source
        self._left = bytes_max

    async def copy_out(self, stream: Stream) -> StreamOutcome:
        """See `Relay`."""
        while self._left != 0 and (piece := await self._source.read()):
            if self._left is not None:
                piece = piece[: self._left]
                self._left -= len(piece)
            await stream.send(Channel.STDOUT, piece)
        return StreamOutcome()

    async def take_in(self, frame: Frame) -> None:
        """Nobody speaks to a log."""

    async def close(self) -> None:
        """See `Relay`."""
        await self._source.close()


class ConsoleRelay:
    """A running program."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def copy_out(self, stream: Stream) -> StreamOutcome:
        """See `Relay`."""
        while (output := await self._console.read()) is not None:
            channel = Channel.STDERR if output.is_error else Channel.STDOUT
            await stream.send(channel, output.data)
        return StreamOutcome(exit_code=await self._console.exit_code())

    async def take_in(self, frame: Frame) -> None:
        """See `Relay`."""
        if frame.channel is Channel.RESIZE:
            await self._resize(frame.data)
        elif frame.channel is Channel.STDIN:
            if frame.data:
                await self._console.write(frame.data)
            if frame.is_last:
                await self._console.end_input()

    async def _resize(self, data: bytes) -> None:
        try:
            size = codec.decode(data, TerminalSize)
        except BadRequest as error:
            log.info("console.not_resized", error=str(error))
            return
        await self._console.resize(size.width, size.height)

    async def close(self) -> None:
        """See `Relay`."""
        await self._console.close()


class ConnectionRelay:
    """A TCP connection to a pod."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def copy_out(self, stream: Stream) -> StreamOutcome:
        """See `Relay`."""
        try:
            while piece := await self._reader.read(PIECE_BYTES_MAX):
                await stream.send(Channel.STDOUT, piece)
        except OSError as error:
            raise Unavailable(f"the connection to the pod broke: {error}") from error
        return StreamOutcome()

    async def take_in(self, frame: Frame) -> None:
        """See `Relay`."""
        try:
            if frame.data:
                self._writer.write(frame.data)
                await self._writer.drain()
            if frame.is_last:
                self._writer.write_eof()
        except OSError as error:
            raise Unavailable(f"the pod takes no more: {error}") from error

    async def close(self) -> None:
        """See `Relay`."""
        self._writer.close()


async def connect(address: str, port: int) -> ConnectionRelay:
    """Connect to a pod.

    Raises:
        Unavailable: Nobody listens there, or nobody answers.
    """
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(address, port, limit=PIECE_BYTES_MAX)
    except (OSError, TimeoutError) as error:
        reason = str(error) or "no answer"
        raise Unavailable(f"failed to connect to {address}:{port} in the pod: {reason}") from error
    return ConnectionRelay(reader, writer)
