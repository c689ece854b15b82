"""`longshore exec` and `attach`: a program in a container, with this terminal's input and output.

Protocol: v5.channel.k8s.io. Each message begins with the number of its channel; the end of the
input is a message on channel 255, the program's end a Status on channel 3.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from orchestrator.cli import terminal
from orchestrator.cli.client import Client, Json
from orchestrator.cli.refused import Refused
from orchestrator.cli.session import Session
from orchestrator.cli.verbs.pods import container_of, phase, pod_of
from orchestrator.cli.websocket import Socket
from proto import codec

PROTOCOL = "v5.channel.k8s.io"
STDIN, STDOUT, STDERR, STATUS, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
"""Channels."""

FRAME = 32 * 1024

Input = AsyncIterator[bytes]
Write = Callable[[int, bytes], Awaitable[None]]
"""Takes a channel, 1 or 2, and what came on it."""


class ExecOptions(Struct, frozen=True, kw_only=True):
    """How the program is connected."""

    container: str = ""
    has_stdin: bool = False
    has_stdout: bool = True
    has_tty: bool = False
    is_quiet: bool = False


async def execute(session: Session, word: str, command: Sequence[str], options: ExecOptions) -> int:
    """Run a program in a pod. Returns its exit code."""
    if not command:
        raise Refused(
            "you must specify at least one command for the container",
            hint=f"longshore exec {word} -- COMMAND ARGUMENTS",
        )
    pod = await pod_of(session, word)
    _check_alive(pod)
    container = container_of(session, pod, options.container, is_quiet=options.is_quiet)
    return await _at_terminal(session, pod, "exec", container, command, options)


async def attach(session: Session, word: str, options: ExecOptions) -> int:
    """Talk to the program that a container runs. Returns 0, or its exit code."""
    pod = await pod_of(session, word)
    _check_alive(pod)
    container = container_of(session, pod, options.container, is_quiet=options.is_quiet)
    if options.has_tty and not options.is_quiet and terminal.is_terminal():
        session.screen.tell("If you don't see a command prompt, try pressing enter.")
    return await _at_terminal(session, pod, "attach", container, (), options)


def _check_alive(pod: Json) -> None:
    if phase(pod) in ("Succeeded", "Failed"):
        name = pod["metadata"]["name"]
        raise Refused(
            f"cannot exec into a container in a completed pod; current phase is {phase(pod)}",
            hint=f"longshore logs {name} shows what it wrote",
        )


async def _at_terminal(
    session: Session,
    pod: Json,
    verb: str,
    container: str,
    command: Sequence[str],
    options: ExecOptions,
) -> int:
    has_tty = options.has_tty and terminal.is_terminal()
    if options.has_tty and not has_tty:
        session.screen.tell("Unable to use a TTY - input is not a terminal")
    params = stream_params(
        container,
        command,
        has_stdin=options.has_stdin,
        has_tty=has_tty,
        has_stdout=options.has_stdout,
    )
    metadata = pod["metadata"]
    pods = (await session.client.types()).of_kind("v1", "Pod")
    path = pods.path(metadata["namespace"], metadata["name"], verb)
    async with program(session.client, path, params) as connected:
        with contextlib.ExitStack() as stack:
            if has_tty:
                stack.enter_context(terminal.raw())
                stack.enter_context(terminal.resizes(connected.resize_soon))
                connected.resize_soon()
            given = terminal.typed() if options.has_stdin else None
            status = await connected.converse(given, _to_terminal)
    code, text = exit_code(status)
    if text:
        session.screen.tell(text)
    return code


def stream_params(
    container: str,
    command: Sequence[str],
    *,
    has_stdin: bool,
    has_tty: bool = False,
    has_stdout: bool = True,
) -> dict[str, str | list[str]]:
    """A terminal has no separate error output."""
    return {
        "container": container,
        "command": list(command),
        "stdin": "true" if has_stdin else "",
        "stdout": "true" if has_stdout else "",
        "stderr": "true" if has_stdout and not has_tty else "",
        "tty": "true" if has_tty else "",
    }


async def _to_terminal(channel: int, content: bytes) -> None:
    # In a thread: a reader that pauses must not stop what is typed.
    await asyncio.to_thread(terminal.write_all, channel, content)


@contextlib.asynccontextmanager
async def program(client: Client, path: str, params: Any) -> AsyncIterator["Program"]:
    """A program that runs at the other end of a WebSocket."""
    async with client.websocket(path, params, PROTOCOL) as socket, asyncio.TaskGroup() as group:
        yield Program(socket, group)


class Program:
    """Its channels."""

    def __init__(self, socket: Socket, group: asyncio.TaskGroup) -> None:
        self._socket = socket
        self._group = group

    async def converse(self, given: Input | None, write: Write) -> Json:
        """Pass on what is given until the program ends. Returns the Status of its end.

        Raises:
            Refused: The connection was lost before.
        """
        feeding = None if given is None else self._group.create_task(self._feed(given))
        try:
            while True:
                channel, content = await self._socket.receive()
                if channel == STATUS:
                    status: Json = codec.decode_any(content)
                    return status
                if content and channel in (STDOUT, STDERR):
                    await write(channel, content)
        except ConnectionError as error:
            raise Refused(f"the connection to the program was lost: {error}") from None
        finally:
            if feeding is not None:
                feeding.cancel()

    def resize_soon(self) -> None:
        """Tell the program the size of this terminal."""
        columns, rows = terminal.size()
        content = codec.encode({"Width": columns, "Height": rows})
        self._group.create_task(self._send(RESIZE, content))

    async def _feed(self, given: Input) -> None:
        with contextlib.suppress(ConnectionError):  # it ended: its Status says how
            async for chunk in given:
                for start in range(0, len(chunk), FRAME):
                    await self._socket.send(STDIN, chunk[start : start + FRAME])
            await self._send(CLOSE, bytes((STDIN,)))

    async def _send(self, channel: int, content: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            await self._socket.send(channel, content)


def exit_code(status: Json) -> tuple[int, str]:
    """The program's own, and what is to be said of it.

    >>> exit_code({"status": "Success"})
    (0, '')
    """
    if status.get("status") == "Success":
        return 0, ""
    message = str(status.get("message") or "the program ended, nobody knows how")
    for cause in (status.get("details") or {}).get("causes") or ():
        if cause.get("reason") == "ExitCode":
            return int(cause["message"]), message
    return 1, f"error: {message}"


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C ends the block early and quietly."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101 -- we are in a coroutine
    loop.add_signal_handler(signal.SIGINT, task.cancel)
    try:
        yield
    except asyncio.CancelledError:
        task.uncancel()
    finally:
        loop.remove_signal_handler(signal.SIGINT)
