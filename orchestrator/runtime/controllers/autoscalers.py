"""Autoscalers: woken by themselves, by the clock, and by a lag that appears.

What pods use, and whether they are ready, changes all the time: it is looked at once a period.
"""

from collections.abc import Callable, Iterable, Iterator

from msgspec.structs import replace

from orchestrator.core import autoscale
from orchestrator.core.autoscale import Measured, Memory, Target
from orchestrator.core.decisions import Plan
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
        self._selectors: dict[Name, LabelSelector] = {}  # of their targets, when last looked at

    def initial(self) -> Iterable[Name]:
        self._memories.clear()  # of an earlier term: another leader has scaled since
        self._selectors.clear()
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

    def woken_by_end(self, entry: Entry) -> Iterable[Name]:
        """Nobody; another one of its name starts afresh."""
        self._memories.pop((entry.namespace, entry.name), None)
        self._selectors.pop((entry.namespace, entry.name), None)
        return ()

    def plan(self, key: Name, now_ms: int) -> Plan:
        found = self._world.get(AUTOSCALERS, *key)
        if found is None:
            return Plan()
        lags = self._lags.of(lag.asked_by(found))
        if lags is None:
            return Plan()  # it is rung for with the first answer
        self._selectors.pop(key, None)
        target = self._target(found)
        measured = Measured(lags=lags)
        if isinstance(target, Target):
            pods = self._pods(key, target)
            usages = {pod.metadata.uid: self._usages.of_pod(pod) for pod in pods}
            measured = Measured(pods, usages, lags, self._rivals(key, pods))
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

    def _pods(self, key: Name, target: Target) -> list[Pod]:
        """Those that a target's selector selects; none by one that the plan complains of."""
        try:
            selector = target.selector
        except BadRequest:
            selector = None
        if selector is None:
            return []
        self._selectors[key] = selector
        pods = self._world.objects(PODS, key[0])
        return [pod for pod in pods if selector.matches(pod.metadata.labels)]

    def _rivals(self, key: Name, pods: Iterable[Pod]) -> list[str]:
        """All autoscalers of these pods, if there is more than this one."""
        namespace = key[0]
        of_pods = {tuple(sorted(pod.metadata.labels.items())) for pod in pods}  # most are alike
        every = [dict(labels) for labels in of_pods]
        names = sorted(
            name
            for (room, name), selector in self._selectors.items()
            if room == namespace and any(selector.matches(labels) for labels in every)
        )
        return [f"{namespace}/{name}" for name in names] if len(names) > 1 else []
