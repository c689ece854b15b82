"""NodeMetrics and PodMetrics: what nodes and pods use just now. Measured, and stored nowhere.

Shapes and spellings: k8s.io/metrics, pkg/apis/metrics/v1beta1, and metrics-server, which answers
for these kinds where Kubernetes runs.
"""

from collections.abc import Iterable, Mapping

from proto import quantity
from proto.kinds.kind import Column, Kind
from proto.meta import Model, Resource, Time


class ContainerMetrics(Model, frozen=True, kw_only=True):
    """What one container uses.

    Attributes:
        usage: CPU in cores, on average over the window, and memory, as quantities.
    """

    name: str
    usage: dict[str, str]


class NodeMetrics(Resource, frozen=True, kw_only=True):
    """What a node uses, the whole machine.

    Attributes:
        timestamp: When it was measured.
        window: How long the CPU was watched until then.
        usage: CPU in cores, on average over the window, and memory, as quantities.
    """

    timestamp: Time
    window: str
    usage: dict[str, str]


class PodMetrics(Resource, frozen=True, kw_only=True):
    """What the containers of a pod use.

    Attributes:
        timestamp: When the first of them was measured.
        window: How long the CPU was watched until then.
        containers: Those that run.
    """

    timestamp: Time
    window: str
    containers: tuple[ContainerMetrics, ...] = ()


def _cpu(usages: Iterable[Mapping[str, str]]) -> str:
    """All of them together, in the unit that ``kubectl top`` prints; `_memory` likewise."""
    return f"{quantity.milli(str(sum(quantity.parse(usage['cpu']) for usage in usages)))}m"


def _memory(usages: Iterable[Mapping[str, str]]) -> str:
    return f"{sum(quantity.whole(usage['memory']) for usage in usages) >> 20}Mi"


def _containers(pod: PodMetrics) -> Iterable[Mapping[str, str]]:
    return (container.usage for container in pod.containers)


NODE_METRICS: Kind[NodeMetrics] = Kind(
    name="NodeMetrics",
    group="metrics.k8s.io",
    version="v1beta1",
    plural="nodes",
    singular="nodemetrics",
    type=NodeMetrics,
    is_namespaced=False,
    verbs=("get", "list"),
    columns=(
        Column("CPU", lambda found, _: _cpu([found.usage])),
        Column("Memory", lambda found, _: _memory([found.usage])),
        Column("Window", lambda found, _: found.window),
    ),
    has_status=False,
)

POD_METRICS: Kind[PodMetrics] = Kind(
    name="PodMetrics",
    group="metrics.k8s.io",
    version="v1beta1",
    plural="pods",
    singular="podmetrics",
    type=PodMetrics,
    verbs=("get", "list"),
    columns=(
        Column("CPU", lambda found, _: _cpu(_containers(found))),
        Column("Memory", lambda found, _: _memory(_containers(found))),
        Column("Window", lambda found, _: found.window),
    ),
    has_status=False,
)
