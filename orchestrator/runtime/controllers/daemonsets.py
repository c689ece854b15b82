"""Daemon sets: woken by revisions, pods, every node, and configuration that rolls them."""

from collections.abc import Iterator

from orchestrator.core import daemonset
from orchestrator.core.decisions import Plan
from orchestrator.runtime.controllers import configuration
from orchestrator.runtime.controllers.controller import Controller, Name, candidates, wakes
from orchestrator.world import Entry
from proto.kinds.controllerrevision import CONTROLLER_REVISIONS
from proto.kinds.daemonset import DAEMON_SETS
from proto.kinds.node import NODES
from proto.kinds.pod import PODS


class DaemonSets(Controller[Name]):
    """See the module."""

    name = "daemonset"
    kinds = frozenset({DAEMON_SETS, CONTROLLER_REVISIONS, PODS, NODES, *configuration.KINDS})

    def woken_by(self, entry: Entry) -> Iterator[Name]:
        if entry.kind in configuration.KINDS:
            yield from configuration.wakes(self._world, DAEMON_SETS, entry)
            return
        if entry.kind is not NODES:
            yield from wakes(self._world, DAEMON_SETS, entry)
            return
        for found in self._world.entries(DAEMON_SETS):
            yield found.namespace, found.name

    def plan(self, key: Name, now_ms: int) -> Plan:
        found = self._world.get(DAEMON_SETS, *key)
        if found is None:
            return Plan()
        revisions = candidates(self._world, found, CONTROLLER_REVISIONS)
        pods = candidates(self._world, found, PODS)
        configs = configuration.of(self._world, found)
        return daemonset.plan(found, revisions, self._world.objects(NODES), pods, now_ms, configs)
