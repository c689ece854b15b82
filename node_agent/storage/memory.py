"""The fake storage, for simulations: outlives the agent, not the process."""

from collections.abc import Collection, Mapping

from node_agent.core.contents import Held, SourceKey
from node_agent.core.naming import PodKey
from node_agent.core.volume_actions import FilesConfig, FolderConfig, Mount, StoredConfig
from node_agent.core.volumes import Places
from node_agent.storage import StorageFailure
from proto.kinds.references import SECRET


class MemoryStorage:
    """See the module."""

    def __init__(self) -> None:
        self.places = Places("/disk/pods", "/secrets/pods", "/disk/stored")
        self.files: dict[tuple[PodKey, str], dict[str, bytes]] = {}
        """What volumes of files hold."""
        self.has_tmpfs = True
        self.used_bytes: dict[tuple[PodKey, str], int] = {}
        """How much pods have in their empty folders."""
        self.messages: dict[str, str] = {}
        """The last words of containers."""
        self._volumes: dict[PodKey, dict[str, str]] = {}
        self._secrets: set[tuple[PodKey, str]] = set()
        self._stored: set[str] = set()
        self._contents: dict[SourceKey, Held] = {}

    @property
    def volumes_now(self) -> tuple[PodKey, ...]:
        """Whose there are."""
        return tuple(self._volumes)

    async def volumes(self) -> Mapping[PodKey, Mapping[str, str]]:
        """See `Storage`."""
        return {pod: dict(marks) for pod, marks in self._volumes.items()}

    async def prepare(self, pod: PodKey, volume: FolderConfig) -> None:
        """See `Storage`."""
        if isinstance(volume, StoredConfig):
            self._stored.add(volume.stored)
            return
        mark = ""
        if isinstance(volume, FilesConfig):
            self._check(is_secret=volume.is_secret)
            if volume.is_secret:
                self._secrets.add((pod, volume.name))
            self.files[pod, volume.name] = {file.path: file.data for file in volume.files}
            mark = volume.mark
        self._volumes.setdefault(pod, {})[volume.name] = mark

    def _check(self, *, is_secret: bool) -> None:
        if is_secret and not self.has_tmpfs:
            raise StorageFailure("secrets are kept in memory only, and there is no tmpfs")

    async def remove(self, pod: PodKey) -> None:
        """See `Storage`."""
        self._volumes.pop(pod, None)
        self.files = {key: found for key, found in self.files.items() if key[0] != pod}

    async def stored(self) -> Collection[str]:
        """See `Storage`."""
        return frozenset(self._stored)

    async def remove_stored(self, name: str) -> None:
        """See `Storage`."""
        self._stored.discard(name)

    async def used(self, pod: PodKey, volume: str) -> int:
        """See `Storage`."""
        return self.used_bytes.get((pod, volume), 0)

    async def prepare_message(self, name: str) -> str:
        """See `Storage`."""
        self.messages[name] = ""
        return ""

    async def message(self, name: str) -> str:
        """See `Storage`."""
        return self.messages.get(name, "")

    async def remove_message(self, name: str) -> None:
        """See `Storage`."""
        self.messages.pop(name, None)

    async def sweep_messages(self, known: Collection[str]) -> None:
        """See `Storage`."""
        self.messages = {name: text for name, text in self.messages.items() if name in known}

    async def source(self, mount: Mount) -> str:
        """See `Storage`."""
        return f"{mount.source}/{mount.sub_path}" if mount.sub_path else mount.source

    async def open(self) -> Mapping[SourceKey, Held]:
        """See `Storage`."""
        return dict(self._contents)

    async def keep(self, source: SourceKey, held: Held) -> None:
        """See `Storage`."""
        self._check(is_secret=source.kind == SECRET)
        self._contents[source] = held

    async def drop(self, source: SourceKey) -> None:
        """See `Storage`."""
        self._contents.pop(source, None)

    def lose_power(self) -> None:
        """What was only in memory is gone."""
        self._contents = {k: v for k, v in self._contents.items() if k.kind != SECRET}
        for pod, name in self._secrets:
            self._volumes.get(pod, {}).pop(name, None)
            self.files.pop((pod, name), None)
        self._secrets.clear()
