"""Everything that runs while this orchestrator leads, and the wait for its turn.

All state is the store's: a term begins by listing it and ends by forgetting nothing that matters.
The world outlives terms, so that reads are served while nobody here leads.
"""

import asyncio
import random
from collections.abc import Callable

import structlog

from orchestrator.core.node_lifecycle import Timing
from orchestrator.runtime import replica
from orchestrator.runtime.announce import Announcer
from orchestrator.runtime.audit import AuditLog
from orchestrator.runtime.contents import Contents
from orchestrator.runtime.controllers import Controllers
from orchestrator.runtime.controllers.autoscalers import Autoscalers
from orchestrator.runtime.deploys import Deploys
from orchestrator.runtime.detector import Detector
from orchestrator.runtime.dispatch import Dispatcher
from orchestrator.runtime.election import Election, Term
from orchestrator.runtime.intake import Intake
from orchestrator.runtime.lag import Lags
from orchestrator.runtime.perform import Performer
from orchestrator.runtime.recorder import Recorder
from orchestrator.runtime.scheduler import Scheduler
from orchestrator.runtime.streams import Streams
from orchestrator.runtime.tokens import Tokens
from orchestrator.runtime.usage import Usages
from orchestrator.runtime.verbs import Verbs
from orchestrator.runtime.writer import Writer
from orchestrator.settings import Settings
from orchestrator.store import Store
from orchestrator.world import World
from proto.bus import Bus
from proto.errors import NotLeader, Retryable
from proto.messages import Heartbeat

log = structlog.get_logger()

RECAMPAIGN_S = 0.2
"""After a term that broke down: time for the store to breathe, far below the lease's TTL."""


class ControlPlane:
    """One orchestrator without its front door (the API is built on top of it).

    Args:
        settings: Of the daemon.
        store: Where all state is.
        bus: To the agents.
        identity: Ours among orchestrators; see `election`.
        clock: Epoch milliseconds.
        chance: Names, uids; seeded in simulations.
        audit: Where deploy events are written down, if anywhere.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        bus: Bus,
        *,
        identity: str,
        clock: Callable[[], int],
        chance: random.Random,
        audit: AuditLog | None = None,
    ) -> None:
        self._store = store
        self.world = World()
        self.writer = Writer(store, self.world)
        self.verbs = Verbs(self.world, self.writer, clock, chance)
        self.tokens = Tokens(store, self.writer, self.world, clock, self.verbs.new_uid)
        self.streams = Streams(bus, self.verbs.new_uid)
        self.usages = Usages(self.world, bus)
        self._recorder = Recorder(self.world, self.writer, self.verbs, clock)
        perform = Performer(self.verbs, self.writer, self._recorder).perform
        autoscalers = Autoscalers(
            self.world, self.usages, Lags(self.world, bus), settings.autoscaler_sync_ms
        )
        self._controllers = Controllers(self.world, perform, clock, (autoscalers,))
        self._scheduler = Scheduler(self.world, perform, clock)
        self._dispatcher = Dispatcher(self.world, bus)
        self._contents = Contents(self.world, bus, lambda: self.is_leading)
        self._announcer = Announcer(self.world, bus, clock)
        self._deploys = Deploys(self.world, self.writer, self.verbs, store, bus, audit)
        self._detector = Detector(
            world=self.world,
            bus=bus,
            perform=perform,
            clock=clock,
            timing=_timing(settings),
            on_silent=self._silent,
        )
        self._intake = Intake(
            world=self.world,
            bus=bus,
            recorder=self._recorder,
            perform=perform,
            clock=clock,
            on_beat=self._beat,
            on_report=self._detector.heard_report,
        )
        self._election = Election(store, identity, ttl_s=settings.leader_ttl_s)

    @property
    def is_leading(self) -> bool:
        """Whether writes are taken here."""
        return self.writer.epoch is not None

    async def run(self) -> None:
        """Campaign, lead, and again, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.usages.run())
            tasks.create_task(self._contents.run())
            while True:
                # A task of its own: before Python 3.13, a TaskGroup that fails forgets that it was
                # cancelled meanwhile, and a daemon told to stop would campaign again.
                await asyncio.wait((tasks.create_task(self._term()),))
                await asyncio.sleep(RECAMPAIGN_S)

    async def _term(self) -> None:
        """Wait for one, and lead until it is over."""
        try:
            term = await self._campaign()
            log.info("leader.elected", epoch=term.epoch)
            await self._lead(term)
        except* Retryable as group:
            for error in group.exceptions:
                log.warning("leader.deposed", error=str(error))

    async def _campaign(self) -> Term:
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(replica.follow(self._store, self.world))
            term = await self._election.campaign()
            following.cancel()
        return term

    async def _lead(self, term: Term) -> None:
        """Until the term is lost, which ends everything that decides."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._until_lost(term))
                tasks.create_task(self.writer.run(term.epoch))
                await self.writer.ready.wait()
                tasks.create_task(self._recorder.run())
                tasks.create_task(self._dispatcher.run(term.epoch))
                tasks.create_task(self._announcer.run())
                tasks.create_task(self._detector.run())
                tasks.create_task(self._intake.run(term.epoch))
                tasks.create_task(self._controllers.run())
                tasks.create_task(self._scheduler.run())
                tasks.create_task(self._deploys.run())
        finally:
            await term.resign()

    async def _until_lost(self, term: Term) -> None:
        await term.lost()
        raise NotLeader("the leader's lease was not renewed in time")

    def _beat(self, beat: Heartbeat) -> None:
        self._detector.heard_beat(beat)
        self._dispatcher.heard_from(beat)

    def _silent(self, node: str) -> None:
        self._intake.forget(node)


def _timing(settings: Settings) -> Timing:
    """All waits in proportion to the one that is set."""
    unit = settings.node_grace_ms / Timing().silent_ms
    return Timing(
        suspect_ms=round(Timing().suspect_ms * unit),
        silent_ms=settings.node_grace_ms,
        lost_ms=round(Timing().lost_ms * unit),
    )
