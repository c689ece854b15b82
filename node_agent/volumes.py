"""Makes pods' volumes and removes them: those in memory by the engine, all others in `storage`."""

from collections.abc import Callable

from msgspec.structs import replace

from node_agent.core import events, naming
from node_agent.core.actions import ContainerConfig
from node_agent.core.naming import PodKey
from node_agent.core.observed import Container, Volumes
from node_agent.core.volume_actions import (
    FilesConfig,
    Mount,
    PrepareVolumes,
    RemoveStored,
    RemoveVolumes,
    StoredConfig,
    TmpfsConfig,
    VolumeConfig,
)
from node_agent.engine import Engine, EngineFailure
from node_agent.observer import Observer
from node_agent.storage import Storage
from proto.errors import Rejected, Retryable

Tell = Callable[[PodKey, str, events.Told], None]
"""Publishes an event about a pod's container (the pod, when it has no name)."""


class VolumeMaker:
    """See the module."""

    def __init__(self, engine: Engine, storage: Storage, observer: Observer, tell: Tell) -> None:
        self._engine = engine
        self._storage = storage
        self._observer = observer
        self._tell = tell

    async def prepare(self, action: PrepareVolumes) -> None:
        """Make them, one after another; those that cannot be made hold up no others.

        Raises:
            EngineFailure: Some could not be made, each of which was told.
        """
        pod = action.pod
        known = self._observer.volumes.get(pod, Volumes())
        marks, tmpfs, errors = dict(known.marks), set(known.tmpfs), []
        for volume in action.volumes:
            try:
                await self._make(pod, volume)
            except (Retryable, Rejected) as error:
                self._tell(pod, "", events.mount_failed(volume.name, str(error)))
                errors.append(f"{volume.name}: {error}")
                continue
            if isinstance(volume, StoredConfig):
                self._observer.put_stored(volume.stored, "")
                continue
            marks[volume.name] = volume.mark if isinstance(volume, FilesConfig) else ""
            if isinstance(volume, TmpfsConfig):
                tmpfs.add(volume.engine_name)
        if marks:
            self._observer.put_volumes(pod, Volumes(marks, tuple(sorted(tmpfs))))
        if errors:
            raise EngineFailure("; ".join(errors))

    async def _make(self, pod: PodKey, volume: VolumeConfig) -> None:
        if isinstance(volume, TmpfsConfig):
            await self._engine.create_volume(volume)
        else:
            await self._storage.prepare(pod, volume)

    async def remove(self, action: RemoveVolumes) -> None:
        """Remove all of them.

        Raises:
            Retryable, AlreadyExists: Some are left.
        """
        for name in action.tmpfs:
            await self._engine.remove_volume(name)
        await self._storage.remove(action.pod)
        self._observer.put_volumes(action.pod, None)

    async def remove_stored(self, action: RemoveStored) -> None:
        """Remove what there is of a PersistentVolume.

        Raises:
            Retryable, AlreadyExists: It is still there.
        """
        if action.engine_name:
            await self._engine.remove_volume(action.engine_name)
        else:
            await self._storage.remove_stored(action.stored)
        self._observer.put_stored(action.stored, None)

    def note_made(self, config: ContainerConfig) -> None:
        """The engine has made, or may have, the volumes of its own that a container mounts."""
        for mount in config.mounts:
            if mount.named is not None and mount.named.labels:
                name = mount.named.labels[naming.PERSISTENT_VOLUME]
                self._observer.put_stored(name, mount.tmpfs)

    async def remove_message(self, container: Container) -> None:
        """Remove a container's last word.

        Raises:
            StorageFailure: It is left.
        """
        await self._storage.remove_message(
            naming.message_name(container.pod.uid, container.container, container.attempt)
        )

    async def resolved(self, config: ContainerConfig) -> ContainerConfig:
        """The same, with the path of each mount instead of a path within a volume.

        Its program's last word gets a mount of its own.

        Raises:
            StorageFailure: One leaves its volume, or cannot be made.
        """
        mounts = [await self._resolved(mount) for mount in config.mounts]
        if config.message_path and all(mount.target != config.message_path for mount in mounts):
            labels = config.labels
            name = naming.message_name(
                labels[naming.POD_UID], labels[naming.CONTAINER], int(labels[naming.ATTEMPT])
            )
            if source := await self._storage.prepare_message(name):
                mounts.append(Mount(name="", target=config.message_path, source=source))
        return replace(config, mounts=tuple(mounts))

    async def _resolved(self, mount: Mount) -> Mount:
        if mount.tmpfs and not mount.sub_path:
            return mount
        if mount.tmpfs:  # Docker before 26 mounts volumes whole: it is a path of the host there
            path = await self._engine.volume_path(mount.tmpfs)
            mount = replace(mount, source=path, tmpfs="")
        return replace(mount, source=await self._storage.source(mount), sub_path="")
