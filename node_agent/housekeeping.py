"""Keeps the node's disk from filling up with images that nobody uses.

Beside the pods, and with nothing to do with what runs. Where the engine's host is another one than
ours, its disk cannot be seen, and nothing is removed.
"""

import asyncio
from collections.abc import Callable, Iterable

import structlog

from node_agent.core import events, image_gc
from node_agent.core.events import Told
from node_agent.core.image_gc import Policy, Record
from node_agent.engine import Engine, Image, pause
from node_agent.host import Machine
from node_agent.observer import Observer
from node_agent.settings import Settings
from proto.errors import AlreadyExists, LongshoreError

log = structlog.get_logger()


_EVERYTHING = 1 << 62
"""Bytes."""


class Housekeeper:
    """See the module."""

    def __init__(
        self,
        engine: Engine,
        machine: Machine | None,
        observer: Observer,
        tell: Callable[[Told], None],
        settings: Settings,
        *,
        clock: Callable[[], int],
        wanted: Callable[[], Iterable[str]],
    ) -> None:
        """Idle before `run`.

        Args:
            engine: What removes images.
            machine: The engine's host; None when that is another one than ours.
            observer: Knows which images are here.
            tell: Where events of the node go.
            settings: When to begin, how far to go, what to leave alone, and how often to look.
            clock: Epoch milliseconds.
            wanted: The images that assigned pods name.
        """
        self._engine = engine
        self._machine = machine
        self._observer = observer
        self._tell = tell
        self._policy = Policy(
            settings.image_gc_high_percent,
            settings.image_gc_low_percent,
            round(settings.image_gc_min_age_s * 1000),
        )
        self._clock = clock
        self._wanted = wanted
        self._period_s = settings.image_gc_period_s
        self._records: dict[str, Record] = {}

    async def run(self) -> None:
        """Look after images until cancelled."""
        while self._machine is not None:
            if self._observer.has_looked:
                try:
                    await self.tidy()
                except LongshoreError as error:
                    log.warning("images.unkept", error=str(error))
                    self._tell(events.image_gc_failed(str(error)))
            await asyncio.sleep(self._period_s if self._observer.has_looked else 1.0)

    async def tidy(self) -> int:
        """Remove images if the disk is too full; how many bytes that should have freed.

        Raises:
            LongshoreError: The engine does not answer.
        """
        info = self._observer.info
        if self._machine is None or info is None or not info.root_dir:
            return 0
        now_ms = await self._look()
        space = await self._machine.space(info.root_dir)
        if space is None:
            return 0
        wanted = image_gc.excess_bytes(space, self._policy)
        if not wanted:
            return 0
        freed = await self._remove(wanted, self._policy.min_age_ms, now_ms)
        if freed < wanted:
            self._tell(events.images_stay(wanted, freed))
        return freed

    async def free(self) -> int:
        """Remove every image that may go, since the disk is short; how much that should have freed.

        Raises:
            LongshoreError: The engine does not answer.
        """
        if self._policy.high_percent >= 100:
            return 0
        return await self._remove(_EVERYTHING, self._policy.min_age_ms, await self._look())

    async def _look(self) -> int:
        """Note what is in use; when that was."""
        in_use = await self._engine.images_in_use()
        now_ms = self._clock()
        present = [(i.id, i.names, i.size_bytes) for i in self._observer.images]
        self._records = image_gc.followed(self._records, present, in_use, self._wanted(), now_ms)
        return now_ms

    async def _remove(self, wanted_bytes: int, min_age_ms: int, now_ms: int) -> int:
        freed = 0
        for record in image_gc.removable(self._records, (pause.IMAGE,), min_age_ms, now_ms):
            if freed >= wanted_bytes:
                break
            try:
                await self._engine.remove_image(Image(record.id, record.names, record.size_bytes))
            except AlreadyExists as error:  # somebody began to use it
                log.info("image.kept", image=record.names, error=str(error))
                continue
            log.info("image.removed", image=record.names, bytes=record.size_bytes)
            freed += record.size_bytes
        if freed:
            await self._observer.look_at_images()
        return freed
