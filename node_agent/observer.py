"""What there is, kept up to date by the engine's events.

An event says which object to look at again. A full look comes first, after the event stream broke,
and every so often as the safety net; between those only what changed is inspected.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator

import structlog
from msgspec.structs import replace

from node_agent.core import naming
from node_agent.core.naming import PodKey
from node_agent.core.observed import Container, Lifetime, Sandbox, Volumes
from node_agent.engine import Engine, EngineEvent, EngineInfo, EventStream, Image
from node_agent.host import Clock
from node_agent.lastwords import with_message
from node_agent.storage import Storage, StorageFailure
from proto.errors import LongshoreError

log = structlog.get_logger()

RECONNECT_MIN_S = 0.2
RECONNECT_MAX_S = 5.0
"""Docker takes about a second to come back; five bound the blindness after a long outage."""

PING_S = 5.0
"""Between two questions whether the engine still answers: with their deadline, one that hangs is
known for it within a quarter of a minute.
"""

INSPECTIONS_MAX = 8
"""At once, when everything is looked at: more only queue in dockerd (measured on two cores)."""


class Observer:
    """The node's containers, holders, images and volumes, as last seen."""

    def __init__(
        self,
        engine: Engine,
        storage: Storage,
        on_change: Callable[[], None],
        *,
        clock: Clock,
        resync_s: float,
    ) -> None:
        """Knows nothing before `run`.

        Args:
            engine: What to look at.
            storage: The same, for volumes.
            on_change: Called whenever something differs from before.
            clock: To tell from when to when containers ran.
            resync_s: Seconds between full looks while all is well.
        """
        self._engine = engine
        self._storage = storage
        self._on_change = on_change
        self._clock = clock
        self._resync_s = resync_s
        self._touched: dict[str, int] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._doubt = asyncio.Event()
        self._leaving: set[str] = set()
        self.sandboxes: dict[str, Sandbox] = {}
        self.containers: dict[str, Container] = {}
        self.lifetimes: dict[str, Lifetime] = {}
        """Of containers that ran, by id."""
        self.attempts: dict[tuple[str, str], int] = {}
        """See `Memory.attempts`: somebody may remove a container by hand."""
        self._volumes_touched = 0
        self.volumes: dict[PodKey, Volumes] = {}
        self.stored: dict[str, str] = {}
        """See `Observed.stored`."""
        self.images: tuple[Image, ...] = ()
        self.image_names: frozenset[str] = frozenset()
        self.info: EngineInfo | None = None
        self.hushed: set[str] = set()
        """Objects whose next look is promised by whoever works on them."""
        self.error = ""
        """Why the engine does not answer; empty while it does."""
        self.has_looked = False
        """Whether everything was seen at least once."""

    async def run(self) -> None:
        """Watch until cancelled; an engine that is away is waited for."""
        delay_s = RECONNECT_MIN_S
        while True:
            try:
                await self._watch()
            except LongshoreError as error:
                if not self.error:
                    log.warning("engine.lost", error=str(error))
                else:
                    delay_s = min(delay_s * 2, RECONNECT_MAX_S)
                self.error = str(error)
                self._on_change()
            await asyncio.sleep(delay_s)
            if not self.error:
                delay_s = RECONNECT_MIN_S

    async def _watch(self) -> None:
        """Look at everything, then at what changes. Ends by an error."""
        self._doubt.clear()
        events = await self._engine.events()  # first, so that nothing falls between
        try:
            self.info = await self._engine.info()
            await self._look_at_all(is_thorough=True)
            if self.error or not self.has_looked:
                log.info("engine.connected", version=self.info.version)
            self.error, self.has_looked = "", True
            self._on_change()
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._follow(events, tasks))
                    tasks.create_task(self._resync())
                    tasks.create_task(self._stay_in_touch())
            except BaseExceptionGroup as group:
                raise _first(group) from group
        finally:
            with contextlib.suppress(LongshoreError):
                await events.close()

    async def _follow(self, events: EventStream, tasks: asyncio.TaskGroup) -> None:
        while True:
            event = await events.get()
            if not event.id:
                tasks.create_task(self.look_at_images())
            elif self._is_news(event):
                tasks.create_task(self.look(event.id))

    def _is_news(self, event: EngineEvent) -> bool:
        if event.id in self._leaving:
            return False
        return event.id not in self.hushed or event.action == "die"

    @contextlib.contextmanager
    def leaving(self, id: str) -> Iterator[None]:
        """While it lasts, what happens to the object is no news: whoever removes it looks after it.

        Four of five looks at a pod that goes would be in vain.
        """
        self._leaving.add(id)
        try:
            yield
        finally:
            self._leaving.discard(id)

    async def _resync(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._resync_s):
                    await self._doubt.wait()
            except TimeoutError:
                pass
            is_thorough = self._doubt.is_set()
            self._doubt.clear()
            await self._look_at_all(is_thorough=is_thorough)

    async def _stay_in_touch(self) -> None:
        """An engine that hangs breaks no stream."""
        while True:
            await asyncio.sleep(PING_S)
            await self._engine.ping()

    def doubt(self) -> None:
        """Something may have happened that no event tells: look at everything soon."""
        self._doubt.set()

    def put(self, found: Sandbox | Container) -> None:
        """What whoever made or changed it knows of it."""
        self._touched[found.id] = self._touched.get(found.id, 0) + 1
        self._set(found.id, found)

    async def look(self, id: str) -> Sandbox | Container | None:
        """Look at one object again. What is known afterwards is no older than the call."""
        async with self._locks.setdefault(id, asyncio.Lock()):
            while True:
                touched = self._touched.get(id, 0)
                found = await self._inspect(id)
                if self._touched.get(id, 0) == touched:  # else somebody knows better meanwhile
                    self._set(id, found)
                    return found

    async def _inspect(self, id: str) -> Sandbox | Container | None:
        """What the engine says of it, with its program's last word once it has ended."""
        found = await self._engine.inspect(id)
        if not isinstance(found, Container) or not found.has_ended or not found.message_policy:
            return found
        known = self.containers.get(id)
        if known is not None and known.finished_at_ms == found.finished_at_ms and known.has_ended:
            return replace(found, message=known.message)
        return await with_message(found, self._engine, self._storage)

    def _set(self, id: str, found: Sandbox | Container | None) -> None:
        before = self.sandboxes.get(id) or self.containers.get(id)
        if found is None:
            self.sandboxes.pop(id, None)
            self.containers.pop(id, None)
            self._touched.pop(id, None)
            self._locks.pop(id, None)
            self.lifetimes.pop(id, None)
        elif isinstance(found, Sandbox):
            self.sandboxes[id] = found
        else:
            self.containers[id] = found
            self._note_lifetime(found)
        if found != before:
            self._on_change()

    def _note_lifetime(self, found: Container) -> None:
        """Each end of it when it is first seen: later the clocks may have parted."""
        told, known = Lifetime.of(found), self.lifetimes.get(found.id, Lifetime())
        began_ms = known.began_ms or (told.began_ms and self._clock.steadied(told.began_ms))
        ended_ms = known.ended_ms or (told.ended_ms and self._clock.steadied(told.ended_ms))
        self.lifetimes[found.id] = Lifetime(began_ms, ended_ms)
        if found.started_at_ms:
            key = found.pod.uid, found.container
            self.attempts[key] = max(found.attempt, self.attempts.get(key, 0))

    def forget(self, besides: Collection[str]) -> None:
        """Keep in mind no attempts but those of pods with these uids."""
        self.attempts = {k: v for k, v in self.attempts.items() if k[0] in besides}

    async def look_at_images(self) -> None:
        """All images; cheap, and there are no events precise enough to do with less."""
        images = tuple(sorted(await self._engine.images(), key=lambda image: image.id))
        if images != self.images:
            self.images = images
            self.image_names = frozenset(name for image in images for name in image.names)
            self._on_change()

    async def look_at_volumes(self) -> None:
        """All of them: there are no events."""
        while True:
            touched = self._volumes_touched
            tmpfs: dict[PodKey, dict[str, str]] = {}
            stored = dict.fromkeys(await self._storage.stored(), "")
            for volume in await self._engine.volumes():
                if volume.pod is None:
                    stored[volume.volume] = volume.name
                else:
                    tmpfs.setdefault(volume.pod, {})[volume.volume] = volume.name
            marks = await self._storage.volumes()
            if self._volumes_touched == touched:  # else somebody knows better meanwhile
                break
        volumes = {
            pod: Volumes(
                {**marks.get(pod, {}), **dict.fromkeys(tmpfs.get(pod, ()), "")},
                tuple(sorted(tmpfs.get(pod, {}).values())),
            )
            for pod in sorted(marks.keys() | tmpfs.keys())
        }
        if (volumes, stored) != (self.volumes, self.stored):
            self.volumes, self.stored = volumes, stored
            self._on_change()

    def put_volumes(self, pod: PodKey, found: Volumes | None) -> None:
        """What whoever made or removed a pod's volumes knows of them; None: they are gone."""
        self._volumes_touched += 1
        if found is None:
            self.volumes.pop(pod, None)
        else:
            self.volumes[pod] = found
        self._on_change()

    def put_stored(self, name: str, engine_name: str | None) -> None:
        """What whoever made or removed a PersistentVolume's knows of it; None: it is gone."""
        self._volumes_touched += 1
        if engine_name is None:
            self.stored.pop(name, None)
        else:
            self.stored[name] = engine_name
        self._on_change()

    async def _look_at_all(self, *, is_thorough: bool) -> None:
        """Everything that differs from what is known; simply everything when thorough."""
        known: dict[str, Sandbox | Container] = {**self.sandboxes, **self.containers}
        listed = {item.id: item for item in await self._engine.list()}
        for id in known.keys() - listed.keys():
            self._set(id, None)
        await self._look_at_each(
            id
            for id, item in listed.items()
            if is_thorough
            or id not in known
            or (known[id].state, known[id].name) != (item.state, item.name)
        )
        await self.look_at_images()
        await self.look_at_volumes()
        present = self.containers.values()
        names = {naming.message_name(c.pod.uid, c.container, c.attempt) for c in present}
        with contextlib.suppress(StorageFailure):  # the next look sweeps again
            await self._storage.sweep_messages(names)

    async def _look_at_each(self, ids: Iterable[str]) -> None:
        gate = asyncio.Semaphore(INSPECTIONS_MAX)

        async def look(id: str) -> None:
            async with gate:
                await self.look(id)

        try:
            async with asyncio.TaskGroup() as tasks:
                for id in ids:
                    tasks.create_task(look(id))
        except BaseExceptionGroup as group:
            raise _first(group) from group


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error that a group stands for: the reason it ended."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
