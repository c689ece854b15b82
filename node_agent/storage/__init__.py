"""Volumes and contents on the node's disk and tmpfs: `files` is the real one, `memory` the fake.

Both pass tests/contract/test_storage.py. What is made, and when, is decided in `node_agent.core`.
Every verb may be repeated, and whatever one that was cut short left behind is overwritten by the
next, or seen by `volumes` and removed with the pod.
"""

from collections.abc import Collection, Mapping
from typing import Protocol

from node_agent.core.contents import Held, SourceKey
from node_agent.core.naming import PodKey
from node_agent.core.volume_actions import FolderConfig, Mount
from node_agent.core.volumes import Places
from proto.errors import Retryable

MESSAGE_BYTES_MAX = 4096
"""Source: the kubelet, MaxContainerTerminationMessageLength."""

MESSAGE_UNCLAIMED_S = 600
"""Longer than it takes from a message's file to the container that it is for."""


class StorageFailure(Retryable):
    """The node could not do it, for the reason that this says to people."""


class Storage(Protocol):
    """One node's."""

    @property
    def places(self) -> Places:
        """Where the engine finds the volumes."""
        ...

    async def volumes(self) -> Mapping[PodKey, Mapping[str, str]]:
        """By pod and volume: its mark. A pod without volumes is in it while its folder is there."""
        ...

    async def prepare(self, pod: PodKey, volume: FolderConfig) -> None:
        """Make a volume, or make its files what they should be now, all at once.

        Raises:
            StorageFailure: It cannot be made.
        """
        ...

    async def remove(self, pod: PodKey) -> None:
        """Remove all of a pod's volumes; nothing when there are none.

        Raises:
            StorageFailure: Something could not be removed.
        """
        ...

    async def stored(self) -> Collection[str]:
        """Folders that outlive pods, by the names of their PersistentVolumes."""
        ...

    async def remove_stored(self, name: str) -> None:
        """Remove one of them with all that is in it; nothing when there is none.

        Raises:
            StorageFailure: It could not be removed.
        """
        ...

    async def used(self, pod: PodKey, volume: str) -> int:
        """Bytes of the disk that a pod's empty folder takes; 0 where there is none.

        Raises:
            StorageFailure: It cannot be looked at.
        """
        ...

    async def prepare_message(self, name: str) -> str:
        """Make an empty file for a container's last word. Returns its path on the node.

        Empty where storage is no disk: an engine could mount nothing of it.

        Raises:
            StorageFailure: It cannot be made.
        """
        ...

    async def message(self, name: str) -> str:
        """What a container left there, at most `MESSAGE_BYTES_MAX`; empty when there is nothing."""
        ...

    async def remove_message(self, name: str) -> None:
        """Remove it; nothing when it is not there.

        Raises:
            StorageFailure: It is left.
        """
        ...

    async def sweep_messages(self, known: Collection[str]) -> None:
        """Remove the files that are none of these and that nobody has touched for a while."""
        ...

    async def source(self, mount: Mount) -> str:
        """The path on the node that a mount's sub-path means; made, where the mount says so.

        Raises:
            StorageFailure: It leaves the volume, or cannot be made.
        """
        ...

    async def open(self) -> Mapping[SourceKey, Held]:
        """Contents that were kept, of a Secret only while the host was not started again.

        To be called before anything else: it clears away what was cut short.
        """
        ...

    async def keep(self, source: SourceKey, held: Held) -> None:
        """Keep what a ConfigMap or a Secret holds.

        Raises:
            StorageFailure: It cannot be kept.
        """
        ...

    async def drop(self, source: SourceKey) -> None:
        """Keep it no longer; nothing when it is not kept."""
        ...
