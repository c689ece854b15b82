"""The real storage: folders on the node's disk, and on a tmpfs for what is secret.

A pod has a folder ``pods/<uid>`` on either, with its volumes by what they are, and the link ``pod``
that says whose they are: first to come and last to go. A volume that is a path of the host is a
link to it. What outlives pods is in ``stored``, a folder for each PersistentVolume. Contents are in
``contents``, a file each, under names made of a hash: those of objects may be longer than a file's.
"""

import asyncio
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

import structlog
from msgspec import Struct

from node_agent.core.contents import Held, SourceKey
from node_agent.core.naming import PodKey
from node_agent.core.volume_actions import (
    FilesConfig,
    FolderConfig,
    HostPathConfig,
    Mount,
    RoomConfig,
    StoredConfig,
)
from node_agent.core.volumes import FILES, PATHS, ROOMS, Places
from node_agent.storage import StorageFailure, atomic, messages, ownership
from proto import codec
from proto.errors import BadRequest
from proto.kinds.references import SECRET

_OWNER = "pod"
_MESSAGES = "messages"
_UNFINISHED = ".new"

log = structlog.get_logger()

P = ParamSpec("P")
T = TypeVar("T")


class _Kept(Struct, frozen=True):
    """One file of contents."""

    source: SourceKey
    held: Held


class FileStorage:
    """See the module."""

    def __init__(self, disk: Path, secrets: Path) -> None:
        """Touches nothing yet.

        Args:
            disk: A folder of this node's own; made when first needed.
            secrets: The same, on a tmpfs: it is used for nothing as long as it is on none.
        """
        self._disk = disk.absolute()
        self._secrets = secrets.absolute()
        self.places = Places(
            str(self._disk / "pods"), str(self._secrets / "pods"), str(self._disk / "stored")
        )

    async def volumes(self) -> Mapping[PodKey, Mapping[str, str]]:
        """See `Storage`."""
        return await _aside(self._volumes)

    def _volumes(self) -> Mapping[PodKey, Mapping[str, str]]:
        found: dict[PodKey, dict[str, str]] = {}
        for place in (self._disk, self._secrets):
            for folder in _children(place / "pods"):
                pod = _owner(folder)
                if pod is None:  # about to come, or to go
                    continue
                marks = found.setdefault(pod, {})
                for volume in (*_children(folder / ROOMS), *_children(folder / PATHS)):
                    if not volume.name.startswith("."):
                        marks[volume.name] = ""
                for volume in _children(folder / FILES):
                    mark = atomic.mark(volume)
                    if mark is not None:
                        marks[volume.name] = mark
        return found

    async def prepare(self, pod: PodKey, volume: FolderConfig) -> None:
        """See `Storage`."""
        await _aside(self._prepare, pod, volume)

    def _prepare(self, pod: PodKey, volume: FolderConfig) -> None:
        if isinstance(volume, StoredConfig):
            self._room(is_secret=False)
            folder = _inside(self._disk / "stored", _stored_name(volume.stored))
            _make_open(folder, volume.group)
            return
        is_secret = isinstance(volume, FilesConfig) and volume.is_secret
        folder = self._folder(pod, is_secret=is_secret)
        match volume:
            case RoomConfig(name=name, group=group):
                _make_open(_inside(folder / ROOMS, name), group)
            case HostPathConfig(name=name):
                _look_at_host_path(Path(volume.path), volume.type)
                if not (link := _inside(folder / PATHS, name)).is_symlink():
                    link.symlink_to(volume.path)
            case FilesConfig(name=name, files=files, group=group):
                path = _inside(folder / FILES, name)
                atomic.write(path, files, volume.mark, is_synced=not is_secret, group=group)

    def _folder(self, pod: PodKey, *, is_secret: bool) -> Path:
        """The pod's, made whole: with the name of whose it is."""
        pods = self._room(is_secret=is_secret) / "pods"
        folder = pods / pod.uid
        if not folder.exists():
            new = pods / f".{pod.uid}"
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir(parents=True)
            (new / _OWNER).symlink_to(f"{pod.namespace}/{pod.name}")
            new.rename(folder)
        return folder

    def _room(self, *, is_secret: bool) -> Path:
        place = self._secrets if is_secret else self._disk
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o700)  # others reach a volume by its mount alone
        if is_secret and filesystem(place) != "tmpfs":
            raise StorageFailure(
                f"secrets are kept in memory only, and {place} is not on a tmpfs: "
                "set secrets_dir of the node agent to a folder that is"
            )
        return place

    async def remove(self, pod: PodKey) -> None:
        """See `Storage`."""
        await _aside(self._remove, pod)

    def _remove(self, pod: PodKey) -> None:
        for place in (self._disk, self._secrets):
            folder = place / "pods" / pod.uid
            for child in _children(folder):
                if child.name != _OWNER:
                    shutil.rmtree(child)
            with suppress(FileNotFoundError):
                (folder / _OWNER).unlink()
                folder.rmdir()

    async def stored(self) -> Collection[str]:
        """See `Storage`."""
        found = await _aside(_children, self._disk / "stored")
        return [path.name for path in found if not path.name.startswith(".")]

    async def remove_stored(self, name: str) -> None:
        """See `Storage`."""
        await _aside(self._remove_stored, name)

    def _remove_stored(self, name: str) -> None:
        folder = self._disk / "stored" / _stored_name(name)
        if folder.exists():
            _check_nothing_is_mounted_in(folder)  # it would be emptied, whatever it is
            shutil.rmtree(folder)

    async def used(self, pod: PodKey, volume: str) -> int:
        """See `Storage`."""
        return await _aside(ownership.used, self._disk / "pods" / pod.uid / ROOMS / volume)

    async def prepare_message(self, name: str) -> str:
        """See `Storage`."""
        return await _aside(messages.prepare, self._room(is_secret=False) / _MESSAGES, name)

    async def message(self, name: str) -> str:
        """See `Storage`."""
        return await _aside(messages.read, self._disk / _MESSAGES, name)

    async def remove_message(self, name: str) -> None:
        """See `Storage`."""
        await _aside((self._disk / _MESSAGES / name).unlink, missing_ok=True)

    async def sweep_messages(self, known: Collection[str]) -> None:
        """See `Storage`."""
        await _aside(messages.sweep, self._disk / _MESSAGES, known)

    async def source(self, mount: Mount) -> str:
        """See `Storage`."""
        return await _aside(_source, mount)

    async def open(self) -> Mapping[SourceKey, Held]:
        """See `Storage`."""
        return await _aside(self._open)

    def _open(self) -> Mapping[SourceKey, Held]:
        found: dict[SourceKey, Held] = {}
        for place in (self._disk, self._secrets):
            for folder in _children(place / "pods"):
                if _owner(folder) is None:
                    shutil.rmtree(folder)
            for path in _children(place / "contents"):
                if path.suffix == _UNFINISHED:
                    path.unlink()
                    continue
                try:
                    kept = codec.decode(path.read_bytes(), _Kept)
                except BadRequest as error:  # the disk's doing, or a newer agent's
                    log.warning("content.unreadable", path=str(path), error=str(error))
                    path.unlink()
                else:
                    found[kept.source] = kept.held
        return found

    async def keep(self, source: SourceKey, held: Held) -> None:
        """See `Storage`."""
        await _aside(self._keep, source, held)

    def _keep(self, source: SourceKey, held: Held) -> None:
        folder = self._room(is_secret=source.kind == SECRET) / "contents"
        folder.mkdir(exist_ok=True)
        path = folder / _file_name(source)
        new = path.with_suffix(_UNFINISHED)
        with new.open("wb") as file:
            file.write(codec.encode(_Kept(source, held)))
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)

    async def drop(self, source: SourceKey) -> None:
        """See `Storage`."""
        await _aside(self._drop, source)

    def _drop(self, source: SourceKey) -> None:
        place = self._secrets if source.kind == SECRET else self._disk
        (place / "contents" / _file_name(source)).unlink(missing_ok=True)


