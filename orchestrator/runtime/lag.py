"""How far behind the JetStream consumers are that autoscalers ask about: asked while one does.

Every consumer is asked about once a second by whoever leads, however many autoscalers want to know.
The lag of a target that may have no replica is what wakes it: whoever has to know is told when it
appears, and need not look.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog

from orchestrator.core import autoscale
from orchestrator.core.autoscale import Consumer
from orchestrator.world import Change, World
from proto.bus import Bus
from proto.errors import NotFound, Unavailable
from proto.kinds.autoscaler import AUTOSCALERS, HorizontalPodAutoscaler

log = structlog.get_logger()

POLL_S = 1.0
"""Between two rounds: one request of some 0.3 ms for each consumer. The first replica of an idle
target is asked for within so long.
"""

ANSWER_S = 2.0
"""A stream whose leader is gone answers nothing until there is a new one."""

AT_ONCE = 16
"""Requests under way: a server that hangs gets no more of them."""

Name = tuple[str, str]


class Lags:
    """See the module.

    Args:
        world: Listened to: who asks about whom.
        bus: Asked.
    """

    def __init__(self, world: World, bus: Bus) -> None:
        self._bus = bus
        self._asked_by: dict[Name, frozenset[Consumer]] = {}
        self._told: dict[Consumer, int | str] = {}
        self._is_wanted = asyncio.Event()
        world.listen(self._heard)

    async def run(self, on_news: Callable[[Name], None]) -> None:
        """Ask for one term, until cancelled.

        Args:
            on_news: Called with an autoscaler one of whose consumers is known about now, or is
                behind now, and was not before.
        """
        self._told.clear()
        while True:
            await self._is_wanted.wait()
            await self._round(on_news)
            await asyncio.sleep(POLL_S)

    async def _round(self, on_news: Callable[[Name], None]) -> None:
        wanted = frozenset[Consumer]().union(*self._asked_by.values())
        if not wanted:
            self._is_wanted.clear()
        gate = asyncio.Semaphore(AT_ONCE)
        before = dict(self._told)
        async with asyncio.TaskGroup() as tasks:
            for consumer in sorted(wanted):
                tasks.create_task(self._ask(consumer, gate))
        self._told = {consumer: self._told[consumer] for consumer in wanted}
        news = {one for one in wanted if _is_news(before.get(one), self._told[one])}
        for name, asked in tuple(self._asked_by.items()):
            if asked & news:
                on_news(name)

    async def _ask(self, consumer: Consumer, gate: asyncio.Semaphore) -> None:
        async with gate:
            try:
                lag = await self._bus.lag(consumer.stream, consumer.name, timeout_s=ANSWER_S)
                self._told[consumer] = lag.total
            except (NotFound, Unavailable) as error:
                if self._told.get(consumer) != str(error):
                    log.info("lag.unknown", stream=consumer.stream, error=str(error))
                self._told[consumer] = str(error)

    def of(self, consumers: Iterable[Consumer]) -> Mapping[Consumer, int | str] | None:
        """Messages that they have still to do, or why that is not known; None: not asked yet."""
        if any(consumer not in self._told for consumer in consumers):
            return None
        return {consumer: self._told[consumer] for consumer in consumers}

    def _heard(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.kind is not AUTOSCALERS:
                continue
            name = change.entry.namespace, change.entry.name
            asked = frozenset[Consumer]() if change.new is None else asked_by(change.new.object)
            if asked:
                self._asked_by[name] = asked
                self._is_wanted.set()
            else:
                self._asked_by.pop(name, None)


def asked_by(found: HorizontalPodAutoscaler) -> frozenset[Consumer]:
    """The consumers whose lag an autoscaler aims at."""
    consumers = (autoscale.consumer_of(metric) for metric in found.spec.metrics)
    return frozenset(consumer for consumer in consumers if consumer is not None)


def _is_news(before: int | str | None, now: int | str) -> bool:
    """Whether it is the first answer, or says that the consumer has something to do by now."""
    is_behind = isinstance(now, int) and now > 0
    return before is None or (is_behind and (before == 0 or isinstance(before, str)))
