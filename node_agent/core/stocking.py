"""The pool: holders made before there are pods for them, so that these need not wait."""

from node_agent.core import naming
from node_agent.core.actions import CreateSandbox, RemoveSandbox, SandboxConfig, StartSandbox
from node_agent.core.configs import Host
from node_agent.core.observed import Observed, State, pool


def step(observed: Observed, host: Host) -> CreateSandbox | StartSandbox | RemoveSandbox | None:
    """One holder more, or fewer; None: the pool is as it should be."""
    holders = pool(observed)
    dead = [s for s in holders if s.state is State.EXITED]
    unused = (*dead, *holders[host.pool_size :])
    unstarted = [s for s in holders if s.state is State.CREATED]
    if unused:
        return RemoveSandbox(None, unused[0].id, "not of use to the pool")
    if unstarted:
        return StartSandbox(None, unstarted[0].id, "created")
    if len(holders) >= host.pool_size:
        return None
    config = SandboxConfig(name=_free_name(observed, host), labels=naming.sandbox_labels(host.name))
    return CreateSandbox(None, config, "the pool is short")


def _free_name(observed: Observed, host: Host) -> str:
    taken = {sandbox.name for sandbox in observed.sandboxes}
    # Names are the engine's: a node of another cluster may be called like this one.
    prefix = f"{host.cluster}-" if host.cluster else ""
    names = (naming.pool_name(host.name, f"{prefix}{n}") for n in range(len(taken) + 1))
    return next(name for name in names if name not in taken)
