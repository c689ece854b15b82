"""Where a pod should be: near which nodes, and near or far from which other pods."""

from typing import ClassVar

from proto.errors import FieldError
from proto.kinds import node_selector
from proto.kinds.node_selector import NodeAffinity
from proto.meta import Model


class Affinity(Model, frozen=True, kw_only=True):
    """What draws a pod to some nodes, and what keeps it from others."""

    REFUSED: ClassVar[frozenset[str]] = frozenset({"podAffinity", "podAntiAffinity"})

    node_affinity: NodeAffinity | None = None


def validate(path: str, found: Affinity) -> list[FieldError]:
    """Every wrong field."""
    if found.node_affinity is None:
        return []
    return node_selector.validate_affinity(f"{path}.nodeAffinity", found.node_affinity)
