"""Every namespace's default service account: woken by namespaces and by what becomes of it."""

from collections.abc import Iterator

from orchestrator.core import service_accounts
from orchestrator.core.decisions import Plan
from orchestrator.runtime.controllers.controller import Controller
from orchestrator.world import Entry
from proto.kinds.access import SERVICE_ACCOUNTS
from proto.kinds.namespace import NAMESPACES


class Accounts(Controller[tuple[str]]):
    """See the module."""

    name = "serviceaccount"
    kinds = frozenset({NAMESPACES, SERVICE_ACCOUNTS})

    def woken_by(self, entry: Entry) -> Iterator[tuple[str]]:
        yield (entry.name if entry.kind is NAMESPACES else entry.namespace,)

    def plan(self, key: tuple[str], _now_ms: int) -> Plan:
        (name,) = key
        found = self._world.get(NAMESPACES, "", name)
        if found is None:
            return Plan()
        account = self._world.get(SERVICE_ACCOUNTS, name, service_accounts.DEFAULT)
        return service_accounts.plan(found, account)
