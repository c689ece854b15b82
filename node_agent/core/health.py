"""What the results of probes amount to. Source of the rules: the kubelet, prober.

A success or a failure counts once it was seen as often in a row as the probe's threshold says;
until then the last verdict stands. Before the first one, a container is alive and cannot serve.
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from proto.kinds.container import Container as ContainerSpec
from proto.kinds.probe import Probe


class Kind(StrEnum):
    """What a probe asks."""

    STARTUP = "startup"
    READINESS = "readiness"
    LIVENESS = "liveness"


class Verdict(Struct, frozen=True):
    """What the results so far amount to.

    Attributes:
        is_good: None before the first verdict.
        since_ms: Since when, epoch milliseconds.
        in_a_row: How often the latest result was seen, in a row.
        was_success: The latest result.
    """

    is_good: bool | None = None
    since_ms: int = 0
    in_a_row: int = 0
    was_success: bool = False


UNASKED = Verdict()

Verdicts = Mapping[tuple[str, Kind], Verdict]
"""By container id and probe."""


def after(verdict: Verdict, probe: Probe, *, is_success: bool, now_ms: int) -> Verdict:
    """The verdict after one more result.

    >>> probe = Probe(success_threshold=1, failure_threshold=2)
    >>> once = after(UNASKED, probe, is_success=False, now_ms=1)
    >>> once.is_good, after(once, probe, is_success=False, now_ms=2).is_good
    (None, False)
    """
    in_a_row = verdict.in_a_row + 1 if is_success == verdict.was_success else 1
    is_good, since_ms = verdict.is_good, verdict.since_ms
    threshold = probe.success_threshold if is_success else probe.failure_threshold
    if in_a_row >= threshold and is_good is not is_success:
        is_good, since_ms = is_success, now_ms
    return Verdict(is_good, since_ms, in_a_row, is_success)


class Health(Struct, frozen=True):
    """What is known of running containers.

    Attributes:
        verdicts: What probes say.
        starting: Ids of those whose hook after the start is not done: they have not started yet.
    """

    verdicts: Verdicts = {}
    starting: frozenset[str] = frozenset()

    def has_started(self, spec: ContainerSpec, id: str) -> bool:
        """Whether a running container is past its start."""
        is_up = spec.startup_probe is None or self._is_good(id, Kind.STARTUP)
        return is_up and id not in self.starting

    def is_ready(self, spec: ContainerSpec, id: str) -> bool:
        """Whether a running container can serve."""
        is_able = spec.readiness_probe is None or self._is_good(id, Kind.READINESS)
        return is_able and self.has_started(spec, id)

    def ready_since_ms(self, id: str) -> int:
        """When a probe last changed its mind about the container; 0 for never."""
        kinds = (Kind.STARTUP, Kind.READINESS)
        return max(self.verdicts.get((id, kind), UNASKED).since_ms for kind in kinds)

    def failed(self, spec: ContainerSpec, id: str) -> tuple[Kind, Probe] | None:
        """The probe for whose failure the container must end."""
        for kind, probe in (
            (Kind.STARTUP, spec.startup_probe),
            (Kind.LIVENESS, spec.liveness_probe),
        ):
            if probe is not None and self.verdicts.get((id, kind), UNASKED).is_good is False:
                return kind, probe
        return None

    def _is_good(self, id: str, kind: Kind) -> bool:
        return self.verdicts.get((id, kind), UNASKED).is_good is True


class Good(Struct, frozen=True, order=True):
    """One probe of one container that was last found good, since when (epoch milliseconds)."""

    container_id: str
    kind: Kind
    since_ms: int
