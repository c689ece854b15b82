"""The last words of containers: a file each, which the container has as its termination log."""

import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from node_agent.storage import MESSAGE_BYTES_MAX, MESSAGE_UNCLAIMED_S


def prepare(folder: Path, name: str) -> str:
    """An empty file that everybody may write; its path.

    Raises:
        OSError: It cannot be made.
    """
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(b"")
    path.chmod(0o666)
    return str(path)


def read(folder: Path, name: str) -> str:
    """What is in it; its beginning, when it is too much.

    Raises:
        OSError: It is there, and cannot be read.
    """
    try:
        with (folder / name).open("rb") as file:
            return file.read(MESSAGE_BYTES_MAX).decode(errors="replace")
    except FileNotFoundError:
        return ""


def sweep(folder: Path, known: Collection[str]) -> None:
    """Remove the others that nobody has touched for a while.

    Raises:
        OSError: One cannot be removed.
    """
    oldest = time.time() - MESSAGE_UNCLAIMED_S
    for path in folder.iterdir() if folder.exists() else ():
        with suppress(FileNotFoundError):
            if path.name not in known and path.stat().st_mtime < oldest:
                path.unlink()
