"""Files that change all at once, the way the kubelet's AtomicWriter does it.

The files are in a folder of their own that the link ``..data`` points to; what users see are links
through that. A change makes a new folder, then moves the link. ::

    key       -> ..data/key
    ..data    -> ..7f3a9b2c
    ..7f3a9b2c/key
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from node_agent.core.volume_actions import File
from node_agent.storage.ownership import give

DATA = "..data"
_NEXT = "..data_tmp"


def mark(volume: Path) -> str | None:
    """Of the files that are there; None before the first."""
    try:
        return (volume / DATA).readlink().name.removeprefix("..")
    except OSError:
        return None


def write(
    volume: Path,
    files: Sequence[File],
    new_mark: str,
    *,
    is_synced: bool,
    group: int | None = None,
) -> None:
    """Make these the files of the volume.

    Args:
        volume: Its folder; made where it is missing.
        files: All of them.
        new_mark: Differs from that of the files that are there.
        is_synced: Whether they must survive a loss of power as soon as the link is moved.
        group: Whose they are; see `ownership`.

    Raises:
        OSError: It could not be done; what was there is there still.
    """
    volume.mkdir(exist_ok=True)
    give(volume, group, 0o755)
    folder = volume / f"..{new_mark}"
    shutil.rmtree(folder, ignore_errors=True)  # of a try that was cut short
    folder.mkdir()
    give(folder, group, 0o755)
    for file in files:
        _write(folder, file, group, is_synced=is_synced)
    shown = {Path(file.path).parts[0] for file in files}
    for name in shown:
        if not (volume / name).is_symlink():
            (volume / name).symlink_to(f"{DATA}/{name}")
    (volume / _NEXT).unlink(missing_ok=True)
    (volume / _NEXT).symlink_to(folder.name)
    (volume / _NEXT).replace(volume / DATA)
    for item in list(volume.iterdir()):
        if item.is_symlink():
            if item.name != DATA and item.name not in shown:
                item.unlink()
        elif item != folder:
            shutil.rmtree(item)


def _write(folder: Path, file: File, group: int | None, *, is_synced: bool) -> None:
    path = folder
    for part in Path(file.path).parts[:-1]:
        path /= part
        path.mkdir(exist_ok=True)
        give(path, group, 0o755)
    with (folder / file.path).open("wb") as opened:
        opened.write(file.data)
        give(folder / file.path, group, file.mode)
        if is_synced:
            opened.flush()
            os.fsync(opened.fileno())
