"""What agents say: heartbeats to the failure detector, reports to objects, events to the recorder.

The newest report of each node is kept and planned like any desired state, so a report that came
while the store was away takes effect when it is back. A heartbeat that names a newer report than
the one held makes us ask for it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from orchestrator.core import reports
from orchestrator.core.decisions import Plan
from orchestrator.core.storage import volumes
from orchestrator.runtime.reconcile import Perform, Reconciler
from orchestrator.runtime.recorder import Recorder
from orchestrator.world import Change, World
from proto import codec, subjects
from proto.bus import Bus, Envelope
from proto.errors import BadRequest, Unavailable
from proto.kinds.event import EventSource, ObjectReference
from proto.kinds.node import NODES
from proto.kinds.pod import PODS
from proto.messages import Heartbeat, NodeEvent, NodeReport, ReportRequest

log = structlog.get_logger()

ASK_EVERY_S = 0.2
"""Between two requests for a node's report: a round trip and its work fit in between."""

HeardBeat = Callable[[Heartbeat], None]
HeardReport = Callable[[NodeReport], None]


class Intake:
    """See the module.

    Args:
        world: Read.
        bus: Subscribed to.
        recorder: Gets the agents' events.
        perform: Carries out decisions.
        clock: Epoch milliseconds.
        on_beat: Told of every heartbeat.
        on_report: Told of every report that is the newest of its node.
    """

    def __init__(
        self,
        *,
        world: World,
        bus: Bus,
        recorder: Recorder,
        perform: Perform,
        clock: Callable[[], int],
        on_beat: HeardBeat,
        on_report: HeardReport,
    ) -> None:
        self._world = world
        self._bus = bus
        self._recorder = recorder
        self._on_beat = on_beat
        self._on_report = on_report
        self._reports: dict[str, NodeReport] = {}
        self._asked_at: dict[str, float] = {}
        self._reconciler: Reconciler[tuple[str]] = Reconciler("report", self._plan, perform, clock)
        self.rejected = 0
        world.listen(self._heard_change)

    def forget(self, node: str) -> None:
        """What this node said no longer holds; it will be asked again when it is back."""
        self._reports.pop(node, None)

    async def run(self, epoch: int) -> None:
        """Listen for one term, until cancelled."""
        self._reports.clear()
        self._asked_at.clear()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._reconciler.run())
            for subject, hear in (
                (subjects.heartbeat(subjects.ANY), self._heard_beat),
                (subjects.report(subjects.ANY), self._heard_report),
                (subjects.node_event(subjects.ANY), self._heard_event),
            ):
                tasks.create_task(self._follow(subject, hear, epoch))

    async def _follow(
        self, subject: str, hear: Callable[[Envelope, int], Awaitable[None]], epoch: int
    ) -> None:
        subscription = await self._bus.subscribe(subject)
        try:
            while True:
                envelope = await subscription.get()
                try:
                    await hear(envelope, epoch)
                except BadRequest as error:
                    self.rejected += 1
                    log.warning(
                        "message.rejected",
                        subject=envelope.subject,
                        bytes=len(envelope.payload),
                        error=str(error),
                        rejected=self.rejected,
                    )
        finally:
            await subscription.close()

    async def _heard_beat(self, envelope: Envelope, epoch: int) -> None:
        beat = codec.decode(envelope.payload, Heartbeat)
        _check_sender(envelope, beat.node)
        self._on_beat(beat)
        held = self._reports.get(beat.node)
        newest = (beat.incarnation, beat.report_version)
        if held is None or (held.incarnation, held.version) < newest:
            await self._ask(beat.node, epoch)

    async def _ask(self, node: str, epoch: int) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._asked_at.get(node, -ASK_EVERY_S) < ASK_EVERY_S:
            return
        self._asked_at[node] = now
        request = codec.encode(ReportRequest(epoch=epoch))
        try:
            await self._bus.publish(subjects.report_request(node), request)
        except Unavailable as error:  # the next heartbeat asks again
            log.info("report.unasked", node=node, error=str(error))

    async def _heard_report(self, envelope: Envelope, _epoch: int) -> None:
        report = codec.decode(envelope.payload, NodeReport)
        _check_sender(envelope, report.node)
        held = self._reports.get(report.node)
        if held is not None and (held.incarnation, held.version) >= (
            report.incarnation,
            report.version,
        ):
            return
        self._reports[report.node] = report
        self._on_report(report)
        self._reconciler.ring((report.node,))

    async def _heard_event(self, envelope: Envelope, _epoch: int) -> None:
        event = codec.decode(envelope.payload, NodeEvent)
        _check_sender(envelope, event.node)
        about = self._about(event)
        if about is None:
            return
        self._recorder.record_event(
            about,
            event.type,
            event.reason,
            event.message,
            EventSource(component="node-agent", host=event.node),
            event.at_ms,
            event.series,
        )

    def _about(self, event: NodeEvent) -> ObjectReference | None:
        """What it happened to; None: nothing of the node's."""
        if not event.pod:
            node = self._world.get(NODES, "", event.node)
            uid = "" if node is None else node.metadata.uid
            return ObjectReference(
                kind=NODES.name, api_version=NODES.api_version, name=event.node, uid=uid
            )
        pod = self._world.get(PODS, event.namespace, event.pod)
        if pod is None or pod.metadata.uid != event.pod_uid or pod.spec.node_name != event.node:
            return None
        return ObjectReference(
            kind=PODS.name,
            api_version=PODS.api_version,
            namespace=event.namespace,
            name=event.pod,
            uid=event.pod_uid,
            field_path=event.field_path,
        )

    def _heard_change(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.kind is NODES and change.entry.name in self._reports:
                self._reconciler.ring((change.entry.name,))

    def _plan(self, key: tuple[str], now_ms: int) -> Plan:
        (name,) = key
        report = self._reports.get(name)
        if report is None:
            return Plan()
        node = self._world.get(NODES, "", name)
        told = reports.plan(report, node, self._world.pods_on(name))
        if not report.volumes:
            return told
        leaving = {volume.metadata.name: volume for volume in self._world.storage.leaving(name)}
        removed = volumes.reported(name, report.volumes, leaving, now_ms)
        return Plan((*told.decisions, *removed), told.wake_at_ms)


def _check_sender(envelope: Envelope, node: str) -> None:
    if subjects.node_of(envelope.subject) != node:
        raise BadRequest(f"a message of node {node!r} on the subject of another node")
