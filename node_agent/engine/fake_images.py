"""The images of the engine in memory, and the registry that they come from."""

import asyncio
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence

from node_agent.core.observed import Container, Credential, image_names
from node_agent.engine import EngineFailure, Image, Progress
from proto.errors import AlreadyExists, NotFound


class FakeImages(ABC):
    """The part of an engine that has to do with images."""

    def __init__(self, images: Iterable[str]) -> None:
        """Those of these names are here."""
        self.pulls: list[str] = []
        """Every pull that was asked for, in order."""
        self.registry: set[str] = set()
        """Images that can be pulled, under the names that manifests use."""
        self.private: dict[str, Credential] = {}
        """What the registry wants to be told for some of them."""
        self.progress: dict[str, Sequence[float]] = {}
        """How long a pull takes to each word of progress, seconds."""
        self.is_registry_reachable = True
        self.image_users: dict[str, str] = {}
        """By image: as whom it runs, if not as root."""
        self._images: dict[str, Image] = {}
        for image in images:
            self._add_image(image)

    @property
    @abstractmethod
    def containers(self) -> tuple[Container, ...]:
        """All of the pods' containers."""

    @abstractmethod
    async def _delay(self, verb: str, name: str) -> None: ...

    @abstractmethod
    def _tell(self, id: str, action: str) -> None: ...

    async def images(self) -> Sequence[Image]:
        """See `Engine`."""
        await self._delay("look", "")
        return list(self._images.values())

    async def image_user(self, image: str) -> str:
        """See `Engine`."""
        await self._delay("look", image)
        if not any(name in self._images for name in image_names(image)):
            raise NotFound(f"No such image: {image}")
        return self.image_users.get(image, "")

    async def lowest_oom_score(self) -> int:
        """See `Engine`."""
        return -1000

    async def pull(
        self,
        image: str,
        credential: Credential | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        """See `Engine`."""
        self.pulls.append(image)
        await self._delay("pull", image)
        for took_s in self.progress.get(image, ()):
            await asyncio.sleep(took_s)
            if on_progress is not None:
                on_progress(Progress(1 << 20, 2 << 20))
        if not self.is_registry_reachable:
            raise EngineFailure("Get https://registry/v2/: dial tcp: lookup registry: no such host")
        if image not in self.registry or self.private.get(image, credential) != credential:
            raise NotFound(f"pull access denied for {image}, repository does not exist")
        self._add_image(image)
        self._tell("", "pull")

    async def images_in_use(self) -> frozenset[str]:
        """See `Engine`."""
        await self._delay("look", "")
        return frozenset(container.image_id for container in self.containers)

    async def remove_image(self, image: Image) -> None:
        """See `Engine`."""
        await self._delay("remove", image.id)
        if any(c.image_id == image.id for c in self.containers):
            raise AlreadyExists(f"conflict: unable to remove {image.id}: a container is using it")
        self._images = {name: i for name, i in self._images.items() if i.id != image.id}
        self._tell("", "delete")

    def _add_image(self, image: str) -> None:
        names = image_names(image)
        id = f"sha256:{hashlib.sha256(names[0].encode()).hexdigest()}"
        for name in names:
            self._images[name] = Image(id, names, 1 << 20)
