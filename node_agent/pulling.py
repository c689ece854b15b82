"""Pulls images: one pull of an image at a time, a few images at once, on no pod's path.

A pull of which nothing is heard for a while is given up, so that a registry that hangs holds up
nobody else for long. What it is told for is in Secrets of the pods, then in Docker's own
configuration on this node, which is read anew for each pull.
"""

import asyncio
from collections.abc import Callable, Collection
from pathlib import Path

import structlog

from node_agent.core import credentials, events
from node_agent.core.actions import PullImage
from node_agent.core.events import Told
from node_agent.core.observed import Credential, Failure, Pull, PullKey, image_names
from node_agent.engine import Engine, EngineFailure, Image, Progress
from node_agent.observer import Observer
from node_agent.settings import Settings
from node_agent.volumes import Tell
from proto.errors import Rejected, Retryable

log = structlog.get_logger()

TELL_EVERY_MS = 10_000
"""Between two words on a long pull. Source: cri-dockerd, defaultImagePullingProgressReportInterval.
"""


class Puller:
    """See the module."""

    def __init__(
        self,
        engine: Engine,
        observer: Observer,
        tell: Tell,
        settings: Settings,
        *,
        clock: Callable[[], int],
        on_done: Callable[[], None],
    ) -> None:
        """Idle until `carry_out`.

        Args:
            engine: What pulls.
            observer: Knows which images are here.
            tell: Where events go.
            settings: How many at once, how long without progress, and Docker's own configuration.
            clock: Epoch milliseconds.
            on_done: Called whenever a pod may be planned for again.
        """
        self._engine = engine
        self._observer = observer
        self._tell = tell
        self._clock = clock
        self._on_done = on_done
        self._patience_s = settings.image_pull_progress_deadline_s
        self._own_config = Path(settings.docker_config) if settings.docker_config else None
        self._gate = asyncio.Semaphore(settings.image_pulls)
        self.busy: set[PullKey] = set()
        """What is being pulled, or waits for its turn."""
        self.pulls: dict[PullKey, Pull] = {}
        """What became of the last ones."""

    def forget(self, besides: Collection[str]) -> None:
        """Keep in mind nothing but what concerns these images."""
        self.pulls = {key: pull for key, pull in self.pulls.items() if key.image in besides}

    def has_pulled(self, image: str) -> bool:
        """Whether it is here because it was pulled for somebody."""
        return any(key.image == image and pull.done_at_ms for key, pull in self.pulls.items())

    async def perform(self, action: PullImage) -> None:
        """For everybody who waits for it; it is `busy` already."""
        key, asked_ms = action.key, self._clock()
        try:
            async with self._gate:
                told = await self._fetched(action, asked_ms)
                self.pulls[key] = Pull(self._clock())
            self._tell_all(action, told)
        except (Retryable, Rejected) as error:
            log.info("image.unavailable", image=key.image, error=str(error))
            known = self.pulls.get(key, Pull())
            failure = Failure.after(known.failure, "ErrImagePull", str(error), self._clock())
            self.pulls[key] = Pull(known.done_at_ms, failure)
            self._tell_all(action, events.pull_failed(key.image, str(error)))
            self._tell_all(action, events.failed("ErrImagePull"))
        finally:
            self.busy.discard(key)
            self._on_done()

    async def _fetched(self, action: PullImage, asked_ms: int) -> Told:
        """What to say of an image that is as the registry has it, or as good as can be had."""
        image, began_ms = action.image, self._clock()
        for pod, names in action.lacking:
            self._tell(pod, "", events.no_pull_secret(names))
        self._tell_all(action, events.pulling(image))
        try:
            await self._try_each(action)
        except Retryable as error:
            if self._present(image) is None:
                raise
            return events.fell_back(image, str(error))
        now_ms = self._clock()
        await self._observer.look_at_images()
        found = self._present(image)
        if found is None:  # else it would be pulled over and over
            raise EngineFailure("it was pulled, but the engine does not list it")
        return events.pulled(image, now_ms - began_ms, now_ms - asked_ms, found.size_bytes)

    async def _try_each(self, action: PullImage) -> None:
        """With one credential after another, until the registry takes one."""
        known = dict.fromkeys((*action.credentials, *await self._own(action.image)))
        *others, last = known or (None,)
        for credential in others:
            try:
                return await self._attempt(action, credential)
            except Rejected as error:
                log.info("credential.refused", image=action.image, error=str(error))
        return await self._attempt(action, last)

    async def _attempt(self, action: PullImage, credential: Credential | None) -> None:
        loop = asyncio.get_running_loop()
        told_ms = self._clock()
        try:
            async with asyncio.timeout(self._patience_s) as patience:

                def heard(progress: Progress) -> None:
                    nonlocal told_ms
                    patience.reschedule(loop.time() + self._patience_s)
                    if (now_ms := self._clock()) - told_ms >= TELL_EVERY_MS:
                        told_ms = now_ms
                        amounts = progress.done_bytes, progress.total_bytes
                        self._tell_all(action, events.pull_progress(action.image, *amounts))

                await self._engine.pull(action.image, credential, heard)
        except TimeoutError as error:
            text = f"given up: no progress for {self._patience_s:g} s"
            raise EngineFailure(f"{text}; look whether its registry answers") from error

    async def _own(self, image: str) -> tuple[Credential, ...]:
        """What Docker's own configuration has for the image's registry."""
        if self._own_config is None:
            return ()
        try:
            text = await asyncio.to_thread(self._own_config.read_bytes)
            return credentials.matching(image, credentials.parse(text))
        except FileNotFoundError:
            return ()
        except (OSError, ValueError) as error:
            log.warning("docker.config.unreadable", path=str(self._own_config), error=str(error))
            return ()

    def _present(self, image: str) -> Image | None:
        wanted = image_names(image)
        return next((i for i in self._observer.images if not set(wanted).isdisjoint(i.names)), None)

    def _tell_all(self, action: PullImage, told: Told) -> None:
        for pod, container in action.wanted_by:
            self._tell(pod, container, told)
