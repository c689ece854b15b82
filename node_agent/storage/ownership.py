"""Whose a pod's folders and files are, and how much of the disk they take.

A pod's fsGroup has its volumes as the kubelet would: it may read what may only be read, write
where may be written, and gets what is made there. Source: kubernetes, pkg/volume/volume_linux.go.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

_BLOCK_BYTES = 512
"""Of ``st_blocks``, whatever the file system's own blocks are. Source: stat(2)."""

_GROUP_OF_FOLDER = stat.S_ISGID | stat.S_IRGRP | stat.S_IXGRP


def give(path: Path, group: int | None, mode: int) -> None:
    """Set a folder's or a file's mode, and its group; None: as it is.

    Raises:
        OSError: It cannot be done.
    """
    if group is not None:
        os.chown(path, -1, group)  # first: it takes away the bit that hands on the group
        mode |= _GROUP_OF_FOLDER if path.is_dir() else stat.S_IRGRP
    path.chmod(mode)


def used(folder: Path) -> int:
    """Bytes of the disk below it, a file with two names counted once; 0 without a folder."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for at, folders, files in os.walk(folder):
        for name in (*folders, *files):
            with suppress(FileNotFoundError):  # it went meanwhile
                found = (Path(at) / name).lstat()
                if (found.st_dev, found.st_ino) not in seen:
                    seen.add((found.st_dev, found.st_ino))
                    total += found.st_blocks * _BLOCK_BYTES
    return total
