"""How a container ends: its hook runs, it is asked to end, and is killed when its grace is over.

The hook is on the container's grace. Sidecars end after all others, the last first, on what those
left of the pod's. Source of the rules: Kubernetes, "Termination of Pods" and KEP 753.
"""

from msgspec import Struct

from node_agent.core import configs
from node_agent.core.actions import KillContainer, RunHook, SignalContainer
from node_agent.core.naming import PodKey
from node_agent.core.observed import Container, HookKind, Memory, PodView, State
from node_agent.core.question import Question
from proto.messages import AssignedPod

GRACE_MIN_S = 2
"""What a container gets, however little a hook, or the others, left of its grace.

Source: kubelet, minimumGracePeriodInSeconds.
"""


class End(Struct, frozen=True):
    """One container that is to end.

    Attributes:
        pod: None for one that is not assigned any more: its hooks are forgotten.
        grace_s: From its hook, or from being asked, until it is killed.
    """

    key: PodKey
    pod: AssignedPod | None
    view: PodView
    container: Container
    grace_s: int
    cause: str


def whom(
    pod: AssignedPod | None, view: PodView, memory: Memory, now_ms: int
) -> list[tuple[Container, int]]:
    """Which of the containers that run end now, and the grace of each in seconds."""
    running = [c for c in view.containers if c.state is State.RUNNING]
    if pod is None:
        return [(container, container.grace_s) for container in running]
    sidecars = [spec.name for spec in pod.spec.sidecars]
    others = [c for c in running if c.container not in sidecars]
    if others or not running:
        return [(container, configs.grace_s(pod)) for container in others]
    last = max(running, key=lambda c: sidecars.index(c.container))
    return [(last, _grace_left_s(pod, view, last, memory, now_ms))]


def _grace_left_s(
    pod: AssignedPod, view: PodView, sidecar: Container, memory: Memory, now_ms: int
) -> int:
    """Of its pod's grace, when the sidecar began to end, or does now."""
    grace_s = configs.grace_s(pod)
    ended = [c for c in view.containers if c.has_ended]
    before = [since_ms for c in ended if (since_ms := _since_ms(c, memory)) is not None]
    if not before or grace_s == 0:
        return grace_s
    since_ms = _since_ms(sidecar, memory)
    gone_ms = (now_ms if since_ms is None else since_ms) - min(before)
    return max(GRACE_MIN_S, grace_s - gone_ms // 1000)


def _since_ms(container: Container, memory: Memory) -> int | None:
    """When its hook began or it was asked to end; None while it was neither."""
    hook = memory.hooks.get((container.id, HookKind.PRE_STOP))
    return hook.began_at_ms if hook else memory.signalled_at_ms.get(container.id)


def step(
    end: End, memory: Memory, host_ip: str, now_ms: int
) -> RunHook | SignalContainer | KillContainer | int:
    """What to do now, or when to look again (epoch milliseconds)."""
    container, name = end.container, end.container.container
    since_ms = _since_ms(container, memory)
    question = _farewell(end, host_ip) if since_ms is None and end.grace_s > 0 else None
    if question is not None:
        return RunHook(end.key, HookKind.PRE_STOP, question, end.cause)
    signalled_ms = memory.signalled_at_ms.get(container.id)
    hook = memory.hooks.get((container.id, HookKind.PRE_STOP))
    if signalled_ms is None and end.grace_s > 0 and (hook is None or hook.is_done):
        return SignalContainer(end.key, name, container.id, container.stop_signal, end.cause)
    due_ms = (since_ms or 0) + end.grace_s * 1000
    if hook is not None and signalled_ms is not None and end.grace_s > 0:
        due_ms = max(due_ms, signalled_ms + GRACE_MIN_S * 1000)
    if now_ms >= due_ms:
        return KillContainer(end.key, name, container.id, end.cause)
    return due_ms


def _farewell(end: End, host_ip: str) -> Question | None:
    """What a container wants to be told before it is asked to end."""
    pod, sandbox = end.pod, end.view.sandbox
    if pod is None or sandbox is None:
        return None
    spec = next((s for s in pod.spec.all_containers if s.name == end.container.container), None)
    if spec is None or spec.pre_stop is None or spec.pre_stop.handler is None:
        return None
    return Question(
        spec,
        end.container.id,
        configs.address(pod, sandbox, host_ip),
        spec.pre_stop.handler,
        end.grace_s,
        is_any_answer_good=True,
    )
