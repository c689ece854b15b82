"""How `longshore node …` talks to the `longshore up` that runs in the same data directory.

One connection to a Unix socket, one line of JSON each way. Whoever may open the socket may control
the cluster: the data directory is its user's alone.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from msgspec import Struct

from orchestrator.cli.refused import Refused
from proto import codec
from proto.errors import LongshoreError

PATH_BYTES_MAX = 107
"""Source: unix(7), sun_path."""

COMMAND_S_MAX = 30.0
"""An engine with many containers is slow to kill them."""

ANSWER_S_MAX = COMMAND_S_MAX + 5


class Command(Struct, frozen=True):
    """What to do (``kill`` or ``start``) to which node."""

    verb: str
    node: str


class Answer(Struct, frozen=True):
    """What became of it; `refused` says why nothing did."""

    done: str = ""
    refused: str = ""


Handle = Callable[[Command], Awaitable[str]]


@contextlib.asynccontextmanager
async def serving(path: Path, handle: Handle) -> AsyncIterator[None]:
    """Answer commands for the length of the block."""
    if len(str(path).encode()) > PATH_BYTES_MAX:
        raise Refused(f"{path} is too long for a socket: choose a shorter --data")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(COMMAND_S_MAX):
                command = codec.decode(await reader.readline(), Command)
                said = Answer(done=await handle(command))
        except LongshoreError as error:
            said = Answer(refused=str(error))
        except TimeoutError:
            said = Answer(refused=f"not done within {COMMAND_S_MAX:g} s")
        with contextlib.suppress(ConnectionError):  # they did not wait
            writer.write(codec.encode(said) + b"\n")
            writer.close()
            await writer.wait_closed()

    path.unlink(missing_ok=True)  # noqa: ASYNC240 -- of a run that could not tidy up: we hold the lock
    server = await asyncio.start_unix_server(answer, path)
    try:
        async with server:
            yield
    finally:
        path.unlink(missing_ok=True)  # noqa: ASYNC240


async def ask(path: Path, command: Command) -> str:
    """Have the command done; returns what was.

    Raises:
        Refused: No cluster runs there, or it refused.
    """
    try:
        async with asyncio.timeout(ANSWER_S_MAX):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(codec.encode(command) + b"\n")
            line = await reader.readline()
            writer.close()
    except (FileNotFoundError, ConnectionRefusedError):
        raise Refused(f"no cluster runs in {path.parent}: start it with longshore up") from None
    except TimeoutError:
        raise Refused(f"no answer within {ANSWER_S_MAX:g} s: see {path.parent / 'logs'}") from None
    answer = codec.decode(line, Answer)
    if answer.refused:
        raise Refused(answer.refused)
    return answer.done
