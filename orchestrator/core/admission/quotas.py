"""Resource quotas: what a namespace may have, counted while a transaction is put together.

Source of the words: Kubernetes, apiserver's plugin resourcequota (controller.go, checkRequest) and
pkg/quota/v1/evaluator/core/pods.go (Constraints).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from orchestrator.core.admission import usage
from orchestrator.core.admission.cluster import Cluster, forbidden
from orchestrator.core.admission.usage import NOTHING, Amount, Usage
from proto import quantity
from proto.kinds.container import Container
from proto.kinds.kind import Kind
from proto.kinds.pod import PODS, PodSpec
from proto.kinds.quota import RESOURCE_QUOTAS, ResourceQuota

MUST_BE_SAID = frozenset(
    {"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"}
)
"""What each container must name once a quota bounds it: else nobody could count."""


class Write(Struct, frozen=True):
    """One object, before (None: it is made) and after (None: it goes)."""

    kind: Kind[Any]
    namespace: str
    old: Any
    new: Any


class _Account(Struct):
    """A quota, and what is used of it so far."""

    quota: ResourceQuota
    used: dict[str, Amount]


class Ledger:
    """What is left in each namespace while one transaction is put together.

    Args:
        cluster: As it is before the transaction; may not change in the meantime.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._accounts: dict[str, list[_Account]] = {}

    def charge(self, writes: Iterable[Write]) -> None:
        """Count these writes, all of them or none.

        Raises:
            Forbidden: They would use more than a quota leaves, or do not say what they use.
        """
        drafts: dict[str, list[_Account]] = {}
        for write in writes:
            if not self._matters(write):
                continue
            accounts = drafts.get(write.namespace)
            if accounts is None:
                known = self._of(write.namespace)
                accounts = [_Account(found.quota, dict(found.used)) for found in known]
                drafts[write.namespace] = accounts
            _charge(accounts, write)
        self._accounts |= drafts

    def _matters(self, write: Write) -> bool:
        """Whether there is a quota, and what is used changes: most writes change a status only."""
        if not write.namespace or not self._cluster.objects(RESOURCE_QUOTAS, write.namespace):
            return False
        return _uses(write.kind, write.old) != _uses(write.kind, write.new)

    def _of(self, namespace: str) -> list[_Account]:
        found = self._accounts.get(namespace)
        if found is None:
            found = self._accounts[namespace] = [
                _Account(quota, dict(used(quota, self._cluster)))
                for quota in self._cluster.objects(RESOURCE_QUOTAS, namespace)
            ]
        return found


def used(quota: ResourceQuota, cluster: Cluster) -> Usage:
    """What the objects of its namespace use of it at present."""
    hard = quota.spec.hard
    total: dict[str, Amount] = dict.fromkeys(hard, NOTHING)
    for resource in sorted(usage.counted(hard)):
        kind = cluster.kinds.named(resource)
        if kind is None or not kind.is_namespaced:
            continue
        for found in cluster.objects(kind, quota.metadata.namespace):
            for name, amount in _usage(quota, kind, found).items():
                total[name] += amount
    return total


def _uses(kind: Kind[Any], found: Any) -> Usage:
    return {} if found is None else usage.of(kind, found)


def _usage(quota: ResourceQuota, kind: Kind[Any], found: Any) -> Usage:
    """What an object uses of what the quota bounds."""
    if found is None or not usage.is_about(quota, kind, found):
        return {}
    hard = quota.spec.hard
    return {name: amount for name, amount in _uses(kind, found).items() if name in hard}


def _charge(accounts: Sequence[_Account], write: Write) -> None:
    kind, new = write.kind, write.new
    if write.old is None and kind is PODS:
        for account in accounts:
            _check_said(account.quota, new)
    for account in accounts:
        before = _usage(account.quota, kind, write.old)
        after = _usage(account.quota, kind, new)
        added = {
            name: delta
            for name in before.keys() | after.keys()
            if (delta := after.get(name, NOTHING) - before.get(name, NOTHING)).number
        }
        if any(amount.number > 0 for amount in added.values()):
            _check_room(account, added, write)
        for name, amount in added.items():
            account.used[name] += amount


def _check_room(account: _Account, added: Usage, write: Write) -> None:
    quota, have = account.quota, account.used
    over = sorted(
        name
        for name, amount in added.items()
        if amount.number > 0
        and (have[name] + amount).number > quantity.parse(quota.spec.hard[name])
    )
    if over:
        asked = _listed(over, added)
        limited = _listed(over, quota.spec.hard)
        raise forbidden(
            write.kind,
            write.new,
            f"exceeded quota: {quota.metadata.name}, requested: {asked}, "
            f"used: {_listed(over, have)}, limited: {limited}",
        )


def _listed(names: Iterable[str], amounts: Mapping[str, Any]) -> str:
    return ",".join(f"{name}={amounts[name]}" for name in names)


def _check_said(quota: ResourceQuota, pod: Any) -> None:
    if not usage.is_about(quota, PODS, pod):
        return
    missing = _unsaid(pod.spec, sorted(MUST_BE_SAID & quota.spec.hard.keys()))
    if missing:
        said = "; ".join(f"{name} for: {','.join(sorted(who))}" for name, who in missing.items())
        raise forbidden(PODS, pod, f"failed quota: {quota.metadata.name}: must specify {said}")


def _unsaid(spec: PodSpec, names: Iterable[str]) -> dict[str, list[str]]:
    """The containers that do not say how much they need of what has these names."""
    containers = (*spec.containers, *spec.init_containers)
    silent = {
        name: [found.name for found in containers if not _says(found, name)] for name in names
    }
    return {name: who for name, who in silent.items() if who}


def _says(container: Container, name: str) -> bool:
    resources = container.resources
    if name.startswith("limits."):
        return name.removeprefix("limits.") in resources.limits
    return name.removeprefix("requests.") in resources.requests