async def _aside(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """In a thread, with the error that people understand."""
    try:
        return await asyncio.to_thread(work, *args, **kwargs)
    except (OSError, ValueError) as error:  # a path may hold what no file system takes
        raise StorageFailure(str(error)) from error


def filesystem(path: Path) -> str:
    """What kind of file system a path is on: ``tmpfs``, ``ext4``…; empty when it cannot be told."""
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            fields, _, rest = line.partition(" - ")
            if fields.split()[2] == wanted:
                return rest.split()[0]
    return ""


def _make_open(room: Path, group: int | None) -> None:
    """A folder that everybody may write to, from the moment on that it is there."""
    if not room.exists():
        new = room.with_name(f".{room.name}")
        new.mkdir(exist_ok=True)
        ownership.give(new, group, 0o777)
        new.rename(room)


def _stored_name(name: str) -> str:
    """The name, if no path can be made of it."""
    if not name or name.startswith(".") or name != Path(name).name:
        raise StorageFailure(f"{name!r} is no name of a volume")
    return name


def _check_nothing_is_mounted_in(folder: Path) -> None:
    inside = f"{folder.resolve()}/"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4].replace("\\040", " ")
        if f"{point}/".startswith(inside):
            raise StorageFailure(f"something is mounted at {point}: unmount it first")


def _inside(folder: Path, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    return folder / name


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


def _file_name(source: SourceKey) -> str:
    return hashlib.blake2b(str(source).encode(), digest_size=16).hexdigest()


def _owner(folder: Path) -> PodKey | None:
    if folder.name.startswith("."):
        return None
    try:
        namespace, name = (folder / _OWNER).readlink().parts
    except (OSError, ValueError):
        return None
    return PodKey(namespace, name, folder.name)


_KINDS: Mapping[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
}


def _look_at_host_path(path: Path, type: str) -> None:
    """Whether it is what it should be, made where it may be. Source: kubelet, host_path.go."""
    if not path.exists():
        if type in ("", "DirectoryOrCreate"):  # as every engine does without being asked
            path.mkdir(parents=True)
            path.chmod(0o755)
        elif type == "FileOrCreate":
            path.touch()
            path.chmod(0o644)
    if type:
        is_one, name = _KINDS[type]
        if not (path.exists() and is_one(path.stat().st_mode)):
            raise StorageFailure(f"hostPath type check failed: {path} is not {name}")


def _source(mount: Mount) -> str:
    """Links are followed here, once, and may lead nowhere outside of the volume."""
    if not mount.sub_path:
        return mount.source
    root = Path(mount.source).resolve()
    path = (root / mount.sub_path).resolve()
    failed = f'failed to prepare subPath for volumeMount "{mount.name}"'
    if not path.is_relative_to(root):
        raise StorageFailure(f"{failed}: {mount.sub_path} is not within the volume")
    if not path.exists():
        if mount.is_of_files:
            raise StorageFailure(f"{failed}: the volume holds no {mount.sub_path}")
        mode = stat.S_IMODE(root.stat().st_mode)
        for folder in (*reversed(path.parents), path):
            if folder.is_relative_to(root) and not folder.exists():
                folder.mkdir()
                folder.chmod(mode)
    return str(path)
