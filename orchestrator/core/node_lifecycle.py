"""Is a node there? Judged from its heartbeats and from what its peers see of its host.

A silent agent is a question, not an answer. Its node takes no new pods at once, and peers try to
reach its host. Reached: the agent is dead, its containers are not, and they stay. Not reached by
any: the host is lost, and its pods move. Where no peer can tell, nothing moves.

When most nodes fall silent together, the fault is more likely between them and us: judgement is
held until enough are back, and whoever is still silent then gets its whole grace anew. The same
grace runs from a leader's start, because it has not heard anybody yet. Source of these rules:
Kubernetes, pkg/controller/nodelifecycle (handleDisruption, unhealthy-zone-threshold).

`judge` looks at all nodes at once; `node_verdicts` writes a verdict down and moves the pods of a
lost node.
"""

import enum
from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

HOLD_SHARE = 0.55
"""Share of silent nodes from which judgement is held. Source: unhealthy-zone-threshold."""

HOLD_NODES_MIN = 2
"""One silent node is never a mass outage."""


class Timing(Struct, frozen=True):
    """How long to wait for what, milliseconds; fits one heartbeat every 250.

    Attributes:
        suspect_ms: Silence that counts towards a hold and has peers asked: two beats missed. It
            must be at least one beat shorter than `silent_ms`, or an outage that all nodes feel
            within one beat would cost the first its pods before the others are missed.
        silent_ms: Silence that makes a node NotReady, and lost if peers say so: three beats missed.
        lost_ms: Silence that loses a node for which nobody can be asked.
        probe_ms: How long peers have to answer. A host that is there answers in a few.
        reprobe_ms: Before a host that answered, or that nobody spoke for, is asked after again.
        first_beat_ms: Grace for a node that this leader has not heard yet.
    """

    suspect_ms: int = 500
    silent_ms: int = 750
    lost_ms: int = 900
    probe_ms: int = 300
    reprobe_ms: int = 1000
    first_beat_ms: int = 5000


STANDARD = Timing()


class Probe(Struct, frozen=True):
    """The last time peers were asked after a host, and what they said.

    Attributes:
        asked_ms: When, on the same clock as `now_ms`.
        peers: How many were asked.
        reachable: How many of them reached it.
        unreachable: How many tried and did not.
    """

    asked_ms: int
    peers: int
    reachable: int = 0
    unreachable: int = 0


class State(enum.StrEnum):
    """What a node is judged to be."""

    READY = "Ready"
    UNHEARD = "Unheard"
    """Not heard by this leader yet, which proves nothing: what was written of it stands."""
    SILENT = "Silent"
    AGENT_DOWN = "AgentDown"
    ENGINE_DOWN = "EngineDown"
    LEAVING = "Leaving"
    SHUTDOWN = "Shutdown"
    """Its host is going off, and its agent has ended its pods."""
    LOST = "Lost"


class Observation(Struct, frozen=True):
    """What is known of one node.

    Attributes:
        name: The node's.
        last_beat_ms: When its agent was last heard by this leader; None: not yet.
        probe_address: Where peers may try its host; empty when silence must count as loss.
        probe: The last one; None when none was made.
        engine_error: Why its Docker does not answer; empty when it does.
        is_leaving: Its agent said that it is being stopped on purpose; its containers stay.
        is_shutting_down: It said that its host is being shut down, and its pods are ended.
    """

    name: str
    last_beat_ms: int | None = None
    probe_address: str = ""
    probe: Probe | None = None
    engine_error: str = ""
    is_leaving: bool = False
    is_shutting_down: bool = False

    @property
    def parting(self) -> State | None:
        """What its agent said when it left, or is about to; None: nothing."""
        if self.is_shutting_down:
            return State.SHUTDOWN
        return State.LEAVING if self.is_leaving else None


class Verdict(Struct, frozen=True):
    """One node's judgement.

    Attributes:
        detail: What the engine said, for ENGINE_DOWN.
        must_probe: Ask its peers after its host now.
    """

    name: str
    state: State
    detail: str = ""
    must_probe: bool = False


class Memory(Struct, frozen=True):
    """What one judgement leaves for the next.

    Attributes:
        grace_from_ms: No silence counts from before: the leader's start, or the last hold's end.
        is_holding: Most nodes are silent.
        lost: Nodes known to be lost and not heard since. They are settled, so they have no part in
            what share is silent.
    """

    grace_from_ms: int
    is_holding: bool = False
    lost: frozenset[str] = frozenset()


class Judgement(Struct, frozen=True):
    """All verdicts, by name, and when to judge again if nothing is heard."""

    verdicts: tuple[Verdict, ...]
    memory: Memory
    wake_at_ms: int | None = None


