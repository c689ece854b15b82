"""Holders that are kept ready, because making one is more than half of a pod's start."""

from node_agent.core import configs
from node_agent.core.actions import CreateSandbox, RemoveSandbox, StartSandbox
from node_agent.core.configs import Host
from node_agent.core.observed import Observed, Sandbox, State

QUIET_MS = 300
"""The pool is filled once no pod was worked on for so long: a holder costs a core about
100 ms, which a burst of pods needs for itself.
"""


def holders(seen: Observed) -> tuple[Sandbox, ...]:
    """Those that are nobody's."""
    return tuple(sorted((s for s in seen.sandboxes if s.pod is None), key=lambda s: (s.name, s.id)))


def step(
    seen: Observed, host: Host, now_ms: int
) -> CreateSandbox | StartSandbox | RemoveSandbox | int | None:
    """One holder more, or fewer; or when to look again (epoch milliseconds)."""
    ours = holders(seen)
    dead = [s for s in ours if s.state is State.EXITED]
    surplus = ours[host.pool_size :]
    unstarted = [s for s in ours if s.state is State.CREATED]
    if not (dead or surplus or unstarted or len(ours) < host.pool_size):
        return None
    unused = next(iter((*dead, *surplus)), None)
    failure = seen.memory.failures.get(("", ""))
    if unused is not None:
        failure = seen.memory.stuck.get(unused.id)
    quiet_at_ms = seen.memory.worked_at_ms + QUIET_MS
    due_ms = max(quiet_at_ms, failure.due_at_ms if failure else 0)
    if now_ms < due_ms:
        return due_ms
    if unused is not None:
        return RemoveSandbox(None, unused.id, "not of use to the pool")
    if unstarted:
        return StartSandbox(None, unstarted[0].id, "created")
    taken = {sandbox.name for sandbox in seen.sandboxes}
    return CreateSandbox(None, configs.pool_config(host, taken), "the pool is short")
