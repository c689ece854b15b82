"""Autoscalers: woken by themselves, by the clock, and by a lag that appears.

What pods use, and whether they are ready, changes all the time: it is looked at once a period.
"""

from collections.abc import Callable, Iterable, Iterator

from msgspec.structs import replace

from orchestrator.core import autoscale
from orchestrator.core.autoscale import Measured, Memory, Target
from orchestrator.core.decisions import Plan
from orchestrator.core.scale import Numbers
from orchestrator.runtime import lag
from orchestrator.runtime.controllers.controller import Controller, Name
from orchestrator.runtime.lag import Lags
from orchestrator.runtime.usage import Usages
from orchestrator.world import Entry, World
from proto.errors import BadRequest
from proto.kinds.autoscaler import AUTOSCALERS, HorizontalPodAutoscaler
from proto.kinds.pod import PODS, Pod
from proto.meta import LabelSelector


class Autoscalers(Controller[Name]):
    """Remembers what it saw, for one term.

    Args:
        world: Read.
        usages: What pods use.
        lags: What consumers have still to do.
        sync_ms: Between two looks at one of them.
    """

    name = "horizontalpodautoscaler"
    kinds = frozenset({AUTOSCALERS})

    def __init__(self, world: World, usages: Usages, lags: Lags, sync_ms: int) -> None:
        super().__init__(world)
        self._usages = usages
        self._lags = lags
        self._sync_ms = sync_ms
        self._memories: dict[Name, Memory] = {}

    def initial(self) -> Iterable[Name]:
        self._memories.clear()  # of an earlier term: another leader has scaled since
        return ()

    async def follow(self, ring: Callable[[Name], None]) -> None:
        def hurry(key: Name) -> None:
            memory = self._memories.get(key)
            if memory is not None and memory.after == 0:  # others can wait for their time
                self._memories[key] = replace(memory, due_ms=0)
            ring(key)

        await self._lags.run(hurry)

    def woken_by(self, entry: Entry) -> Iterator[Name]:
        yield entry.namespace, entry.name

    def plan(self, key: Name, now_ms: int) -> Plan:
        found = self._world.get(AUTOSCALERS, *key)
        if found is None:
            self._memories.pop(key, None)
            return Plan()
        lags = self._lags.of(lag.asked_by(found))
        if lags is None:
            return Plan()  # it is rung for with the first answer
        target = self._target(found)
        measured = Measured(lags=lags)
        if isinstance(target, Target):
            pods = self._pods(key[0], target.numbers)
            usages = {pod.metadata.uid: self._usages.of_pod(pod) for pod in pods}
            measured = Measured(pods, usages, lags, self._rivals(found, pods))
        memory = self._memories.get(key)
        look = autoscale.plan(found, target, measured, memory, now_ms, self._sync_ms)
        self._memories[key] = look.memory
        return look.plan

    def _target(self, found: HorizontalPodAutoscaler) -> Target | str:
        """What it scales, or why that cannot be had."""
        reference = found.spec.scale_target_ref
        group = reference.api_version.rpartition("/")[0]
        if "/" in group:
            return f"unexpected GroupVersion string: {reference.api_version}"
        kinds = (k for k in self._world.kinds.all if (k.group, k.name) == (group, reference.kind))
        kind = next(kinds, None)
        if kind is None:
            return f'no matches for kind "{reference.kind}" in group "{group}"'
        if not kind.has_scale:
            return (
                f"the server could not find the requested resource: {kind.resource} have no scale"
            )
        scaled = self._world.get(kind, found.metadata.namespace, reference.name)
        if scaled is None:
            return f'{kind.resource} "{reference.name}" not found'
        return Target(kind, scaled)

    def _selector(self, numbers: Numbers) -> LabelSelector | None:
        try:
            return autoscale.selector_of(numbers)
        except BadRequest:
            return None  # the plan says why

    def _pods(self, namespace: str, numbers: Numbers) -> list[Pod]:
        selector = self._selector(numbers)
        if selector is None:
            return []
        pods = self._world.objects(PODS, namespace)
        return [pod for pod in pods if selector.matches(pod.metadata.labels)]

    def _rivals(self, found: HorizontalPodAutoscaler, pods: Iterable[Pod]) -> list[str]:
        """All autoscalers of these pods, if there is more than this one."""
        namespace = found.metadata.namespace
        names = [
            other.metadata.name
            for other in self._world.objects(AUTOSCALERS, namespace)
            if other.metadata.name == found.metadata.name or self._scales_one_of(other, pods)
        ]
        return [f"{namespace}/{name}" for name in names] if len(names) > 1 else []

    def _scales_one_of(self, other: HorizontalPodAutoscaler, pods: Iterable[Pod]) -> bool:
        target = self._target(other)
        selector = None if isinstance(target, str) else self._selector(target.numbers)
        return selector is not None and any(selector.matches(pod.metadata.labels) for pod in pods)
