"""What a plan may ask for about pods' volumes, and about what they hold; see `actions`."""

from collections.abc import Mapping
from typing import assert_never

from msgspec import Struct

from node_agent.core.contents import SourceKey
from node_agent.core.naming import PodKey


class NamedVolume(Struct, frozen=True):
    """How the engine makes a volume of its own that outlives pods, if it is not there."""

    driver: str
    options: Mapping[str, str]
    labels: Mapping[str, str]


class Mount(Struct, frozen=True, kw_only=True):
    """What a container sees of a volume.

    Attributes:
        name: The volume's, for people.
        target: Where the container sees it.
        source: Its path on the node; empty for a volume of the engine's.
        tmpfs: The name of that.
        named: How that is made with the container; None: it is there already.
        sub_path: Within `source`; made where it is missing, unless the volume is of files.
    """

    name: str
    target: str
    source: str = ""
    tmpfs: str = ""
    named: NamedVolume | None = None
    sub_path: str = ""
    is_read_only: bool = False
    is_of_files: bool = False


class RoomConfig(Struct, frozen=True):
    """An empty folder on the node's disk.

    Attributes:
        group: That may write there beside everybody, and has what is made there; None: root's.
    """

    name: str
    group: int | None = None


class TmpfsConfig(Struct, frozen=True):
    """Room in memory, by the engine, under a name of its own; 0 bytes: half of the memory.

    Attributes:
        group: See `RoomConfig`.
    """

    name: str
    engine_name: str
    labels: Mapping[str, str]
    size_bytes: int
    group: int | None = None


class HostPathConfig(Struct, frozen=True):
    """A path of the node, and what must be there (see `HostPathVolumeSource.type`)."""

    name: str
    path: str
    type: str


class StoredConfig(Struct, frozen=True):
    """A folder that outlives pods, called as its PersistentVolume is."""

    name: str
    stored: str
    group: int | None = None


class File(Struct, frozen=True):
    """One file of a volume; its content is nobody's business."""

    path: str
    data: bytes
    mode: int

    def __repr__(self) -> str:
        return f"File({self.path!r}, {len(self.data)} bytes, {self.mode:04o})"


class FilesConfig(Struct, frozen=True):
    """Files that change all at once.

    Attributes:
        mark: Of these files; see `volumes.mark`.
        is_secret: Whether they may only be kept in memory.
        group: That may read them, whatever their modes say; None: root's.
    """

    name: str
    files: tuple[File, ...]
    mark: str
    is_secret: bool
    group: int | None = None


FolderConfig = RoomConfig | HostPathConfig | StoredConfig | FilesConfig
VolumeConfig = FolderConfig | TmpfsConfig


class FetchContent(Struct, frozen=True):
    """Ask the control plane what a ConfigMap or a Secret holds."""

    source: SourceKey
    version: str
    cause: str


class DropContent(Struct, frozen=True):
    """Forget what one holds: no pod here takes values from it any more."""

    source: SourceKey
    cause: str


class PrepareVolumes(Struct, frozen=True):
    """Make a pod's volumes, or make them what they should be now."""

    pod: PodKey
    volumes: tuple[VolumeConfig, ...]
    cause: str


class TellMissing(Struct, frozen=True):
    """Say why volumes cannot be made: (volume, what is not there)."""

    pod: PodKey
    missing: tuple[tuple[str, str], ...]
    cause: str

    @property
    def text(self) -> str:
        """All of it."""
        return "; ".join(f"{name}: {text}" for name, text in self.missing)


class RemoveVolumes(Struct, frozen=True):
    """Remove all that there is of a pod's volumes; `tmpfs` are the engine's."""

    pod: PodKey
    tmpfs: tuple[str, ...]
    cause: str


class RemoveStored(Struct, frozen=True):
    """Remove what there is of a PersistentVolume, for ever.

    Attributes:
        pod: None of them: it says under which name the work is remembered.
        stored: The PersistentVolume's name.
        engine_name: What the engine calls it; empty: it is a folder.
    """

    pod: PodKey
    stored: str
    engine_name: str
    cause: str


VolumeAction = (
    FetchContent | DropContent | PrepareVolumes | TellMissing | RemoveVolumes | RemoveStored
)


def line(action: VolumeAction) -> str:
    """The action as people read it."""
    match action:
        case FetchContent():
            return f"fetch {action.source}: {action.cause}"
        case DropContent():
            return f"drop {action.source}: {action.cause}"
        case PrepareVolumes():
            names = " ".join(volume.name for volume in action.volumes)
            return f"prepare {action.pod.name}'s volumes {names}: {action.cause}"
        case TellMissing():
            return f"tell of {action.pod.name}'s volumes: {action.text}"
        case RemoveVolumes():
            return f"remove {action.pod.name}'s volumes: {action.cause}"
        case RemoveStored():
            return f"remove volume {action.stored}: {action.cause}"
        case _:
            assert_never(action)
