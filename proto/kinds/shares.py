"""What a pod's containers need and may use, all together. Source: Kubernetes, KEP 753 and QoS.

Amounts are milli-CPU under ``cpu`` and whole units under other names.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from proto import quantity
from proto.kinds.container import Container

Amounts = dict[str, int]

_COMPUTED = {"cpu", "memory"}
"""What a quality of service is made of."""


def requests(init_containers: Iterable[Container], containers: Iterable[Container]) -> Amounts:
    """What they ask of a node: the most that is needed at any moment.

    A limit stands in for an absent request.
    """
    return _peak(init_containers, containers, requested)


def limits(init_containers: Iterable[Container], containers: Iterable[Container]) -> Amounts:
    """What they may use at most, of the resources that each of them has a limit of or not."""
    return _peak(init_containers, containers, limited)


def requested(container: Container) -> Amounts:
    """What one container asks for."""
    return _units(container.resources.limits | container.resources.requests)


def limited(container: Container) -> Amounts:
    """What one container may use."""
    return _units(container.resources.limits)


def _units(amounts: Mapping[str, quantity.Quantity]) -> Amounts:
    return {
        name: quantity.milli(amount) if name == "cpu" else quantity.whole(amount)
        for name, amount in amounts.items()
    }


def _peak(
    init_containers: Iterable[Container],
    containers: Iterable[Container],
    amounts: Callable[[Container], Amounts],
) -> Amounts:
    """Init containers run one by one, beside the sidecars before them and before the pod's own."""
    staying: Amounts = {}
    peak: Amounts = {}
    for container in init_containers:
        needed = _sum(staying, amounts(container))
        peak = _most(peak, needed)
        if container.is_sidecar:
            staying = needed
    for container in containers:
        staying = _sum(staying, amounts(container))
    return _most(peak, staying)


def _sum(one: Amounts, other: Amounts) -> Amounts:
    return one | {name: one.get(name, 0) + units for name, units in other.items()}


def _most(one: Amounts, other: Amounts) -> Amounts:
    return one | {name: max(one.get(name, 0), units) for name, units in other.items()}


def qos_class(containers: Sequence[Container]) -> str:
    """Guaranteed, Burstable or BestEffort. Source: Kubernetes, Pod Quality of Service Classes."""
    asked = [c.resources for c in containers]
    if not any(_COMPUTED & (r.limits | r.requests).keys() for r in asked):
        return "BestEffort"
    if all(
        r.limits.keys() >= _COMPUTED
        and all(
            _is_same_amount(r.requests.get(name, r.limits[name]), r.limits[name])
            for name in ("cpu", "memory")
        )
        for r in asked
    ):
        return "Guaranteed"
    return "Burstable"


def _is_same_amount(one: quantity.Quantity, other: quantity.Quantity) -> bool:
    try:
        return quantity.parse(one) == quantity.parse(other)
    except ValueError:  # validation names the field later
        return one == other
