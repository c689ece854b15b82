"""Which change rings for which object, and what each controller gets to see of the world.

One file a controller; `ALL` lists those that look at nothing but the world.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from orchestrator.runtime.controllers.accounts import Accounts
from orchestrator.runtime.controllers.budgets import Budgets
from orchestrator.runtime.controllers.claims import Claims
from orchestrator.runtime.controllers.controller import Controller
from orchestrator.runtime.controllers.cronjobs import CronJobs
from orchestrator.runtime.controllers.daemonsets import DaemonSets
from orchestrator.runtime.controllers.definitions import Definitions
from orchestrator.runtime.controllers.deployments import Deployments
from orchestrator.runtime.controllers.ephemeralclaims import EphemeralClaims
from orchestrator.runtime.controllers.evictions import Evictions
from orchestrator.runtime.controllers.garbage import Garbage
from orchestrator.runtime.controllers.jobs import Jobs
from orchestrator.runtime.controllers.namespaces import Namespaces
from orchestrator.runtime.controllers.priorities import Priorities
from orchestrator.runtime.controllers.quotas import Quotas
from orchestrator.runtime.controllers.replicasets import ReplicaSets, ReplicationControllers
from orchestrator.runtime.controllers.statefulsets import StatefulSets
from orchestrator.runtime.controllers.storageclasses import StorageClasses
from orchestrator.runtime.controllers.uncounted import Uncounted
from orchestrator.runtime.controllers.volumes import Volumes
from orchestrator.runtime.reconcile import Perform, Reconciler
from orchestrator.world import Change, Entry, World
from proto.kinds.kind import Kind

ALL: Final[tuple[type[Controller[Any]], ...]] = (
    Accounts,
    Budgets,
    Claims,
    CronJobs,
    DaemonSets,
    Definitions,
    Deployments,
    EphemeralClaims,
    Evictions,
    Garbage,
    Jobs,
    Namespaces,
    Priorities,
    Quotas,
    ReplicaSets,
    ReplicationControllers,
    StatefulSets,
    StorageClasses,
    Uncounted,
    Volumes,
)


class Controllers:
    """Runs every controller.

    Args:
        world: Read, and listened to.
        perform: Carries out decisions; returns how many failed.
        clock: Epoch milliseconds.
        further: Those that look at more than the world.
    """

    def __init__(
        self,
        world: World,
        perform: Perform,
        clock: Callable[[], int],
        further: Iterable[Controller[Any]] = (),
    ) -> None:
        self._world = world
        every = (*(made(world) for made in ALL), *further)
        self._all = [_Run(controller, perform, clock) for controller in every]
        self._of_every_kind = [run for run in self._all if run.controller.kinds is None]
        self._of_kind: dict[Kind[Any], list[_Run]] = {
            kind: [run for run in self._all if run.concerns(kind)]
            for run in self._all
            for kind in run.controller.kinds or ()
        }
        world.listen(self._heard)

    async def run(self) -> None:
        """Run them for one term, until cancelled."""
        for run in self._all:
            run.ring(run.controller.initial())
        for kind in self._world.kinds.all:
            for entry in self._world.entries(kind):
                self._ring(entry)
        async with asyncio.TaskGroup() as tasks:
            for run in self._all:
                tasks.create_task(run.reconciler.run())
                tasks.create_task(run.controller.follow(run.reconciler.ring))

    def _heard(self, changes: Sequence[Change]) -> None:
        for change in changes:
            for entry in (change.old, change.new):
                if entry is not None:
                    self._ring(entry)
            if change.new is None:
                for run in self._concerned(change.entry.kind):
                    run.ring(run.controller.woken_by_end(change.entry))

    def _ring(self, entry: Entry) -> None:
        for run in self._concerned(entry.kind):
            run.ring(run.controller.woken_by(entry))

    def _concerned(self, kind: Kind[Any]) -> "list[_Run]":
        return self._of_kind.get(kind, self._of_every_kind)


class _Run:
    """A controller and the loop it runs in."""

    def __init__(
        self, controller: Controller[Any], perform: Perform, clock: Callable[[], int]
    ) -> None:
        self.controller = controller
        self.reconciler: Reconciler[Any] = Reconciler(
            controller.name, controller.plan, perform, clock
        )

    def concerns(self, kind: Kind[Any]) -> bool:
        return self.controller.kinds is None or kind in self.controller.kinds

    def ring(self, keys: Iterable[Any]) -> None:
        for key in keys:
            self.reconciler.ring(key)
