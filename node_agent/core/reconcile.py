"""Assigned pods against what there is: the next step for every pod that is not where it should be.

One step, not the whole road: after each the world is looked at again, so a crash between two steps
leaves nothing to remember. A pod that an action runs for is left alone until that has ended.

The road of a pod: its volumes → a holder (claimed from the pool, or made and started) → its init
containers, one after another → its containers, made and started side by side → running. The road
back: containers asked to end, sidecars last, and killed when their grace is over → removed with the
holder → its volumes removed → gone.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from node_agent.core import (
    configs,
    devices,
    ending,
    images,
    initial,
    mounting,
    naming,
    outcome,
    pool,
    restart,
)
from node_agent.core.actions import (
    Action,
    ClaimSandbox,
    CreateContainer,
    CreateSandbox,
    KillContainer,
    Plan,
    RemoveContainer,
    RemoveSandbox,
    RunHook,
    StartContainer,
    StartSandbox,
    Wait,
)
from node_agent.core.configs import Host
from node_agent.core.contents import Absent, Awaited, Sources
from node_agent.core.ending import End
from node_agent.core.naming import PodKey
from node_agent.core.observed import (
    Container,
    HookKind,
    Observed,
    PodView,
    Sandbox,
    State,
    by_pod,
)
from node_agent.core.question import Question
from node_agent.core.volume_actions import PrepareVolumes, RemoveVolumes, TellMissing
from proto.kinds.container import Container as ContainerSpec
from proto.kinds.ephemeral import EphemeralContainer
from proto.messages import AssignedPod

ATTEMPTS_KEPT = 2
"""Of each container: the present one, and the last for ``kubectl logs --previous``."""

HOOK_S_MAX = 3600
"""Of a hook after the start, for which Kubernetes knows no limit."""


def plan(desired: Mapping[str, AssignedPod], observed: Observed, host: Host, now_ms: int) -> Plan:
    """One step for every pod, or a holder for the pool when no pod needs one.

    Args:
        desired: Uid to pod, everything assigned to this node.
        observed: The node; only containers that carry its label.
        host: The node's own facts.
        now_ms: Epoch milliseconds.
    """
    planner = _Planner(desired, observed, host, now_ms)
    views = by_pod(observed)
    wanted = {naming.key(pod): pod for pod in desired.values()}
    for key in sorted(wanted.keys() | views.keys()):
        if key.uid in observed.memory.busy:
            continue
        pod, view = wanted.get(key), views.get(key, PodView())
        ended = observed.memory.ended.get(key.uid)
        if pod is None or pod.delete_grace_s is not None:
            planner.take_down(key, pod, view)
        elif ended is not None:
            grace_s = min(ended.grace_s, configs.grace_s(pod))
            planner.take_down(key, replace(pod, delete_grace_s=grace_s), view)
        else:
            planner.bring_up(key, pod, view)
    planner.pull()
    planner.know(desired)
    planner.stock_pool()
    return Plan(tuple(planner.actions), tuple(planner.waits), planner.wake_at_ms())


class _Planner:
    """Collects the steps of one pass; lives no longer than `plan`."""

    def __init__(
        self, desired: Mapping[str, AssignedPod], observed: Observed, host: Host, now_ms: int
    ) -> None:
        self._observed = observed
        self._memory = observed.memory
        self._host = host
        self._now_ms = now_ms
        self._stock = [s for s in pool.holders(observed) if s.state is State.RUNNING]
        busy = [pod for uid, pod in desired.items() if uid in observed.memory.busy]
        self._devices = devices.Stock(host.resources, observed.containers, busy)
        self._pulls = images.Pulls()
        self._wakes: list[int] = []
        self.actions: list[Action] = []
        self.waits: list[Wait] = []

    def wake_at_ms(self) -> int | None:
        """When the first wait is over."""
        dues = [wait.until_ms for wait in self.waits if wait.until_ms is not None]
        return min(dues + self._wakes, default=None)

    # ------------------------------------------------------------------ down

    def take_down(self, key: PodKey, pod: AssignedPod | None, view: PodView) -> None:
        """End what runs, then remove what is left."""
        cause = "not assigned" if pod is None else "deleted"
        if self._stop_all(key, pod, view, cause):
            return
        for container in view.containers:
            self._undo(RemoveContainer(key, container.container, container.id, cause))
        for sandbox in view.sandboxes:
            self._undo(RemoveSandbox(key, sandbox.id, cause))
        if view.volumes is None or view.containers or view.sandboxes:
            return
        if not self._is_held_back(key, mounting.VOLUMES):
            self.actions.append(RemoveVolumes(key, view.volumes.tmpfs, cause))

    def _stop_all(self, key: PodKey, pod: AssignedPod | None, view: PodView, cause: str) -> bool:
        """End what runs of a pod; whether anything does."""
        ends = ending.whom(pod, view, self._memory, self._now_ms)
        for container, grace_s in ends:
            self._stop(key, pod, view, container, grace_s, cause)
        return bool(ends)

    def _stop(
        self,
        key: PodKey,
        pod: AssignedPod | None,
        view: PodView,
        container: Container,
        grace_s: int,
        cause: str,
    ) -> None:
        """One step towards a container's end."""
        step = ending.step(
            End(key, pod, view, container, grace_s, cause),
            self._memory,
            self._host.ip,
            self._now_ms,
        )
        if isinstance(step, int):
            self._wakes.append(step)
        elif isinstance(step, KillContainer):
            self._undo(step)
        else:
            self.actions.append(step)

    # -------------------------------------------------------------------- up

    def bring_up(self, key: PodKey, pod: AssignedPod, view: PodView) -> None:
        """Its volumes first, then its holder, then its containers."""
        over = outcome.verdict(pod, view, self._memory, self._now_ms)
        if over is not None:
            self.waits.append(Wait(key, "", over.reason, over.message, None))
        if over is not None or outcome.is_finished(pod, view):
            self._finish(key, pod, view)
            return
        if due_ms := outcome.deadline_ms(pod, self._memory.accepted_at_ms):
            self._wakes.append(due_ms)
        if pod.spec.volumes and not self._has_volumes(key, pod, view):
            return
        sandbox = view.sandbox
        for other in view.sandboxes:
            if other != sandbox:
                self._undo(RemoveSandbox(key, other.id, "the pod has another"))
        if sandbox is None or sandbox.state is not State.RUNNING:
            self._renew_sandbox(key, pod, view, sandbox)
            return
        waiting = initial.pending(pod, view, sandbox, self._observed.health)
        for spec in waiting[:1] or (*pod.spec.containers, *pod.spec.ephemeral_containers):
            self._bring_up_container(key, pod, spec, view, sandbox)
        for spec in pod.spec.sidecars:
            if spec not in waiting:
                self._bring_up_container(key, pod, spec, view, sandbox)
        self._clear_away(key, pod, view)

    def _has_volumes(self, key: PodKey, pod: AssignedPod, view: PodView) -> bool:
        """Whether all are there; if not, or if one is to change, the step towards that."""
        found = mounting.steps(pod, view, self._observed, self._host)
        if found.missing:
            step = TellMissing(key, found.missing, "their sources are missing")
            told = self._memory.failures.get((key.uid, mounting.MISSING))
            is_news = told is None or told.message != step.text
            if is_news or not self._is_held_back(key, mounting.MISSING):
                self.actions.append(step)
        if found.configs and not self._is_held_back(key, mounting.VOLUMES):
            cause = "changed" if found.are_there else "assigned"
            self.actions.append(PrepareVolumes(key, found.configs, cause))
        return found.are_there

    def _finish(self, key: PodKey, pod: AssignedPod, view: PodView) -> None:
        """The pod's own containers are done: whatever ran beside them ends, then the holder."""
        if not self._stop_all(key, pod, view, "the pod has finished"):
            for unused in view.sandboxes:
                self._undo(RemoveSandbox(key, unused.id, "the pod has finished"))

    def _clear_away(self, key: PodKey, pod: AssignedPod, view: PodView) -> None:
        """Attempts that are of no more use."""
        names = {spec.name for spec in pod.spec.all_containers}
        for container in view.containers:
            attempts = view.attempts[container.container]
            is_old = container not in attempts[:ATTEMPTS_KEPT] and container.has_ended
            if is_old or container.container not in names:
                cause = "superseded" if is_old else "not in the pod"
                runs = container.state is State.RUNNING
                end = KillContainer if runs else RemoveContainer
                self._undo(end(key, container.container, container.id, cause))

    def _renew_sandbox(
        self, key: PodKey, pod: AssignedPod, view: PodView, sandbox: Sandbox | None
    ) -> None:
        """A running holder, once nothing runs in the namespaces of a dead one."""
        orphans = [c for c in view.containers if c.state is State.RUNNING]
        for container in orphans:
            self._undo(
                KillContainer(key, container.container, container.id, "its sandbox has died")
            )
        if orphans or self._is_held_back(key, ""):
            return
        if sandbox is None:
            self._new_sandbox(key, pod)
        elif sandbox.state is State.CREATED:
            self.actions.append(StartSandbox(key, sandbox.id, "created"))
        else:
            self._undo(RemoveSandbox(key, sandbox.id, "it has died"))

    def _new_sandbox(self, key: PodKey, pod: AssignedPod) -> None:
        if self._stock and configs.fits_pool(pod, self._host.names):
            holder = self._stock.pop(0)
            name = naming.sandbox_name(key)
            self.actions.append(ClaimSandbox(key, holder.id, name, "assigned"))
        else:
            config = configs.sandbox_config(self._host, pod)
            self.actions.append(CreateSandbox(key, config, "assigned"))

    def _bring_up_container(
        self, key: PodKey, pod: AssignedPod, spec: ContainerSpec, view: PodView, sandbox: Sandbox
    ) -> None:
        newest = view.newest(spec.name)
        if newest is None:
            is_lost = (key.uid, spec.name) in self._memory.attempts
            cause = "it was removed" if is_lost else "assigned"
            self._create(key, pod, spec, view, sandbox, None, cause=cause)
            return
        is_current = newest.spec_hash == naming.spec_hash(spec)
        is_joined = newest.sandbox_id == sandbox.id
        if newest.has_ended and not is_joined and spec in pod.spec.init_containers:
            cause = "the pod starts afresh"
            self._create(key, pod, spec, view, sandbox, newest, cause=cause, is_failure=False)
        elif newest.has_ended:
            self._again(key, pod, spec, view, sandbox, newest)
        elif newest.state is State.CREATED and is_current and is_joined:
            if self._is_held_back(key, spec.name):
                return
            hostname = pod.name[:63] if configs.fits_pool(pod, self._host.names) else ""
            has_hook = spec.post_start is not None
            self.actions.append(
                StartContainer(key, spec.name, newest.id, hostname, "created", has_hook=has_hook)
            )
        elif newest.state is State.CREATED:
            cause = "made for another spec or sandbox"
            self._undo(RemoveContainer(key, spec.name, newest.id, cause))
        elif not is_joined:
            cause = "its sandbox has died"
            self._undo(KillContainer(key, spec.name, newest.id, cause))
        elif not is_current:
            grace_s, cause = configs.grace_s(pod), "its definition changed"
            self._stop(key, pod, view, newest, grace_s, cause)
        else:
            self._look_after(key, pod, spec, view, newest, sandbox)

    def _look_after(
        self,
        key: PodKey,
        pod: AssignedPod,
        spec: ContainerSpec,
        view: PodView,
        running: Container,
        sandbox: Sandbox,
    ) -> None:
        """A container that runs as it should: its hook, and what its probes say."""
        grace_s = configs.grace_s(pod)
        hook = self._memory.hooks.get((running.id, HookKind.POST_START))
        if hook and spec.post_start and spec.post_start.handler and not hook.began_at_ms:
            address = configs.address(pod, sandbox, self._host.ip)
            question = Question(
                spec,
                running.id,
                address,
                spec.post_start.handler,
                HOOK_S_MAX,
                is_any_answer_good=True,
            )
            self.actions.append(RunHook(key, HookKind.POST_START, question, "started"))
        elif hook and hook.error:
            self._stop(key, pod, view, running, grace_s, f"failed {HookKind.POST_START} hook")
        elif failed := self._observed.health.failed(spec, running.id):
            kind, probe = failed
            own_s = probe.termination_grace_period_seconds
            cause = f"failed {kind} probe"
            self._stop(key, pod, view, running, grace_s if own_s is None else own_s, cause)

    def _again(
        self,
        key: PodKey,
        pod: AssignedPod,
        spec: ContainerSpec,
        view: PodView,
        sandbox: Sandbox,
        ended: Container,
    ) -> None:
        """Another attempt when policy and back-off allow."""
        if not restart.is_wanted(restart.policy(pod, spec), ended):
            return
        is_changed = ended.spec_hash != naming.spec_hash(spec)
        due_ms = restart.due_at_ms(ended, self._memory.life(ended))
        if self._now_ms < due_ms and not is_changed:
            again = restart.restarts_in_a_row(ended, self._memory.life(ended))
            delay_s = restart.delay_ms(again) // 1000
            pod_text = f"{key.name}_{key.namespace}({key.uid})"
            self.waits.append(
                Wait(
                    key,
                    spec.name,
                    "CrashLoopBackOff",
                    f"back-off {restart.duration(delay_s)} restarting failed "
                    f"container={spec.name} pod={pod_text}",
                    due_ms,
                )
            )
            return
        cause = "its definition changed" if is_changed else "it ended"
        self._create(key, pod, spec, view, sandbox, ended, cause=cause)

    def _create(
        self,
        key: PodKey,
        pod: AssignedPod,
        spec: ContainerSpec,
        view: PodView,
        sandbox: Sandbox,
        ended: Container | None,
        *,
        cause: str,
        is_failure: bool = True,
    ) -> None:
        """The next attempt, once its image is here; only after a failure may the next be late."""
        since_ms = self._memory.accepted_at_ms.get(key.uid, 0)
        if ended is not None:
            since_ms = max(since_ms, self._memory.life(ended).ended_ms)
        sources = mounting.sources(pod, self._observed)
        if not self._has_image(key, pod, spec, sources, since_ms):
            return
        if self._is_held_back(key, spec.name):
            return
        target = spec.target_container_name if isinstance(spec, EphemeralContainer) else ""
        looked_at = view.newest(target) if target else None
        if target and (looked_at is None or looked_at.state is not State.RUNNING):
            text = f'target container "{target}" does not run'
            self.waits.append(Wait(key, spec.name, "CreateContainerConfigError", text, None))
            return
        is_changed = ended is not None and ended.spec_hash != naming.spec_hash(spec)
        attempt = self._memory.attempts.get((key.uid, spec.name), -1) + 1
        if ended is not None:
            attempt = max(attempt, ended.attempt + 1)
        try:
            config = configs.container_config(
                self._host,
                pod,
                spec,
                sandbox,
                sources,
                attempt=attempt,
                backoff=(
                    restart.restarts_in_a_row(ended, self._memory.life(ended)) + 1
                    if ended is not None and is_failure and not is_changed
                    else 0
                ),
                processes_of="" if looked_at is None else looked_at.id,
                units=self._devices.take(spec),
            )
        except Absent as absent:
            reason = "CreateContainerConfigError"
            self.waits.append(Wait(key, spec.name, reason, str(absent), None))
            return
        except Awaited:
            self.waits.append(Wait(key, spec.name, "ContainerCreating", "", None))
            return
        self.actions.append(CreateContainer(key, spec.name, config, cause))

    def _has_image(
        self, key: PodKey, pod: AssignedPod, spec: ContainerSpec, sources: Sources, since_ms: int
    ) -> bool:
        """Whether it may be used; if not, what is done or waited for."""
        found = images.step(
            pod, spec, self._observed, sources, needed_since_ms=since_ms, now_ms=self._now_ms
        )
        match found:
            case images.Needed():
                self._pulls.add(found, key, spec.name)
            case images.Held():
                wait = Wait(key, spec.name, found.reason, found.message, found.until_ms)
                self.waits.append(wait)
            case images.Ready():
                return True
        return False

    def _is_held_back(self, key: PodKey, container: str) -> bool:
        """Whether Docker refused this lately, so that it should be left alone for a while."""
        failure = self._memory.failures.get((key.uid, container))
        if failure is None or self._now_ms >= failure.due_at_ms:
            return False
        self.waits.append(Wait(key, container, failure.reason, failure.message, failure.due_at_ms))
        return True

    def _undo(self, action: KillContainer | RemoveContainer | RemoveSandbox) -> None:
        """Unless Docker could not lately: then it is left alone for a while."""
        id = action.sandbox_id if isinstance(action, RemoveSandbox) else action.container_id
        stuck = self._memory.stuck.get(id)
        if stuck is None or self._now_ms >= stuck.due_at_ms:
            self.actions.append(action)
        else:
            self._wakes.append(stuck.due_at_ms)

    # ---------------------------------------------------------------- shared

    def pull(self) -> None:
        """Each image that is missing, once for all that wait for it."""
        self.actions += self._pulls.actions(self._memory.pulling)

    def know(self, desired: Mapping[str, AssignedPod]) -> None:
        """Ask what pods need to know, and forget what none does."""
        steps, dues = mounting.knowledge(desired, self._observed, self._now_ms)
        self.actions += steps
        self._wakes += dues

    def stock_pool(self) -> None:
        """One holder more, or fewer, when nothing else is to be done."""
        if self.actions or self._memory.busy:
            return
        step = pool.step(self._observed, self._host, self._now_ms)
        if isinstance(step, int):
            self._wakes.append(step)
        elif step is not None:
            self.actions.append(step)
