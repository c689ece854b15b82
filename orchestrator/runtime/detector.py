"""Watches over the nodes: when was each heard, what do peers say of the silent ones.

What to conclude is decided by `core.node_lifecycle`, what to write down by `core.node_verdicts`.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog
from msgspec.structs import replace

from orchestrator.core import node_lifecycle, node_verdicts
from orchestrator.core.decisions import Plan
from orchestrator.core.node_lifecycle import Memory, Observation, Probe, State, Timing, Verdict
from orchestrator.core.reports import PROBE_ANNOTATION
from orchestrator.runtime.reconcile import Perform, Reconciler
from orchestrator.world import Change, World
from proto import codec, subjects
from proto.bus import Bus
from proto.errors import BadRequest, Unavailable
from proto.kinds.node import NODES, Node
from proto.kinds.pod import PODS
from proto.messages import Heartbeat, NodeReport, ProbeReply, ProbeRequest

log = structlog.get_logger()

PEERS_MAX = 3
"""Peers asked after one host: one may itself be cut off from it, hardly three."""

SPOKEN = (State.READY, State.ENGINE_DOWN, State.SHUTDOWN)


class Detector:
    """See the module.

    Args:
        world: Read, and listened to.
        bus: To the peers.
        perform: Carries out decisions.
        clock: Epoch milliseconds, for what is written down.
        timing: How long to wait for what.
        on_silent: Told of every node that is not heard any more.
    """

    def __init__(
        self,
        *,
        world: World,
        bus: Bus,
        perform: Perform,
        clock: Callable[[], int],
        timing: Timing,
        on_silent: Callable[[str], None],
    ) -> None:
        self._world = world
        self._bus = bus
        self._timing = timing
        self._on_silent = on_silent
        self._nodes: dict[str, Observation] = {}
        self._verdicts: dict[str, Verdict] = {}
        self._memory = Memory(grace_from_ms=0)
        self._rung = asyncio.Event()
        self._reconciler: Reconciler[tuple[str]] = Reconciler("node", self._plan, perform, clock)
        world.listen(self._heard_change)

    # -- what is heard

    def heard_beat(self, beat: Heartbeat) -> None:
        """An agent is alive."""
        known = self._nodes.get(beat.node)
        if known is None:
            return
        verdict = self._verdicts.get(beat.node)
        self._nodes[beat.node] = replace(known, last_beat_ms=_loop_ms(), probe=None)
        if verdict is None or verdict.state not in SPOKEN:
            self._rung.set()

    def heard_report(self, report: NodeReport) -> None:
        """An agent says how its engine is, or that it leaves."""
        known = self._nodes.get(report.node)
        if known is None:
            return
        now = replace(
            known,
            engine_error=report.facts.engine_error,
            is_leaving=report.is_leaving,
            is_shutting_down=report.facts.is_shutting_down,
        )
        if now != known:
            self._nodes[report.node] = now
            self._rung.set()

    def _heard_change(self, changes: Sequence[Change]) -> None:
        for change in changes:
            name = change.entry.name
            if change.kind is NODES:
                if change.new is None:
                    self._nodes.pop(name, None)
                    self._verdicts.pop(name, None)
                else:
                    self._know(change.new.object)
                    self._reconciler.ring((name,))
            elif change.kind is PODS and change.new is not None:
                node = change.new.object.spec.node_name
                verdict = self._verdicts.get(node)
                if verdict is not None and verdict.state is State.LOST:
                    self._reconciler.ring((node,))

    def _know(self, node: Node) -> None:
        name = node.metadata.name
        address = node.metadata.annotations.get(PROBE_ANNOTATION, "")
        known = self._nodes.get(name)
        if known is None:
            # Whoever describes itself is alive: a node's object is made from its first report.
            self._nodes[name] = Observation(name, probe_address=address)
            self._rung.set()
        elif known.probe_address != address:
            self._nodes[name] = replace(known, probe_address=address)

    # -- what is concluded

    async def run(self) -> None:
        """Judge for one term, until cancelled."""
        self._nodes.clear()
        self._verdicts.clear()
        nodes = self._world.objects(NODES)
        self._memory = node_verdicts.remembered(nodes, _loop_ms())
        for node in nodes:
            self._know(node)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._reconciler.run())
            while True:
                wake_at_ms = self._judge(tasks)
                await self._sleep_until(wake_at_ms)

    def _judge(self, tasks: asyncio.TaskGroup) -> int | None:
        now_ms = _loop_ms()
        judgement = node_lifecycle.judge(self._nodes.values(), self._memory, now_ms, self._timing)
        if judgement.memory.is_holding != self._memory.is_holding:
            log.warning("nodes.held" if judgement.memory.is_holding else "nodes.released")
        self._memory = judgement.memory
        for verdict in judgement.verdicts:
            if verdict.must_probe:
                self._ask(verdict.name, now_ms, tasks)
            before = self._verdicts.get(verdict.name)
            verdict = replace(verdict, must_probe=False)  # noqa: PLW2901
            if before == verdict:
                continue
            self._verdicts[verdict.name] = verdict
            log.info("node.judged", node=verdict.name, state=verdict.state, detail=verdict.detail)
            if verdict.state not in (*SPOKEN, State.UNHEARD):
                self._on_silent(verdict.name)
            self._reconciler.ring((verdict.name,))
        return judgement.wake_at_ms

    async def _sleep_until(self, wake_at_ms: int | None) -> None:
        when = None if wake_at_ms is None else wake_at_ms / 1000
        try:
            async with asyncio.timeout_at(when):
                await self._rung.wait()
        except TimeoutError:
            pass
        self._rung.clear()

    def _plan(self, key: tuple[str], now_ms: int) -> Plan:
        (name,) = key
        node = self._world.get(NODES, "", name)
        verdict = self._verdicts.get(name)
        if node is None or verdict is None:
            return Plan()
        return node_verdicts.plan(node, verdict, self._world.pods_on(name), now_ms)

    # -- what peers see

    def _ask(self, name: str, now_ms: int, tasks: asyncio.TaskGroup) -> None:
        peers = [
            node.name
            for node in self._nodes.values()
            if node.last_beat_ms is not None
            and now_ms - node.last_beat_ms < self._timing.suspect_ms
        ][:PEERS_MAX]
        observation = self._nodes[name]
        self._nodes[name] = replace(observation, probe=Probe(now_ms, len(peers)))
        request = codec.encode(ProbeRequest(node=name, address=observation.probe_address))
        for peer in peers:
            tasks.create_task(self._probe(name, peer, request, now_ms))

    async def _probe(self, name: str, peer: str, request: bytes, asked_ms: int) -> None:
        try:
            answer = await self._bus.request(
                subjects.probe(peer), request, timeout_s=self._timing.probe_ms / 1000
            )
            reply = codec.decode(answer, ProbeReply)
        except (Unavailable, BadRequest) as error:  # no evidence either way
            log.info("probe.unanswered", node=name, by=peer, error=str(error))
            return
        log.info("probe.answered", node=name, by=peer, is_reachable=reply.is_reachable)
        known = self._nodes.get(name)
        if known is None or known.probe is None or known.probe.asked_ms != asked_ms:
            return  # it spoke in the meantime, or was asked after again
        probe = known.probe
        if reply.is_reachable:
            probe = replace(probe, reachable=probe.reachable + 1)
        else:
            probe = replace(probe, unreachable=probe.unreachable + 1)
        self._nodes[name] = replace(known, probe=probe)
        self._rung.set()


def _loop_ms() -> int:
    return round(asyncio.get_running_loop().time() * 1000)  # int() would fall a tick short
