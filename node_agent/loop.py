"""The agent: wake → observe → plan → act → report, and beside it heartbeats that wait for nobody.

Everything that happens (an assignment, an engine's event, the end of an action, a time that has
come) only rings the bell; the loop then plans from what is. The newest assignment is kept on disk
before it is acted on, so an agent that starts needs neither control plane nor bus: it adopts what
runs by its labels, and what is as it should be stays untouched.
"""

import asyncio
import contextlib
import random
from typing import TypeVar

import structlog
from msgspec.structs import replace

from node_agent import report, shutdown
from node_agent.assembly import Bells, Outside, assemble, host_of
from node_agent.core import contents, images, probes, targets
from node_agent.core.health import Health
from node_agent.core.observed import Container, Ended, Observed, PodView, by_pod
from node_agent.core.reconcile import plan
from node_agent.core.removing import with_removals
from node_agent.core.resolving import Resolver
from node_agent.engine import Engine
from node_agent.host import Clock, Disk, Machine, Prober
from node_agent.kept import Keeper
from node_agent.settings import Settings
from node_agent.storage import Storage
from node_agent.streams import StreamServer
from node_agent.watchman import Pods
from node_agent.witness import Witness, unseen
from proto import codec, subjects
from proto.bus import Bus, Envelope
from proto.errors import BadRequest, LongshoreError, Unavailable
from proto.messages import (
    AssignedPod,
    Assignment,
    AttachRequest,
    ExecRequest,
    ForwardRequest,
    Heartbeat,
    LogRequest,
    NodeFacts,
    NodeReport,
    PodReport,
    ProbeReply,
    ProbeRequest,
    ReportRequest,
    StreamFailed,
    VolumeReport,
)

log = structlog.get_logger()

LOOK_AGAIN_MS_MAX = 15_000
"""The clock may be set while the loop sleeps: it looks again at least this often."""

PROBES_MAX = 64
"""Questions about other hosts answered at once; each ends within a quarter of a second."""

_NO_RESOLVER = Resolver()

T = TypeVar("T")


