"""When a container that ended is started again. Source of the numbers: Kubernetes, Pod Lifecycle.

The first restart is immediate, the next waits 10 s, then 20 s and so on up to 5 minutes; ten
minutes of running forgive everything. How far a container has come is the label ``backoff`` of its
newest attempt, and when it ended Docker knows: an agent that restarts forgets nothing.
"""

from node_agent.core.observed import Container, Lifetime
from proto.kinds.container import Container as ContainerSpec
from proto.kinds.ephemeral import EphemeralContainer
from proto.messages import AssignedPod

DELAY_MIN_MS = 10_000
DELAY_MAX_MS = 300_000
FORGIVEN_AFTER_MS = 600_000


def delay_ms(failures: int) -> int:
    """How long to wait after that many restarts, or failures, in a row.

    >>> [delay_ms(n) for n in (0, 1, 2, 3, 6, 99)]
    [0, 10000, 20000, 40000, 300000, 300000]
    """
    if failures == 0:
        return 0
    return min(DELAY_MAX_MS, DELAY_MIN_MS << min(failures - 1, 16))


def restarts_in_a_row(ended: Container, life: Lifetime) -> int:
    """How many restarts led to this end without ten good minutes among them."""
    ran_ms = life.ended_ms - life.began_ms if life.began_ms else 0
    return 0 if ran_ms >= FORGIVEN_AFTER_MS else ended.backoff


def due_at_ms(ended: Container, life: Lifetime) -> int:
    """When the next attempt may start."""
    return life.ended_ms + delay_ms(restarts_in_a_row(ended, life))


def policy(pod: AssignedPod, spec: ContainerSpec) -> str:
    """The restart policy of one container.

    A sidecar always runs, what was added to debug a pod runs once, and any other init container
    runs until it succeeds, unless nothing in the pod is done twice.
    """
    if isinstance(spec, EphemeralContainer):
        return "Never"
    if spec.is_sidecar:
        return "Always"
    if spec in pod.spec.init_containers and pod.spec.restart_policy == "Always":
        return "OnFailure"
    return pod.spec.restart_policy


def is_wanted(policy: str, ended: Container) -> bool:
    """Whether a restart policy (Always, OnFailure, Never) asks for another attempt."""
    return policy == "Always" or (policy == "OnFailure" and not ended.has_succeeded)


def duration(seconds: int) -> str:
    """As Go prints it: ``40s``, ``2m40s``."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
