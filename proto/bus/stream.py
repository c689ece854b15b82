"""A byte stream over the bus, the same at both ends: in order, whole or broken, and bounded.

At most `frames.WINDOW_BYTES` of a direction are under way or wait for their reader: a slow reader
holds the sender up instead of filling memory. The bus may lose a message: then the stream breaks,
as a connection would. Either end may also vanish: who was silent for `SILENCE_S` has.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from proto import frames
from proto.bus import Bus, Subscription
from proto.errors import LongshoreError, Unavailable
from proto.frames import Channel, Credit, Frame

log = structlog.get_logger()

KEEP_ALIVE_S = 5.0
"""Each end is heard at least so often; the same message grants, in case a grant was lost."""

SILENCE_S = 30.0
"""Six of them."""


class Stream:
    """One end. Made by `open_end`."""

    def __init__(self, bus: Bus, subject: str) -> None:
        self._bus = bus
        self._subject = subject
        self._credit = Credit()
        self._inbox: deque[Frame] = deque()
        self._bell = asyncio.Event()
        self._room_bell = asyncio.Event()
        self._closed = asyncio.Event()
        self._failure: LongshoreError | None = None

    async def send(self, channel: Channel, data: bytes = b"", *, is_last: bool = False) -> None:
        """All of it, as the other end grants it.

        Raises:
            Unavailable: The other end has gone, or the stream is broken.
        """
        view = memoryview(data)
        while True:
            room = await self._room()
            piece, view = view[:room], view[room:]
            await self._publish(
                self._credit.stamp(channel, bytes(piece), is_last=is_last and not view)
            )
            if not view:
                return

    async def _room(self) -> int:
        while True:
            if self._failure is not None:
                raise Unavailable(str(self._failure))
            if self._closed.is_set():
                raise Unavailable("the other end has closed the stream")
            if room := self._credit.room:
                return room
            self._room_bell.clear()
            await self._room_bell.wait()

    async def receive(self) -> Frame | None:
        """The next frame; None once the other end has closed the stream.

        Raises:
            Unavailable: The stream is broken: what follows is lost.
        """
        while not self._inbox:
            if self._failure is not None:
                raise Unavailable(str(self._failure))
            if self._closed.is_set():
                return None
            self._bell.clear()
            await self._bell.wait()
        frame = self._inbox.popleft()
        self._credit.take(frame)
        if self._credit.is_grant_due and not self._closed.is_set():
            await self._publish(self._credit.stamp(Channel.NOTHING))
        return frame

    async def wait_closed(self) -> None:
        """Until the other end has closed the stream or vanished, whatever is still to be read."""
        await self._closed.wait()

    async def _publish(self, frame: Frame) -> None:
        try:
            await self._bus.publish(self._subject, frame.encode())
        except Unavailable as error:
            if frame.channel is not Channel.NOTHING:  # a grant is repeated
                self._fail(error)
                raise

    def _fail(self, error: LongshoreError) -> None:
        self._failure = self._failure or error
        self._close()

    def _close(self) -> None:
        self._closed.set()
        self._bell.set()
        self._room_bell.set()

    # -------------------------------------------------------- in the background

    async def listen(self, subscription: Subscription) -> None:
        """Take in what comes, until the other end is done or gone."""
        try:
            while not self._closed.is_set():
                async with asyncio.timeout(SILENCE_S):
                    envelope = await subscription.get()
                self._hear(frames.decode(envelope.payload))
        except TimeoutError:
            self._fail(Unavailable(f"the other end of the stream was silent for {SILENCE_S:.0f} s"))
        except LongshoreError as error:
            self._fail(error)

    def _hear(self, frame: Frame) -> None:
        is_new = self._credit.receive(frame)
        self._room_bell.set()
        if frame.channel is Channel.CLOSE:
            self._close()
        elif is_new and frame.channel is not Channel.NOTHING:
            self._inbox.append(frame)
            self._bell.set()

    async def keep_alive(self) -> None:
        """Be heard."""
        while not self._closed.is_set():
            await self._publish(self._credit.stamp(Channel.NOTHING))
            await asyncio.sleep(KEEP_ALIVE_S)

    async def say_goodbye(self) -> None:
        """The other end hears that this one is done."""
        if self._failure is None:
            try:
                await self._publish(self._credit.stamp(Channel.CLOSE))
            except Unavailable as error:
                log.info("stream.goodbye_unsent", subject=self._subject, error=str(error))


@asynccontextmanager
async def open_end(bus: Bus, *, hears: str, speaks: str) -> AsyncIterator[Stream]:
    """One end of a stream, until the context ends, which closes it.

    Args:
        bus: What carries it.
        hears: The subject on which the other end speaks.
        speaks: The subject on which the other end hears.
    """
    subscription = await bus.subscribe(hears)
    stream = Stream(bus, speaks)
    failure: Exception | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            background = (
                tasks.create_task(stream.listen(subscription)),
                tasks.create_task(stream.keep_alive()),
            )
            try:
                yield stream
            except Exception as error:  # noqa: BLE001  raised below, outside the group, as it is
                failure = error
            finally:
                for task in background:
                    task.cancel()
                await stream.say_goodbye()
    finally:
        await subscription.close()
    if failure is not None:
        raise failure
