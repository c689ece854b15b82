"""Events: what happened to objects, for people. Kept for an hour, repeated ones counted.

What repeats itself in other words is combined, and then held back (`core.correlation`). Events must
never hold up what they tell of: they are queued, written behind everything else, and
under a flood the oldest of the queue are dropped and counted.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable
from typing import Any

import structlog
from msgspec.structs import replace

from orchestrator.core.correlation import COMBINED, Correlator
from orchestrator.runtime.verbs import Verbs
from orchestrator.runtime.writer import Op, Writer
from orchestrator.world import World
from proto.errors import LongshoreError
from proto.kinds.event import EVENTS, Event, EventSource, ObjectReference
from proto.kinds.kind import Kind
from proto.meta import ObjectMeta, Resource, format_time_ms, parse_time_ms

log = structlog.get_logger()

QUEUE_LIMIT = 5_000
"""Events waiting to be written: ten for each of 500 pods in one burst."""

RETENTION_MS = 3_600_000
"""Source: kube-apiserver's --event-ttl, one hour."""

PRUNE_EVERY_S = 60.0
WRITES_AT_ONCE = 100
PAUSE_S = 0.02
"""Between two groups, so that a burst of events leaves the transactions to what it tells of."""

NAME_MAX = 230
"""Characters of the object's name in its event's: with the digest, a name Kubernetes takes."""

COMPONENT = "longshore"


class Recorder:
    """See the module."""

    def __init__(
        self, world: World, writer: Writer, verbs: Verbs, clock: Callable[[], int]
    ) -> None:
        self._world = world
        self._writer = writer
        self._verbs = verbs
        self._clock = clock
        self._queue: deque[Event] = deque()
        self._filled = asyncio.Event()
        self._correlator = Correlator()
        self.dropped = 0
        self.held_back = 0

    def record(
        self, kind: Kind[Any], about: Resource, type_: str, reason: str, message: str
    ) -> None:
        """Something happened to an object."""
        meta = about.metadata
        reference = ObjectReference(
            kind=kind.name,
            namespace=meta.namespace,
            name=meta.name,
            uid=meta.uid,
            api_version=kind.api_version,
            resource_version=meta.resource_version,
        )
        self.record_event(reference, type_, reason, message, EventSource(component=COMPONENT))

    def record_event(
        self,
        about: ObjectReference,
        type_: str,
        reason: str,
        message: str,
        source: EventSource,
        at_ms: int | None = None,
        series: str = "",
    ) -> None:
        """The same, told by someone else: an agent."""
        # Kubernetes has whole seconds here; within one, its events are in the order of their names.
        # Its clients take fractions, and so show ours in the order in which they came.
        at_ms = self._clock() if at_ms is None else at_ms
        now = format_time_ms(at_ms)
        event = Event(
            involved_object=about,
            reason=reason,
            message=message,
            source=source,
            first_timestamp=now,
            last_timestamp=now,
            count=1,
            type=type_,
            reporting_component=source.component,
            reporting_instance=source.host,
        )
        correlated = event if series else self._correlator.correlated(event, at_ms)
        if correlated is None:
            self.held_back += 1
            return
        if len(self._queue) >= QUEUE_LIMIT:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append(_named(correlated, series))
        self._filled.set()

    async def run(self) -> None:
        """Write and prune until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write())
            tasks.create_task(self._prune())

    async def _write(self) -> None:
        while True:
            await self._filled.wait()
            group: dict[tuple[str, str], Event] = {}
            while self._queue and len(group) < WRITES_AT_ONCE:
                event = self._queue.popleft()
                key = (event.metadata.namespace, event.metadata.name)
                group[key] = _again(group[key], event) if key in group else event
            if not self._queue:
                self._filled.clear()
            for done in [self._submit(event) for event in group.values()]:
                try:
                    if done is not None:
                        await done
                except LongshoreError as error:
                    self.dropped += 1
                    log.info("event.dropped", error=str(error), dropped=self.dropped)
            await asyncio.sleep(PAUSE_S)

    def _submit(self, event: Event) -> "asyncio.Future[list[Any]] | None":
        meta = event.metadata
        old = self._world.get(EVENTS, meta.namespace, meta.name)
        try:
            if old is not None:
                written, expect = _again(old, event), old.metadata.resource_version
            else:
                written, expect = self._verbs.prepared(EVENTS, event), ""
        except LongshoreError as error:  # its namespace is going, and the event with it
            log.debug("event.refused", error=str(error))
            return None
        return self._writer.submit((Op(EVENTS, meta.namespace, meta.name, written, expect),))

    async def _prune(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_EVERY_S)
            oldest = self._clock() - RETENTION_MS
            stale = [e for e in self._world.objects(EVENTS) if _last_seen_ms(e) < oldest]
            for event in stale:
                meta = event.metadata
                op = Op(EVENTS, meta.namespace, meta.name, None, meta.resource_version)
                try:
                    await self._writer.write(op)
                except LongshoreError as error:
                    log.info("event.kept", error=str(error))
                    break


def _named(event: Event, series: str) -> Event:
    """Named so that the same thing happening again is the same event, and all combined are one."""
    about = event.involved_object
    message = COMBINED if event.message.startswith(COMBINED) else series or event.message
    same = (about.uid, about.field_path, event.type, event.reason, message, event.source.host)
    digest = hashlib.sha256("\0".join(same).encode()).hexdigest()[:16]
    meta = ObjectMeta(
        name=f"{about.name[:NAME_MAX].rstrip('-.')}.{digest}",
        namespace=about.namespace or "default",
    )
    return replace(event, metadata=meta)


def _again(old: Event, new: Event) -> Event:
    """It happened again; of combined ones the latest is shown."""
    count = max(1, old.count) + new.count
    return replace(old, last_timestamp=new.last_timestamp, count=count, message=new.message)


def _last_seen_ms(event: Event) -> int:
    text = event.last_timestamp or event.event_time or event.metadata.creation_timestamp
    try:
        return parse_time_ms(text)
    except ValueError:  # written by a client with a mistaken clock format: prune it
        return 0