class Agent:
    """One node's agent."""

    def __init__(
        self,
        settings: Settings,
        bus: Bus,
        engine: Engine,
        storage: Storage,
        disk: Disk,
        prober: Prober,
        clock: Clock,
        rng: random.Random,
        machine: Machine | None = None,
        witness: Witness = unseen,
        resolver: Resolver = _NO_RESOLVER,
    ) -> None:
        """Does nothing before `run`.

        Args:
            settings: With `node_name` and `internal_ip` filled in.
            bus: To the control plane; may be away.
            engine: What runs the containers; may be away.
            storage: Where pods' volumes and what they hold are kept.
            disk: Where the last assignment is kept.
            prober: Knocks at other hosts.
            clock: The host's.
            rng: Spreads what many agents would do at once.
            machine: The engine's host, for what it uses; None when that is not ours to see.
            witness: Sees every action.
            resolver: The host's own.
        """
        self._settings = settings
        self._node = settings.node_name
        self._bus = bus
        self._keeper = Keeper(disk)
        self._prober = prober
        self._clock = clock.steady_ms
        self._rng = rng
        self._host = host_of(settings, storage, resolver)
        self._bell = asyncio.Event()
        self._report_bell = asyncio.Event()
        self._pods = Pods(lambda: self._desired, lambda: self._ended, self._end)
        parts = assemble(
            Outside(settings, bus, engine, storage, clock, rng, machine, witness),
            self._pods,
            Bells(self._bell.set, self._look_again, self._report_bell.set),
        )
        self._parts = parts
        self._observer = parts.observer
        self._library = parts.library
        self._executor = parts.executor
        self._probing = parts.probing
        self._stream_server = StreamServer(bus, engine, self._node, self)
        self.rejected = 0
        """Messages that could not be understood."""
        self._incarnation = 0  # see `kept.Kept`
        self._assignment: Assignment | None = None
        self._accepted_at_ms: dict[str, int] = {}
        self._desired: dict[str, AssignedPod] = {}
        self._ended: dict[str, Ended] = {}
        self._is_shutting_down = False
        self._reporter = report.Reporter(settings.internal_ip)
        self._report_version = 0
        self._reported: tuple[object, ...] | None = None

    async def run(self) -> None:
        """Work until cancelled. Containers stay as they are then; see `say_goodbye`."""
        await self._remember()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._observer.run())
                tasks.create_task(self._reconcile(tasks))
                tasks.create_task(self._beat())
                tasks.create_task(self._report())
                tasks.create_task(self._parts.teller.run())
                tasks.create_task(self._accept_assignments())
                tasks.create_task(self._answer_report_requests())
                tasks.create_task(self._answer_probes())
                tasks.create_task(self._stream_server.run())
                tasks.create_task(self._parts.meter.run(self._incarnation))
                tasks.create_task(self._parts.watchman.run())
                tasks.create_task(self._parts.rooms.run())
        finally:
            await self._parts.checks.close()

    async def say_goodbye(self) -> None:
        """Tell the control plane that the agent leaves on purpose, its containers staying."""
        found = self._new_report(self._facts(), self._pod_reports(), is_leaving=True)
        farewell = codec.encode(found)
        with contextlib.suppress(LongshoreError):
            await self._bus.publish(subjects.report(self._node), farewell)

    async def shut_down(self) -> None:
        """End all pods, since the host goes off; see `shutdown`."""
        self._is_shutting_down = True
        self._report_bell.set()
        await shutdown.end_all(self._pods, self._observer, self._settings, self._clock)

    def report_soon(self) -> None:
        """Send the whole report again: somebody may have missed it."""
        self._reported = None
        self._report_bell.set()

    # --------------------------------------------------------- what to run

    async def _remember(self) -> None:
        await self._library.load()
        kept = await self._keeper.load()
        self._incarnation = max(self._clock(), kept.incarnation + 1)
        await self._keeper.save(incarnation=self._incarnation)
        self._probing.remember(kept.good)
        self._ended = kept.ended
        if kept.assignment is not None:
            now_ms = self._clock()  # may have been set back since
            accepted = {uid: min(at_ms, now_ms) for uid, at_ms in kept.accepted_at_ms.items()}
            self._adopt(kept.assignment, accepted)
            held = kept.assignment
            log.info("assignment.remembered", pods=len(held.pods), epoch=held.epoch)

    def _adopt(self, assignment: Assignment, accepted_at_ms: dict[str, int]) -> None:
        self._assignment = assignment
        self._accepted_at_ms = accepted_at_ms
        self._desired = {pod.uid: pod for pod in assignment.pods}
        self._executor.forget(
            uids={*self._desired, *self._removals},
            images=images.of_pods(assignment.pods),
            sources=contents.wanted(self._desired),
        )
        self._bell.set()
        self._report_bell.set()

    async def _accept_assignments(self) -> None:
        subscription = await self._bus.subscribe(subjects.assignment(self._node))
        while True:
            envelope = await subscription.get()
            assignment = self._decoded(envelope, Assignment)
            if assignment is not None and self._is_news(assignment):
                await self._accept(assignment)

    def _is_news(self, new: Assignment) -> bool:
        if new.node != self._node:
            log.warning("assignment.misdirected", node=new.node)
            return False
        held = self._assignment
        if held is None or (new.epoch, new.generation) > (held.epoch, held.generation):
            return True
        if (new.epoch, new.generation) < (held.epoch, held.generation):
            log.info("assignment.stale", epoch=new.epoch, generation=new.generation)
        return False

    async def _accept(self, assignment: Assignment) -> None:
        """Keep it, then follow it: an agent that crashes must not wake up with an older one."""
        now_ms = self._clock()
        accepted = {pod.uid: self._accepted_at_ms.get(pod.uid, now_ms) for pod in assignment.pods}
        self._ended = {uid: end for uid, end in self._ended.items() if uid in accepted}
        await self._keeper.save(
            assignment=assignment, accepted_at_ms=accepted, ended=dict(self._ended)
        )
        self._adopt(assignment, accepted)
        log.debug("assignment.accepted", generation=assignment.generation)

    async def _end(self, uid: str, end: Ended) -> None:
        """A pod is over: an agent that crashes now must not start it again."""
        self._ended[uid] = end
        await self._keeper.save(ended=dict(self._ended))
        self._bell.set()

    # ------------------------------------------------------ observe, plan, act

    def _look_again(self) -> None:
        """The engine shows something else than before."""
        self._bell.set()
        self._parts.meter.ring()

    async def _reconcile(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            self._bell.clear()
            wait_ms = LOOK_AGAIN_MS_MAX
            if self._observer.has_looked and not self._observer.error:
                now_ms = self._clock()
                observed = self._observed()
                host = replace(self._host, room=report.room(self._facts()))
                steps = with_removals(
                    plan(self._desired, observed, host, now_ms),
                    self._removals,
                    self._desired,
                    observed,
                    now_ms,
                )
                self._executor.carry_out(steps, tasks)
                self._follow_health(observed, tasks)
                if steps.wake_at_ms is not None:
                    wait_ms = min(wait_ms, max(1, steps.wake_at_ms - now_ms))
            self._report_bell.set()
            try:
                async with asyncio.timeout(wait_ms / 1000):
                    await self._bell.wait()
            except TimeoutError:
                pass

    def _follow_health(self, observed: Observed, tasks: asyncio.TaskGroup) -> None:
        """Ask what is to be asked of what runs now."""
        due = probes.targets(
            self._desired, by_pod(observed), observed.health, self._settings.internal_ip
        )
        self._probing.follow(due, self._observer.containers, tasks)

    @property
    def _health(self) -> Health:
        return replace(self._probing.health, starting=self._executor.starting)

    def _observed(self) -> Observed:
        """Everything; without any assignment yet, nothing but the pool, so that pods stay."""
        found = self._observer
        is_told = self._assignment is not None
        return Observed(
            sandboxes=tuple(s for s in found.sandboxes.values() if is_told or s.pod is None),
            containers=tuple(found.containers.values()) if is_told else (),
            images=found.image_names,
            volumes=dict(found.volumes) if is_told else {},
            stored=dict(found.stored) if is_told else {},
            contents=dict(self._library.held) if is_told else {},
            memory=self._executor.memory(self._accepted_at_ms, self._ended),
            health=self._health,
        )

    # ---------------------------------------------------------------- report

    async def _report(self) -> None:
        """On every change, gathered for some milliseconds."""
        subject = subjects.report(self._node)
        while True:
            await self._report_bell.wait()
            await asyncio.sleep(self._settings.report_ms / 1000)
            self._report_bell.clear()
            if not (self._observer.has_looked or self._observer.error):
                continue
            held = self._assignment
            fence = (held.epoch, held.generation) if held else (0, 0)
            facts, pods = self._facts(), self._pod_reports()
            content = (facts, pods, self._volume_reports(), *fence)
            if content == self._reported:
                continue
            self._reported = content
            self._report_version += 1
            if (good := self._probing.good) != self._keeper.kept.good:
                await self._keeper.save(good=good)
            try:
                await self._bus.publish(subject, codec.encode(self._new_report(facts, pods)))
            except Unavailable as error:
                # The next heartbeat that gets through tells which version was missed.
                log.info("report.unsent", error=str(error))

    def _new_report(
        self, facts: NodeFacts, pods: tuple[PodReport, ...], *, is_leaving: bool = False
    ) -> NodeReport:
        held = self._assignment
        return NodeReport(
            node=self._node,
            incarnation=self._incarnation,
            version=self._report_version + (1 if is_leaving else 0),
            epoch=held.epoch if held else 0,
            generation=held.generation if held else 0,
            facts=facts,
            pods=pods,
            volumes=self._volume_reports(),
            is_leaving=is_leaving,
        )

    def _facts(self) -> NodeFacts:
        return report.node_facts(
            self._settings,
            self._observer.info,
            self._observer.images,
            self._observer.error,
            self._host.places.stored,
            self._parts.watchman.conditions,
            is_shutting_down=self._is_shutting_down,
        )

    def _pod_reports(self) -> tuple[PodReport, ...]:
        """Every assigned pod; none before the engine was looked at: nothing is known of them."""
        if not self._observer.has_looked:
            return ()
        observed = self._observed()
        return self._reporter.pods(
            self._desired.values(),
            by_pod(observed),
            self._executor.waits,
            observed.health,
            memory=observed.memory,
            images={image.id: image.names for image in self._observer.images},
            now_ms=self._clock(),
        )

    @property
    def _removals(self) -> tuple[str, ...]:
        held = self._assignment
        return tuple(removal.name for removal in held.removals) if held else ()

    def _volume_reports(self) -> tuple[VolumeReport, ...]:
        """Every volume that is to go, once it is known what there is."""
        held = self._assignment
        if held is None or not self._observer.has_looked:
            return ()
        failures = self._executor.failures
        return tuple(
            report.volume_report(removal, self._observer.stored, failures)
            for removal in held.removals
        )

    async def _beat(self) -> None:
        """Alive, whatever the engine does. The first beat of many agents is spread."""
        period_s = self._settings.heartbeat_ms / 1000
        subject = subjects.heartbeat(self._node)
        loop = asyncio.get_running_loop()
        next_s = loop.time() + self._rng.uniform(0, period_s)
        while True:
            held = self._assignment
            beat = Heartbeat(
                node=self._node,
                incarnation=self._incarnation,
                epoch=held.epoch if held else 0,
                generation=held.generation if held else 0,
                report_version=self._report_version,
            )
            with contextlib.suppress(Unavailable):
                await self._bus.publish(subject, codec.encode(beat))
            await asyncio.sleep(max(0.0, next_s - loop.time()))
            next_s = max(next_s + period_s, loop.time())

    # --------------------------------------------------------------- answers

    async def _answer_report_requests(self) -> None:
        subscription = await self._bus.subscribe(subjects.report_request(self._node))
        while True:
            envelope = await subscription.get()
            if self._decoded(envelope, ReportRequest) is not None:
                self.report_soon()

    async def _answer_probes(self) -> None:
        subscription = await self._bus.subscribe(subjects.probe(self._node))
        gate = asyncio.Semaphore(PROBES_MAX)
        async with asyncio.TaskGroup() as tasks:
            while True:
                envelope = await subscription.get()
                request = self._decoded(envelope, ProbeRequest)
                if request is not None and envelope.reply:
                    await gate.acquire()
                    task = tasks.create_task(self._probe(request, envelope.reply))
                    task.add_done_callback(lambda _: gate.release())

    async def _probe(self, request: ProbeRequest, reply_to: str) -> None:
        is_reachable = await self._prober.is_reachable(request.address)
        reply = ProbeReply(node=request.node, by=self._node, is_reachable=is_reachable)
        with contextlib.suppress(Unavailable):
            await self._bus.publish(reply_to, codec.encode(reply))

    # --------------------------------------------------- what streams are asked for

    def logged(self, request: LogRequest) -> Container | StreamFailed:
        """See `streams.Targets`."""
        return targets.logged(request, *self._seen(request.pod_uid), self._executor.waits)

    def running(self, request: ExecRequest | AttachRequest) -> Container | StreamFailed:
        """See `streams.Targets`."""
        return targets.running(request, *self._seen(request.pod_uid))

    def address(self, request: ForwardRequest) -> str | StreamFailed:
        """See `streams.Targets`."""
        pod, view = self._seen(request.pod_uid)
        return targets.address(request.pod_uid, pod, view, self._settings.internal_ip)

    def _seen(self, uid: str) -> tuple[AssignedPod | None, PodView]:
        pod = self._desired.get(uid)
        return pod, report.view_of(pod, by_pod(self._observed())) if pod else PodView()

    def _decoded(self, envelope: Envelope, type_: type[T]) -> T | None:
        try:
            return codec.decode(envelope.payload, type_)
        except BadRequest as error:
            self.rejected += 1
            log.warning("message.rejected", subject=envelope.subject, error=str(error))
            return None
