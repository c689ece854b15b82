"""Extended resources: what an operator says a node has, in units, and which container has which.

A unit is one container's alone. Which ones a container has is a label of it, so that an agent that
starts knows: it looks at what exists, and gives away the rest.
"""

import re
from collections.abc import Iterable, Mapping

from msgspec import Struct

from node_agent.core.contents import Absent, Awaited
from node_agent.core.observed import Container
from proto import quantity
from proto.kinds import validation
from proto.kinds.container import Container as ContainerSpec
from proto.kinds.resources import is_extended
from proto.messages import AssignedPod

GPU = "nvidia.com/gpu"
"""Its units are GPUs by their numbers, which Docker's own runtime for them hands on."""

UNITS_MAX = 10_000
"""Of one resource: each is looked at when one is given away."""

_DECLARED = re.compile(r"([0-9]+)((?::/[^:]+)*)")

Units = Mapping[str, tuple[int, ...]]
"""By resource: which units."""


class Declared(Struct, frozen=True):
    """One resource of a node.

    Attributes:
        count: How many units there are, numbered from 0.
        paths: Devices that come with a unit; ``{}`` in one stands for the unit's number.
    """

    name: str
    count: int
    paths: tuple[str, ...] = ()


class Devices(Struct, frozen=True):
    """What a container is given: devices by their paths, and GPUs by their numbers."""

    paths: tuple[str, ...] = ()
    gpus: tuple[int, ...] = ()


def parse(settings: Mapping[str, str]) -> tuple[Declared, ...]:
    """What an operator declared, as name to ``COUNT[:/dev/PATH…]``.

    Raises:
        ValueError: It is not that.

    >>> parse({"example.com/widget": "2:/dev/widget{}"})
    (Declared(name='example.com/widget', count=2, paths=('/dev/widget{}',)),)
    """
    found = []
    for name, text in sorted(settings.items()):
        declared = _DECLARED.fullmatch(text)
        if "/" not in name or validation.qualified_name("resource", name):
            raise ValueError(f"resource {name!r} needs a name such as example.com/widget")
        if declared is None or int(declared.group(1)) > UNITS_MAX:
            raise ValueError(
                f"resource {name}={text} is not COUNT[:/dev/PATH...] with at most {UNITS_MAX}"
            )
        paths = tuple(path for path in declared.group(2).split(":") if path)
        found.append(Declared(name, int(declared.group(1)), paths))
    return tuple(found)


def wanted(spec: ContainerSpec) -> dict[str, int]:
    """Extended resources by name, in units."""
    amounts = spec.resources.limits.items()
    return {
        name: n for name, amount in amounts if is_extended(name) and (n := quantity.whole(amount))
    }


def given(declared: Iterable[Declared], units: Units) -> Devices:
    """What these units are."""
    paths = {
        path.replace("{}", str(unit)): None
        for resource in declared
        for unit in units.get(resource.name, ())
        for path in resource.paths
    }
    return Devices(tuple(paths), units.get(GPU, ()))


def label(units: Units) -> str:
    """As `read` takes it.

    >>> label({"example.com/widget": (0, 2), "nvidia.com/gpu": (1,)})
    'example.com/widget=0,2;nvidia.com/gpu=1'
    """
    return ";".join(f"{name}={','.join(map(str, units[name]))}" for name in sorted(units))


def read(text: str) -> dict[str, tuple[int, ...]]:
    """Units from a label; of one that cannot be read, none.

    >>> read("example.com/widget=0,2"), read("?")
    ({'example.com/widget': (0, 2)}, {})
    """
    found = {}
    for part in text.split(";"):
        name, _, numbers = part.partition("=")
        if numbers and all(number.isdecimal() for number in numbers.split(",")):
            found[name] = tuple(int(number) for number in numbers.split(","))
    return found


class Stock:
    """The units that nobody has; lives no longer than one plan."""

    def __init__(
        self,
        declared: Iterable[Declared],
        containers: Iterable[Container],
        busy: Iterable[AssignedPod],
    ) -> None:
        """What is free.

        Args:
            declared: What the node has.
            containers: What exists; the units of those that have ended are free.
            busy: Pods that something is done for: nobody can tell what they are being given.
        """
        self._free = {resource.name: set(range(resource.count)) for resource in declared}
        self._unsettled: set[str] = set()
        if not self._free:
            return
        for container in containers:
            if not container.has_ended:
                for name, units in read(container.devices).items():
                    self._free.get(name, set()).difference_update(units)
        self._unsettled = {
            name for pod in busy for spec in pod.spec.all_containers for name in wanted(spec)
        }

    def take(self, spec: ContainerSpec) -> dict[str, tuple[int, ...]]:
        """The lowest units that are free, for one container.

        Raises:
            Absent: The node has no such resource.
            Awaited: There are too few for now.
        """
        asked = wanted(spec)
        taken = {}
        for name, count in asked.items():
            if name not in self._free:
                raise Absent(f"Insufficient {name}: this node has none")
            free = sorted(self._free[name])
            if len(free) < count or name in self._unsettled:
                raise Awaited
            taken[name] = tuple(free[:count])
        for name, units in taken.items():
            self._free[name].difference_update(units)
        return taken
