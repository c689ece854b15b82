"""Docker's connections to running programs."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import structlog

from node_agent.engine import Output
from node_agent.engine.frames import FrameReader
from proto.errors import LongshoreError, Unavailable

log = structlog.get_logger()

_PIECE_BYTES_MAX = 65_536

END_S = 5.0
"""How long after its last output a program may take to have ended."""

LOOK_AGAIN_S = 0.01

Look = Callable[[], Awaitable[dict[str, Any]]]
Resize = Callable[[int, int], Awaitable[None]]


class DockerConsole:
    """See `Console`."""

    def __init__(
        self,
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        resize: Resize,
        *,
        is_raw: bool,
        can_end_input: bool,
        look: Look | None = None,
        container_id: str = "",
    ) -> None:
        """Takes over an upgraded connection.

        Args:
            connection: To Docker.
            resize: Tells Docker the terminal's columns and rows.
            is_raw: There is a terminal: its output has no frames.
            can_end_input: Whether the program may see the end; Docker would take the outputs away
                from who ends a terminal's input, or one that stays open for the next client.
            look: Inspects what was executed; None for a container's own program.
            container_id: Where it was.
        """
        self._reader, self._writer = connection
        self._frames = FrameReader(self._reader)
        self._resize = resize
        self._is_raw = is_raw
        self._can_end_input = can_end_input
        self._look = look
        self._container_id = container_id
        self._has_ended = False

    async def read(self) -> Output | None:
        """See `Console`."""
        try:
            if self._is_raw:
                data = await self._reader.read(_PIECE_BYTES_MAX)
                found = Output(data) if data else None
            else:
                found = await self._frames.read(_PIECE_BYTES_MAX)
        except (OSError, EOFError) as error:
            raise Unavailable(f"the program's connection broke: {error}") from error
        self._has_ended = found is None
        return found

    async def write(self, data: bytes) -> None:
        """See `Console`."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise Unavailable(f"the program takes no input: {error}") from error

    async def end_input(self) -> None:
        """See `Console`."""
        try:
            if self._can_end_input:
                self._writer.write_eof()
        except OSError:
            pass  # it ended by itself

    async def resize(self, width: int, height: int) -> None:
        """See `Console`."""
        try:
            await self._resize(width, height)
        except LongshoreError as error:
            log.debug("console.not_resized", error=str(error))

    async def exit_code(self) -> int | None:
        """See `Console`."""
        if self._look is None:
            return None
        try:
            async with asyncio.timeout(END_S):
                while (found := await self._look())["Running"]:  # noqa: ASYNC110  Docker does not tell
                    await asyncio.sleep(LOOK_AGAIN_S)
        except TimeoutError:
            return None  # it gave its outputs away and goes on
        code: int | None = found["ExitCode"]
        return code

    async def close(self) -> None:
        """See `Console`."""
        self._writer.close()
        if self._look is None or self._has_ended:
            return
        try:
            found = await self._look()
        except LongshoreError as error:
            log.warning("console.left_running", error=str(error))
            return
        if found["Running"] and not kill(found["Pid"], self._container_id):
            log.warning("console.left_running", container=self._container_id, pid=found["Pid"])


def kill(pid: int, container_id: str) -> bool:
    """Whether a container's process was ended: by root, on the engine's own host.

    Docker ends no executed program itself. Closing its connection ends those that read their input.

    Args:
        pid: As the engine's host numbers it.
        container_id: Guards against a number that means another process here.
    """
    try:
        if pid <= 0 or container_id not in Path(f"/proc/{pid}/cgroup").read_text():
            return False
        os.kill(pid, signal.SIGKILL)
    except OSError:
        return False
    return True
