"""The storage class that every cluster has: woken by what becomes of it."""

from collections.abc import Iterable, Iterator

from orchestrator.core.decisions import Create, Plan
from orchestrator.core.storage.provision import LOCAL_CLASS
from orchestrator.runtime.controllers.controller import Controller
from orchestrator.world import Entry
from proto.kinds.storage import STORAGE_CLASSES


class StorageClasses(Controller[tuple[str]]):
    """See the module."""

    name = "storageclass"
    kinds = frozenset({STORAGE_CLASSES})

    def initial(self) -> Iterable[tuple[str]]:
        return [(LOCAL_CLASS.metadata.name,)]

    def woken_by(self, entry: Entry) -> Iterator[tuple[str]]:
        yield (entry.name,)

    def plan(self, key: tuple[str], _now_ms: int) -> Plan:
        is_missing = self._world.get(STORAGE_CLASSES, "", *key) is None
        if key != (LOCAL_CLASS.metadata.name,) or not is_missing:
            return Plan()
        return Plan((Create(STORAGE_CLASSES, LOCAL_CLASS, "every cluster has it"),))
