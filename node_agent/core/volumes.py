"""From a pod's volumes to what must be made on the node, and to what its containers are given.

What is there tells by its mark whether it is as it should be. The mark of a volume of files is made
of the versions of what it holds and never of the contents: names of folders keep no secrets.
"""

import hashlib
from collections.abc import Collection, Mapping

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from node_agent.core import contents, downward, naming
from node_agent.core.contents import Absent, Sources
from node_agent.core.downward import Room
from node_agent.core.env import expand_all
from node_agent.core.naming import PodKey
from node_agent.core.volume_actions import (
    File,
    FilesConfig,
    HostPathConfig,
    Mount,
    NamedVolume,
    RoomConfig,
    StoredConfig,
    TmpfsConfig,
    VolumeConfig,
)
from proto import quantity
from proto.kinds.container import Container
from proto.kinds.references import CONFIG_MAP, SECRET
from proto.kinds.volume import (
    DownwardAPIProjection,
    KeyToPath,
    Volume,
    VolumeProjection,
    claim_name,
    default_mode,
    projections,
)
from proto.messages import AssignedClaim, AssignedPod

_KEY_MISSING = {
    CONFIG_MAP: "configmap references non-existent config key",
    SECRET: "references non-existent secret key",
}
"""Source: kubelet, MakePayload of either volume."""


ROOMS, FILES, PATHS = "rooms", "files", "paths"
"""Folders of a pod, for its volumes that are empty, of files, and paths of the host."""


class Places(Struct, frozen=True):
    """Where volumes are on the node; `secrets` is on a tmpfs, `stored` outlives pods."""

    disk: str = "/volumes"
    secrets: str = "/secrets"
    stored: str = "/stored"


class Limit(Struct, frozen=True):
    """How much one volume may hold; `size` is for people."""

    volume: str
    size: str
    bytes: int


def is_secret(volume: Volume) -> bool:
    """Whether any of it may only be kept in memory."""
    return any(source.secret is not None for source in projections(volume))


def tmpfs(pod: AssignedPod) -> tuple[str, ...]:
    """The engine's volumes that the pod's holder keeps alive."""
    return tuple(
        naming.volume_name(pod.uid, volume.name)
        for volume in pod.spec.volumes
        if volume.is_in_memory
    )


def fs_group(pod: AssignedPod) -> int | None:
    """Whose the volumes are that are made for the pod; None: root's."""
    return pod.spec.security_context.fs_group if pod.spec.security_context else None


def limits(pod: AssignedPod) -> tuple[Limit, ...]:
    """Of its empty folders on the disk, which has no limits itself."""
    return tuple(
        Limit(volume.name, str(size), quantity.whole(size))
        for volume in pod.spec.volumes
        if volume.empty_dir is not None
        and not volume.is_in_memory
        and (size := volume.empty_dir.size_limit)
    )


def mark(pod: AssignedPod, volume: Volume, sources: Sources, room: Room) -> str:
    """Differs whenever the volume must be made afresh; empty for one that never changes.

    Raises:
        Absent: What it is made of is not there.
        Awaited: What it is made of is not known yet.
    """
    found = projections(volume)
    if not found:
        return ""
    parts = [msgspec.json.encode(volume, order="deterministic")]
    for source in found:
        if source.downward_api is not None:
            told = _told(pod, source.downward_api, room)
            parts += [text.encode() for text in told.values()]
            continue
        kind, name, is_optional = _object(source)
        sources.get(kind, name, is_optional=is_optional)
        held = sources.find(kind, name)
        parts.append(held.version.encode() if held else b"-")
    return hashlib.blake2b(b"\0".join(parts), digest_size=8).hexdigest()


def config(
    node: str, pod: AssignedPod, volume: Volume, sources: Sources, room: Room
) -> VolumeConfig:
    """How to make it.

    Raises:
        Absent: What it is made of is not there.
        Awaited: What it is made of is not known yet.
    """
    if volume.host_path is not None:
        return HostPathConfig(volume.name, volume.host_path.path, volume.host_path.type or "")
    if claimed := claim(pod, volume):
        if claimed.stored is not None:
            return StoredConfig(volume.name, claimed.stored.name, fs_group(pod))
        return HostPathConfig(volume.name, claimed.path, claimed.type)
    if volume.empty_dir is not None:
        if not volume.is_in_memory:
            return RoomConfig(volume.name, fs_group(pod))
        key, limit = naming.key(pod), volume.empty_dir.size_limit
        return TmpfsConfig(
            volume.name,
            naming.volume_name(pod.uid, volume.name),
            naming.volume_labels(node, key, volume.name),
            quantity.whole(limit) if limit else 0,
            fs_group(pod),
        )
    found: dict[str, File] = {}
    for source in projections(volume):
        found |= {file.path: file for file in _files(pod, volume, source, sources, room)}
    files = tuple(found[path] for path in sorted(found))
    changed = mark(pod, volume, sources, room)
    return FilesConfig(volume.name, files, changed, is_secret(volume), fs_group(pod))


def claim(pod: AssignedPod, volume: Volume) -> AssignedClaim | None:
    """What the claim that the volume means stands for; None for any other volume.

    Raises:
        Absent: The claim has no volume.
    """
    name = claim_name(pod.name, volume)
    if not name:
        return None
    for found in pod.claims:
        if found.name == name:
            return found
    raise Absent(f'persistentvolumeclaim "{name}" has no volume')


