"""Priority classes: the system's are there when a term begins, and whenever one is deleted."""

from collections.abc import Iterable, Iterator

from orchestrator.core import priority_classes
from orchestrator.core.decisions import Plan
from orchestrator.runtime.controllers.controller import Controller
from orchestrator.world import Entry
from proto.kinds.quota import PRIORITY_CLASSES, SYSTEM_CLASSES


class Priorities(Controller[tuple[str]]):
    """See the module."""

    name = "priorityclass"
    kinds = frozenset({PRIORITY_CLASSES})

    def initial(self) -> Iterable[tuple[str]]:
        return [(name,) for name in SYSTEM_CLASSES]

    def woken_by(self, entry: Entry) -> Iterator[tuple[str]]:
        yield (entry.name,)

    def plan(self, key: tuple[str], _now_ms: int) -> Plan:
        (name,) = key
        return priority_classes.plan(name, self._world.get(PRIORITY_CLASSES, "", name))
