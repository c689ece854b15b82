"""The user's own terminal: raw while a program elsewhere has it, its size, and what is typed."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import termios
import threading
import tty
from collections.abc import AsyncGenerator, Callable, Iterator

CHUNK = 32 * 1024


def is_terminal() -> bool:
    """Whether somebody types."""
    return sys.stdin.isatty()


@contextlib.contextmanager
def raw() -> Iterator[None]:
    """Every key goes through as it is, Ctrl-C too; afterwards the terminal is as before."""
    before = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSANOW)  # what was typed ahead is kept
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextlib.contextmanager
def resizes(tell: Callable[[], None]) -> Iterator[None]:
    """Call it whenever the window's size changes."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGWINCH, tell)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)


def size() -> tuple[int, int]:
    """Columns and rows."""
    found = os.get_terminal_size(0) if os.isatty(0) else shutil.get_terminal_size()
    return found.columns, found.lines


async def typed() -> AsyncGenerator[bytes, None]:
    """Standard input until its end, a piece at a time.

    A thread reads, since neither a terminal nor a file can be waited for in every event loop; it is
    a daemon, since a read of a terminal cannot be taken back when the program elsewhere has ended.
    """
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[bytes](maxsize=2)

    def read() -> None:
        while True:
            try:
                chunk = os.read(0, CHUNK)
            except OSError:
                chunk = b""
            try:
                asyncio.run_coroutine_threadsafe(queue.put(chunk), loop).result()
            except (RuntimeError, asyncio.CancelledError):
                return  # the loop has ended
            if not chunk:
                return

    threading.Thread(target=read, name="stdin", daemon=True).start()
    while chunk := await queue.get():
        yield chunk


def write_all(descriptor: int, content: bytes) -> None:
    """All of it, however slowly it is read."""
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]
