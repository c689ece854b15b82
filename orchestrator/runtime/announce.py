"""Tells other programs what happens, as CloudEvents on the bus; at most once.

Attributes are those of CloudEvents 1.0 in its JSON format (the eight fields are written out here:
the library's API is in flux, and nothing else of it would be used).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from orchestrator.core import announcements
from orchestrator.world import Change, World
from proto import codec, subjects
from proto.bus import Bus
from proto.errors import Unavailable
from proto.meta import format_time

log = structlog.get_logger()

QUEUE_LIMIT = 10_000
"""News waiting for the bus; in a longer outage the oldest are dropped, as the bus would."""


class Announcer:
    """See the module."""

    def __init__(self, world: World, bus: Bus, clock: Callable[[], int]) -> None:
        self._bus = bus
        self._clock = clock
        self._is_on = False
        self._queue: deque[tuple[str, dict[str, Any]]] = deque(maxlen=QUEUE_LIMIT)
        self._filled = asyncio.Event()
        world.listen(self._heard)

    async def run(self) -> None:
        """Announce for one term, until cancelled."""
        self._queue.clear()
        self._is_on = True
        try:
            while True:
                await self._filled.wait()
                self._filled.clear()
                while self._queue:
                    await self._publish(*self._queue.popleft())
        finally:
            self._is_on = False

    async def _publish(self, subject: str, event: dict[str, Any]) -> None:
        headers = {"content-type": "application/cloudevents+json"}
        try:
            await self._bus.publish(subject, codec.encode(event), headers=headers)
        except Unavailable as error:
            log.info("announcement.dropped", subject=subject, error=str(error))

    def _heard(self, changes: Sequence[Change]) -> None:
        if not self._is_on:
            return
        for change in changes:
            old = change.old.object if change.old else None
            new = change.new.object if change.new else None
            for what in announcements.of(change.kind, old, new):
                self._queue.append(self._event(change, what))
                self._filled.set()

    def _event(self, change: Change, what: str) -> tuple[str, dict[str, Any]]:
        entry = change.entry
        kind = change.kind
        where = f"namespaces/{entry.namespace}/" if entry.namespace else ""
        root = "apis" if kind.group else "api"
        event = {
            "specversion": "1.0",
            "id": f"{change.version}-{what}",
            "source": "/longshore",
            "type": f"dev.longshore.{kind.singular}.{what}",
            "subject": f"/{root}/{kind.api_version}/{where}{kind.plural}/{entry.name}",
            "time": format_time(self._clock()),
            "datacontenttype": "application/json",
            "data": entry.raw,
        }
        return subjects.event(kind.singular, entry.namespace, entry.name, what), event
