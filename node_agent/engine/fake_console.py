"""Programs in memory: enough of ``cat``, ``echo`` and ``false`` to test what connects to them."""

import asyncio
from collections.abc import Mapping

from node_agent.engine import Output
from proto.errors import Unavailable

EXIT_CODES: Mapping[str, int] = {"false": 1, "nothing-by-that-name": 127}
"""Of programs that do not exit with 0; 127 means that there is none. Source: POSIX sh."""


class FakeConsole:
    """See `Console`. A program that is none of the known ones reads its input and says nothing."""

    def __init__(
        self,
        command: tuple[str, ...],
        exit_codes: Mapping[str, int] = EXIT_CODES,
        *,
        has_stdin: bool,
        is_executed: bool,
    ) -> None:
        self._program, *arguments = command or ("",)
        self._exit_code = exit_codes.get(self._program, 0)
        self._is_executed = is_executed
        self._pieces: asyncio.Queue[Output | None] = asyncio.Queue(maxsize=4)
        self._has_ended = False
        if self._program == "echo":
            self._pieces.put_nowait(Output(f"{' '.join(arguments)}\n".encode()))
        if self._program != "cat" or not has_stdin:
            self._end()

    def _end(self) -> None:
        self._has_ended = True
        self._pieces.put_nowait(None)

    async def read(self) -> Output | None:
        """See `Console`."""
        return await self._pieces.get()

    async def write(self, data: bytes) -> None:
        """See `Console`."""
        if self._has_ended:
            raise Unavailable("the program takes no input: it has ended")
        await self._pieces.put(Output(data))

    async def end_input(self) -> None:
        """See `Console`."""
        if not self._has_ended:
            self._has_ended = True
            await self._pieces.put(None)

    async def resize(self, width: int, height: int) -> None:
        """See `Console`."""

    async def exit_code(self) -> int | None:
        """See `Console`."""
        return self._exit_code if self._is_executed else None

    async def close(self) -> None:
        """See `Console`."""
        self._has_ended = True