def judge(
    nodes: Iterable[Observation], memory: Memory, now_ms: int, timing: Timing = STANDARD
) -> Judgement:
    """What each node is, as of now.

    Args:
        nodes: All of them, in any order.
        memory: Of the judgement before; a new leader starts with its start as `grace_from_ms`, and
            with the nodes written down as lost.
        now_ms: Monotonic milliseconds: the clock of all other times here.
        timing: How long to wait for what.
    """
    by_name = sorted(nodes, key=lambda node: node.name)
    lost = frozenset(
        n.name for n in by_name if n.name in memory.lost and _is_unheard(n, now_ms, timing)
    )
    others = [node for node in by_name if node.name not in lost]
    is_holding = _must_hold(others, memory, now_ms, timing)
    grace_from_ms = now_ms if memory.is_holding and not is_holding else memory.grace_from_ms
    after = Memory(grace_from_ms, is_holding, lost)
    verdicts = tuple(_verdict(node, after, now_ms, timing) for node in by_name)
    times = [at for node in others for at in _deadlines(node, after, timing) if at > now_ms]
    all_lost = frozenset(found.name for found in verdicts if found.state is State.LOST)
    return Judgement(verdicts, replace(after, lost=all_lost), min(times, default=None))


def _is_unheard(node: Observation, now_ms: int, timing: Timing) -> bool:
    return node.last_beat_ms is None or now_ms - node.last_beat_ms >= timing.silent_ms


def silence_ms(node: Observation, memory: Memory, now_ms: int) -> int:
    """For how long the node has been silent, as far as that counts."""
    return now_ms - max(node.last_beat_ms or 0, memory.grace_from_ms)


def _must_hold(nodes: Sequence[Observation], memory: Memory, now_ms: int, timing: Timing) -> bool:
    """Whether too many are silent at once, those included that were never heard."""
    silent = sum(silence_ms(node, memory, now_ms) >= timing.suspect_ms for node in nodes)
    return silent >= HOLD_NODES_MIN and silent >= HOLD_SHARE * len(nodes)


def _verdict(node: Observation, memory: Memory, now_ms: int, timing: Timing) -> Verdict:
    if node.name in memory.lost:
        return Verdict(node.name, State.LOST)
    silence = silence_ms(node, memory, now_ms)
    if node.last_beat_ms is None and silence < timing.first_beat_ms:
        return Verdict(node.name, State.UNHEARD)
    if silence < timing.silent_ms:
        if node.last_beat_ms is None or node.last_beat_ms < memory.grace_from_ms:
            return Verdict(node.name, State.UNHEARD)
        is_suspect = silence >= timing.suspect_ms and not memory.is_holding
        must_probe = is_suspect and node.probe_address != "" and node.probe is None
        return replace(_of_speaking(node), must_probe=must_probe)
    quiet = node.parting or State.SILENT
    if memory.is_holding:
        return Verdict(node.name, quiet)
    if not node.probe_address:
        is_lost = silence >= timing.lost_ms and node.parting is None
        return Verdict(node.name, State.LOST if is_lost else quiet)
    return _of_probed(node, quiet, now_ms - silence, now_ms, timing)


def _of_speaking(node: Observation) -> Verdict:
    if node.parting is not None:
        return Verdict(node.name, node.parting)
    if node.engine_error:
        return Verdict(node.name, State.ENGINE_DOWN, node.engine_error)
    return Verdict(node.name, State.READY)


def _of_probed(
    node: Observation, quiet: State, since_ms: int, now_ms: int, timing: Timing
) -> Verdict:
    """A silent node that peers can be asked after; what they said before its silence is void."""
    probe = node.probe
    if probe is None or probe.asked_ms < since_ms:
        return Verdict(node.name, quiet, must_probe=True)
    is_over = now_ms >= probe.asked_ms + timing.probe_ms
    is_stale = now_ms >= probe.asked_ms + timing.reprobe_ms
    if probe.reachable:
        return Verdict(node.name, node.parting or State.AGENT_DOWN, must_probe=is_stale)
    if probe.unreachable and (is_over or probe.unreachable >= probe.peers):
        return Verdict(node.name, State.LOST)
    return Verdict(node.name, quiet, must_probe=is_stale)


def _deadlines(node: Observation, memory: Memory, timing: Timing) -> Iterable[int]:
    """Every moment at which this node's verdict may change by itself."""
    since_ms = max(node.last_beat_ms or 0, memory.grace_from_ms)
    yield since_ms + timing.suspect_ms
    yield since_ms + timing.silent_ms
    yield since_ms + timing.lost_ms
    if node.last_beat_ms is None:
        yield since_ms + timing.first_beat_ms
    if node.probe is not None:
        yield node.probe.asked_ms + timing.probe_ms
        yield node.probe.asked_ms + timing.reprobe_ms
