"""What a plan may ask for. The runtime carries it out and takes no decision of its own.

Plans are values: `render` is what tests compare and people read.
"""

from collections.abc import Iterable
from typing import Any, Protocol, assert_never

from msgspec import Struct

from proto.kinds.kind import Kind
from proto.meta import Resource


class Emit(Struct, frozen=True):
    """Record an Event about an object.

    Attributes:
        type: ``Normal`` or ``Warning``.
    """

    kind: Kind[Any]
    object: Resource
    type: str
    reason: str
    message: str


class Create(Struct, frozen=True):
    """Make an object. With ``generateName`` the runtime picks the name's suffix.

    Attributes:
        announce: Emitted once the object is made; ``{name}`` in its message becomes the name.
        refused: From the words of a refusal to what is done about it; once for all the creations of
            a plan that have it in common.
    """

    kind: Kind[Any]
    object: Resource
    cause: str
    announce: Emit | None = None
    refused: "Refused | None" = None


class Refused(Protocol):
    """What to do when an object may not be made; compared by value, like all of a plan."""

    def decisions(self, why: str) -> "Iterable[Decision]":
        """Of the words of the refusal."""
        ...


class Update(Struct, frozen=True):
    """Replace spec and metadata of the object this was derived from, if nobody else wrote it since.

    Attributes:
        object: Derived from one of the snapshot's: its resourceVersion says which.
    """

    kind: Kind[Any]
    object: Resource
    cause: str


class UpdateStatus(Struct, frozen=True):
    """The same, for the status."""

    kind: Kind[Any]
    object: Resource
    cause: str


class Rescale(Struct, frozen=True):
    """Ask an object for another number of replicas, as a write to its scale does.

    Attributes:
        object: Derived from one of the snapshot's.
        announce: Emitted once that is done.
    """

    kind: Kind[Any]
    object: Resource
    cause: str
    announce: Emit


class Bind(Struct, frozen=True):
    """Give a pod its node: `object` is the pod with its node's name and its new conditions."""

    kind: Kind[Any]
    object: Resource
    cause: str


class Remove(Struct, frozen=True):
    """Delete an object, as a user's delete would.

    Attributes:
        grace_s: Seconds for a graceful deletion; None: the object's own; 0: at once, waiting for
            nobody.
        propagation: What becomes of its dependents: ``Foreground`` takes them first.
    """

    kind: Kind[Any]
    object: Resource
    cause: str
    grace_s: int | None = None
    propagation: str = ""


Decision = Create | Update | UpdateStatus | Rescale | Bind | Remove | Emit


class Plan(Struct, frozen=True):
    """What to do now, in this order, and when to look again (epoch milliseconds)."""

    decisions: tuple[Decision, ...] = ()
    wake_at_ms: int | None = None


def render(decisions: Iterable[Decision]) -> str:
    """One line a decision."""
    return "\n".join(_line(decision) for decision in decisions)


def _line(decision: Decision) -> str:
    meta = decision.object.metadata
    who = f"{decision.kind.singular} {meta.name or meta.generate_name + '*'}"
    match decision:
        case Create():
            return f"create {who}: {decision.cause}"
        case Update():
            return f"update {who}: {decision.cause}"
        case UpdateStatus():
            return f"update status of {who}: {decision.cause}"
        case Rescale():
            return f"rescale {who}: {decision.cause}"
        case Bind():
            return f"bind {who}: {decision.cause}"
        case Remove():
            return f"delete {who}: {decision.cause}"
        case Emit():
            return f"{decision.type} {decision.reason} on {who}: {decision.message}"
        case _:
            assert_never(decision)
