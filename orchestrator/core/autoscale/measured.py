"""What metrics are compared with, and what comes of it."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from msgspec import Struct

from orchestrator.core import scale
from orchestrator.core.scale import Numbers
from proto import quantity
from proto.kinds.autoscaler import Behavior, ScalingRules
from proto.kinds.autoscaler_metrics import MetricStatus
from proto.kinds.kind import Kind
from proto.kinds.pod import Pod
from proto.messages import Usage
from proto.meta import LabelSelector

TOLERANCE = Fraction(1, 10)
"""Source: kube-controller-manager, --horizontal-pod-autoscaler-tolerance."""


class Consumer(Struct, frozen=True, order=True):
    """Of a JetStream stream."""

    stream: str
    name: str


class Target(Struct, frozen=True):
    """What is scaled, of a kind with a scale."""

    kind: Kind[Any]
    object: Any

    @property
    def numbers(self) -> Numbers:
        """Of its replicas."""
        return scale.numbers(self.object, self.kind.scale)

    @property
    def selector(self) -> LabelSelector | None:
        """Of its pods; None when it does not say.

        Raises:
            BadRequest: What a custom resource says is no selector.
        """
        return scale.selector(self.object, self.kind.scale)


class Measured(Struct, frozen=True):
    """What is known of a target.

    Attributes:
        pods: Those its selector selects.
        usages: By pod uid, then by container, as nodes told them last.
        lags: Messages that consumers have still to do, or why that is not known.
        rivals: All autoscalers (``namespace/name``) of its pods, where there is more than one.
    """

    pods: Sequence[Pod] = ()
    usages: Mapping[str, Mapping[str, Usage]] = {}
    lags: Mapping[Consumer, int | str] = {}
    rivals: Sequence[str] = ()


class Proposal(Struct, frozen=True):
    """What one metric calls for.

    Attributes:
        name: Of the metric, as events say it.
    """

    replicas: int
    name: str
    status: MetricStatus


class MetricUnavailable(Exception):
    """A metric calls for nothing, since something about it is not known.

    Attributes:
        reason: One word.
        said: Why.
        whole: The same, with what it was to be of.
    """

    def __init__(self, reason: str, said: str, whole: str) -> None:
        super().__init__(said)
        self.reason = reason
        self.said = said
        self.whole = whole


class Unknown(Exception):
    """Why a figure is not known, as text."""


class Tolerance(Struct, frozen=True):
    """How far a ratio of what is and what should be may be from 1 with nothing done about it."""

    up: Fraction
    down: Fraction

    @classmethod
    def of(cls, behavior: Behavior | None) -> "Tolerance":
        """As a behavior says, or as usual."""
        up, down = (behavior.scale_up, behavior.scale_down) if behavior else (None, None)
        return cls(_tolerance(up), _tolerance(down))

    def covers(self, ratio: Fraction) -> bool:
        """Whether nothing need be done."""
        return 1 - self.down <= ratio <= 1 + self.up


class Seen(Struct, frozen=True):
    """All that a metric is compared with."""

    namespace: str
    numbers: Numbers
    measured: Measured
    tolerance: Tolerance
    now_ms: int


def _tolerance(rules: ScalingRules | None) -> Fraction:
    if rules is None or rules.tolerance is None:
        return TOLERANCE
    return Fraction(quantity.parse(rules.tolerance))
