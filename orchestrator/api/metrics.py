"""The measured kinds, looked up as if they were stored: one of each node or pod with a figure."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from orchestrator.runtime.usage import Usages
from orchestrator.world import Entry, World
from proto.kinds.kind import Kind
from proto.kinds.metrics import (
    NODE_METRICS,
    POD_METRICS,
    ContainerMetrics,
    NodeMetrics,
    PodMetrics,
)
from proto.kinds.node import NODES, Node
from proto.kinds.pod import PODS, Pod
from proto.messages import Usage
from proto.meta import ObjectMeta, format_time


class Metrics:
    """See the module.

    Args:
        world: Where nodes and pods are.
        usages: What they use.
        clock: Wall clock, epoch milliseconds.
    """

    def __init__(self, world: World, usages: Usages, clock: Callable[[], int]) -> None:
        self._world = world
        self._usages = usages
        self._clock = clock

    def entry(self, kind: Kind[Any], namespace: str, name: str) -> Entry | None:
        """One of them."""
        if kind is NODE_METRICS:
            node = self._world.get(NODES, "", name)
            return None if node is None else self._of_node(node)
        pod = self._world.get(PODS, namespace, name)
        return None if pod is None else self._of_pod(pod)

    def entries(self, kind: Kind[Any], namespace: str | None = None) -> Iterator[Entry]:
        """All of them, or those of one namespace, ordered by namespace and name."""
        if kind is NODE_METRICS:
            found = (self._of_node(node) for node in self._world.objects(NODES))
        else:
            found = (self._of_pod(pod) for pod in self._world.objects(PODS, namespace))
        return (entry for entry in found if entry is not None)

    def _of_node(self, node: Node) -> Entry | None:
        usage = self._usages.of_node(node.metadata.name)
        if usage is None:
            return None
        return Entry(NODE_METRICS, of_node(node, usage, self._clock()), version=0)

    def _of_pod(self, pod: Pod) -> Entry | None:
        usages = self._usages.of_pod(pod)
        if not usages:
            return None
        return Entry(POD_METRICS, of_pod(pod, usages, self._clock()), version=0)


def of_node(node: Node, usage: Usage, now_ms: int) -> NodeMetrics:
    """What a node uses, as it is shown at a time in epoch milliseconds."""
    common = _common(NODE_METRICS, node.metadata, usage, now_ms)
    return NodeMetrics(**common, usage=_quantities(usage))


def of_pod(pod: Pod, usages: Mapping[str, Usage], now_ms: int) -> PodMetrics:
    """The same of a pod, from what its containers use: one at least."""
    oldest = min(usages.values(), key=lambda usage: usage.at_ms)
    return PodMetrics(
        **_common(POD_METRICS, pod.metadata, oldest, now_ms),
        containers=tuple(
            ContainerMetrics(name=name, usage=_quantities(usages[name])) for name in sorted(usages)
        ),
    )


def _common(kind: Kind[Any], of: ObjectMeta, usage: Usage, now_ms: int) -> dict[str, Any]:
    return {
        "api_version": kind.api_version,
        "kind": kind.name,
        "metadata": _metadata(of, now_ms),
        "timestamp": format_time(usage.at_ms),
        "window": _window(usage.window_ms),
    }


def _metadata(of: ObjectMeta, now_ms: int) -> ObjectMeta:
    """As metrics-server shows it: what selectors look at, and the present as its creation."""
    return ObjectMeta(
        name=of.name,
        namespace=of.namespace,
        labels=of.labels,
        creation_timestamp=format_time(now_ms),
    )


def _window(ms: int) -> str:
    """As Go writes a duration.

    >>> _window(15_000), _window(1_020), _window(75_500)
    ('15s', '1.02s', '1m15.5s')
    """
    minutes, rest_ms = divmod(ms, 60_000)
    seconds = f"{rest_ms / 1000:.3f}".rstrip("0").rstrip(".")
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def _quantities(usage: Usage) -> dict[str, str]:
    return {
        "cpu": f"{usage.cpu_nano}n" if usage.cpu_nano else "0",
        "memory": f"{usage.memory_bytes // 1024}Ki",
    }