def present(
    pod: AssignedPod, volume: Volume, marks: Mapping[str, str], stored: Collection[str]
) -> str | None:
    """The mark of what there is of a volume; None: it is to be made.

    Args:
        pod: Whose.
        volume: Which.
        marks: By volume: of what there is of the pod's own.
        stored: PersistentVolumes that the node keeps.
    """
    try:
        claimed = claim(pod, volume)
    except Absent:
        return None
    if claimed is None or claimed.stored is None:
        return marks.get(volume.name)
    is_there = claimed.stored.handle or claimed.stored.name in stored
    return "" if is_there else None  # the engine makes its own with the container


def _object(source: VolumeProjection) -> tuple[str, str, bool | None]:
    if source.secret is not None:
        return SECRET, source.secret.name, source.secret.optional
    assert source.config_map is not None  # noqa: S101  validated: it has one of the three
    return CONFIG_MAP, source.config_map.name, source.config_map.optional


def _files(
    pod: AssignedPod, volume: Volume, source: VolumeProjection, sources: Sources, room: Room
) -> list[File]:
    mode = default_mode(volume)
    if source.downward_api is not None:
        told = _told(pod, source.downward_api, room)
        modes = {item.path: item.mode for item in source.downward_api.items}
        return [File(path, told[path].encode(), _mode(modes[path], mode)) for path in told]
    kind, name, is_optional = _object(source)
    found = contents.files(sources.get(kind, name, is_optional=is_optional))
    one = source.secret or source.config_map
    items = one.items if one is not None else ()
    if not items:
        items = tuple(KeyToPath(key=key, path=key) for key in found)
    for item in items:
        if item.key not in found and not is_optional:
            raise Absent(f"{_KEY_MISSING[kind]}: {item.key}")
    return [
        File(item.path, found[item.key], _mode(item.mode, mode))
        for item in items
        if item.key in found
    ]


def _mode(own: int | None, default: int) -> int:
    return default if own is None else own


def _told(pod: AssignedPod, source: DownwardAPIProjection, room: Room) -> dict[str, str]:
    """Texts by path."""
    return {
        item.path: (
            downward.field(pod, item.field_ref.field_path)
            if item.field_ref is not None
            else downward.amount(pod, None, item.resource_field_ref, room)
            if item.resource_field_ref is not None
            else ""
        )
        for item in source.items
    }


def mounts(
    node: str, pod: AssignedPod, container: Container, places: Places, env: dict[str, str]
) -> tuple[Mount, ...]:
    """What a container sees of its pod's volumes.

    Raises:
        Absent: A path refers to a variable that is not there, or leaves the volume; or a claim
            has no volume.
    """
    known = {volume.name: volume for volume in pod.spec.volumes}
    found = []
    for wanted in container.volume_mounts:
        volume = known.get(wanted.name)
        if volume is None:  # of an orchestrator that checks less
            raise Absent(f'volume "{wanted.name}" not found')
        mount = Mount(
            name=wanted.name,
            target=f"/{wanted.mount_path.lstrip('/')}",
            sub_path=wanted.sub_path or _within(expand_all(wanted.sub_path_expr, env)),
            is_read_only=wanted.read_only,
        )
        claimed = claim(pod, volume)
        if claimed is not None:
            found.append(_claimed_mount(node, mount, claimed, volume, places))
        elif volume.is_in_memory:
            found.append(replace(mount, tmpfs=naming.volume_name(pod.uid, volume.name)))
        else:
            is_of_files = bool(projections(volume))
            found.append(
                replace(
                    mount,
                    source=source(naming.key(pod), volume, places),
                    is_read_only=mount.is_read_only or is_of_files,
                    is_of_files=is_of_files,
                )
            )
    return tuple(found)


def _claimed_mount(
    node: str, mount: Mount, claimed: AssignedClaim, volume: Volume, places: Places
) -> Mount:
    of_claim = volume.persistent_volume_claim
    is_read_only = claimed.is_read_only or (of_claim is not None and of_claim.read_only)
    mount = replace(mount, is_read_only=mount.is_read_only or is_read_only)
    stored = claimed.stored
    if stored is None:
        return replace(mount, source=claimed.path)
    if not stored.handle:
        return replace(mount, source=f"{places.stored}/{stored.name}")
    if mount.sub_path:
        raise Absent(
            f'claim "{claimed.name}" is a volume of Docker\'s, which can only be mounted as a '
            f"whole: leave out the subPath of {mount.target}"
        )
    labels = naming.stored_labels(node, stored.name) if stored.is_ours else {}
    return replace(
        mount, tmpfs=stored.handle, named=NamedVolume(stored.driver, stored.options, labels)
    )


def _within(sub_path: str) -> str:
    if sub_path.startswith("/"):
        raise Absent(f"error SubPath `{sub_path}` must not be an absolute path")
    if ".." in sub_path.split("/"):
        raise Absent(f"unable to provision SubPath `{sub_path}`: must not contain '..'")
    return sub_path


def source(pod: PodKey, volume: Volume, places: Places) -> str:
    """Where a volume is on the node, if it is not the engine's."""
    if volume.host_path is not None:
        return volume.host_path.path
    place = places.secrets if is_secret(volume) else places.disk
    room = FILES if projections(volume) else ROOMS
    return f"{place}/{pod.uid}/{room}/{volume.name}"
