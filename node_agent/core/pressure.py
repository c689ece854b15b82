"""When the node runs low, what it says of that, and which pod has to go. Pure.

Source of the rules and words: the kubelet, pkg/kubelet/eviction (helpers.go, eviction_manager.go)
and nodestatus/setters.go. One pod goes at a time, at once: those that use more than they asked for
first, then those of the lowest priority, then those that use most beyond what they asked for.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from node_agent.core.observed import Ended
from proto import quantity
from proto.kinds.container import Container as ContainerSpec
from proto.meta import Condition, format_time

MEMORY, DISK, PIDS = "memory", "ephemeral-storage", "pids"
"""What a node may be short of, as resources are called."""

_CONDITIONS = {MEMORY: "MemoryPressure", DISK: "DiskPressure", PIDS: "PIDPressure"}

_WORDS = {
    "MemoryPressure": (
        ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
        ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ),
    "DiskPressure": (
        ("KubeletHasDiskPressure", "kubelet has disk pressure"),
        ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ),
    "PIDPressure": (
        ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
        ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ),
}
"""Reason and message while a condition holds, and while it does not."""

SIGNALS = {
    "memory.available": MEMORY,
    "nodefs.available": DISK,
    "nodefs.inodesFree": DISK,
    "imagefs.available": DISK,
    "imagefs.inodesFree": DISK,
    "pid.available": PIDS,
}
"""What is measured, and what it is a lack of; memory is looked after first."""

THRESHOLDS = {
    "memory.available": "100Mi",
    "nodefs.available": "10%",
    "nodefs.inodesFree": "5%",
    "imagefs.available": "15%",
    "imagefs.inodesFree": "5%",
    "pid.available": "5%",
}
"""Source: the kubelet's evictionHard, but for the last, for which it has none."""

CRITICAL = 2_000_000_000
"""From this priority on a pod is never evicted. Source: Kubernetes, SystemCriticalPriority."""


class Level(Struct, frozen=True):
    """What there is of something, and of how much."""

    available: int
    capacity: int


class Met(Struct, frozen=True):
    """A threshold that is not kept."""

    signal: str
    threshold: int
    available: int

    @property
    def resource(self) -> str:
        """What the node is short of."""
        return SIGNALS[self.signal]


class Pressure(Struct, frozen=True):
    """One condition of the node.

    Attributes:
        since_ms: When it became, or ceased to be, so; epoch milliseconds.
        met_ms: When one of its thresholds was last met.
    """

    holds: bool
    since_ms: int
    met_ms: int = 0


class Candidate(Struct, frozen=True):
    """A pod that might go.

    Attributes:
        used: By container: of what the node is short of; nothing where that is not known.
    """

    uid: str
    containers: tuple[ContainerSpec, ...]
    priority: int
    used: Mapping[str, int]


def met(levels: Mapping[str, Level], thresholds: Mapping[str, str]) -> list[Met]:
    """The thresholds that are not kept, those of memory first.

    >>> met({"pid.available": Level(4, 100)}, {"pid.available": "5%"})
    [Met(signal='pid.available', threshold=5, available=4)]
    """
    found = []
    for signal in SIGNALS:
        level, text = levels.get(signal), thresholds.get(signal)
        if level is None or text is None or level.capacity <= 0:
            continue
        threshold = amount(text, level.capacity)
        if level.available < threshold:
            found.append(Met(signal, threshold, level.available))
    return found


def amount(text: str, capacity: int) -> int:
    """A quantity, or a share of the capacity.

    Raises:
        ValueError: It is neither.

    >>> amount("10%", 2000), amount("1Ki", 2000)
    (200, 1024)
    """
    if text.endswith("%"):
        return int(capacity * float(text[:-1]) / 100)
    return quantity.whole(text)


def judged(
    before: Mapping[str, Pressure], found: Iterable[Met], transition_ms: int, now_ms: int
) -> dict[str, Pressure]:
    """The conditions after a look; one that held goes on for a while after its cause.

    Args:
        before: Those of the look before; empty for the first.
        found: What is not kept now.
        transition_ms: How long a condition outlives its cause.
        now_ms: Epoch milliseconds.
    """
    short_of = {_CONDITIONS[one.resource] for one in found}
    after = {}
    for name in _CONDITIONS.values():
        old = before.get(name, Pressure(holds=False, since_ms=now_ms))
        met_ms = now_ms if name in short_of else old.met_ms
        is_fresh = old.holds and 0 <= now_ms - met_ms < transition_ms
        holds = name in short_of or is_fresh
        since_ms = old.since_ms if holds is old.holds else now_ms
        after[name] = Pressure(holds, since_ms, met_ms)
    return after


def conditions(pressures: Mapping[str, Pressure]) -> tuple[Condition, ...]:
    """As the node's status has them."""
    found = []
    for name, pressure in pressures.items():
        reason, message = _WORDS[name][0 if pressure.holds else 1]
        since = format_time(pressure.since_ms)
        found.append(
            Condition(
                type=name,
                status="True" if pressure.holds else "False",
                reason=reason,
                message=message,
                last_transition_time=since,
                last_heartbeat_time=since,
            )
        )
    return tuple(found)


def requested(containers: Iterable[ContainerSpec], resource: str) -> int:
    """What containers asked for, in bytes."""
    return sum(quantity.whole(c.resources.requests.get(resource, 0)) for c in containers)


def victim(candidates: Iterable[Candidate], resource: str) -> Candidate | None:
    """Who goes first; None: nobody may."""

    def rank(candidate: Candidate) -> tuple[bool, int, int, str]:
        excess = sum(candidate.used.values()) - requested(candidate.containers, resource)
        return excess <= 0, candidate.priority, -excess, candidate.uid

    return min((c for c in candidates if c.priority < CRITICAL), key=rank, default=None)


def evicted(candidate: Candidate, cause: Met, grace_s: int, now_ms: int) -> Ended:
    """What becomes of it."""
    resource = cause.resource
    text = (
        f"The node was low on resource: {resource}. Threshold quantity: "
        f"{_binary(cause.threshold)}, available: {_binary(cause.available)}. "
    )
    for spec in candidate.containers:
        used, asked = candidate.used.get(spec.name, 0), requested((spec,), resource)
        if used > asked:
            text += (
                f"Container {spec.name} was using {_binary(used)}, request is {_binary(asked)}, "
                f"has larger consumption of {resource}. "
            )
    return Ended("Evicted", text, grace_s, now_ms)


def _binary(bytes_: int) -> str:
    """As Kubernetes prints a number of bytes.

    >>> _binary(104857600), _binary(1536), _binary(1000), _binary(0)
    ('100Mi', '1536', '1000', '0')
    """
    if bytes_ == 0 or bytes_ % 1024:
        return str(bytes_)
    size, suffixes = bytes_, ["", "Ki", "Mi", "Gi", "Ti"]
    while size % 1024 == 0 and len(suffixes) > 1:
        size //= 1024
        suffixes.pop(0)
    return f"{size}{suffixes[0]}"


def wrong(thresholds: Mapping[str, str]) -> Sequence[str]:
    """What is wrong with thresholds that somebody set."""
    errors = []
    for signal, text in thresholds.items():
        if signal not in SIGNALS:
            errors.append(f"{signal} is none of {', '.join(SIGNALS)}")
            continue
        try:
            amount(text, 1)
        except ValueError:
            errors.append(f"{signal}: {text!r} is neither a quantity nor a percentage")
    return errors
