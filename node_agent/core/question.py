"""What an agent asks a container, or tells it: the common part of probes and hooks."""

from msgspec import Struct

from proto.kinds.container import Container as ContainerSpec
from proto.kinds.handler import Handler


class Question(Struct, frozen=True):
    """What to ask a running container, or to tell it.

    Attributes:
        address: Of its pod.
        is_any_answer_good: Whether an HTTP answer's status does not matter.
    """

    spec: ContainerSpec
    container_id: str
    address: str
    handler: Handler
    timeout_s: int
    is_any_answer_good: bool = False


def port(spec: ContainerSpec, named: int | str) -> int | None:
    """The number of a container's port; None when it has none of that name."""
    if isinstance(named, int):
        return named
    return next((p.container_port for p in spec.ports if p.name == named), None)
