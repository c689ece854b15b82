"""An agent that is killed at any boundary of any action: nothing restarts, nothing is left over.

A story is played once undisturbed, and then once for each place where the agent could die in it:
before and after every action and every write to its disk, and while the engine does what it was
asked to. Its supervisor starts
it again a moment later. Whatever the place, the end must be that of the undisturbed story: the same
attempts at the same containers, each started once, and nothing beside them.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeVar, get_args

import pytest
from msgspec import Struct
from msgspec.structs import replace

from node_agent.core.actions import Action
from node_agent.core.contents import Held
from node_agent.core.observed import Container, State
from node_agent.host import Clock
from node_agent.loop import Agent
from node_agent.settings import Settings
from node_agent.witness import Moment
from proto import codec, subjects
from proto.bus.memory import MemoryBus
from proto.kinds.handler import ExecAction
from proto.kinds.lifecycle import Lifecycle, LifecycleHandler
from proto.kinds.volume import ConfigMapVolumeSource, Volume
from proto.messages import (
    AssignedPod,
    Assignment,
    ContentPiece,
    ContentRequest,
    NodeReport,
    VolumeRemoval,
)
from tests.simulation.cluster import EPOCH_MS
from tests.simulation.environment import (
    ENVIRONMENT_TYPES,
    IMAGES,
    EngineConnection,
    Host,
    SimNetwork,
)
from tests.simulation.loop import ENVIRONMENT, Process, SimLoop
from tests.unit.node_agent import given
from tests.unit.node_agent.node import FakeProber, is_running, pod as reported
from tests.unit.node_agent.test_stored import FOLDER, a_pod as claiming
from tests.unit.node_agent.test_volumes import CACHE, FILES, HIDDEN, ROOM, a_pod, held, secret

T = TypeVar("T")

HERE, ELSEWHERE = IMAGES[0], IMAGES[-1]
"""An image that is on the node, and one that must be pulled."""

RESTART_S = 0.3
WITHIN_S = 150


class Place(Struct, frozen=True):
    """Where the agent can die.

    Attributes:
        when: A moment of an action, or "amid": the engine was asked, and did not answer yet.
    """

    what: str
    when: str


class Dies(BaseException):
    """SIGKILL: no line after this one runs."""


class Connection(EngineConnection):
    """An agent's connection to its engine that tells when something is asked that changes it."""

    def __init__(self, stand: "Stand") -> None:
        super().__init__(stand.loop, stand.host)
        self._stand = stand

    async def _ask(self, work: Coroutine[Any, Any, T], deadline_s: float = 60.0) -> T:
        verb = work.__qualname__.rpartition(".")[2]
        if verb in (
            "ping",
            "info",
            "list",
            "inspect",
            "images",
            "volumes",
            "events",
            "usage",
            "execute",
        ):
            return await super()._ask(work, deadline_s)
        asked = self._stand.loop.create_task(super()._ask(work, deadline_s))
        await asyncio.sleep(0)  # the engine has it now
        self._stand.reach(Place(verb, "amid"))
        return await asked

    async def execute(self, id: str, options: Any) -> Any:
        return await self._ask(self._host.engine.execute(id, options))


class Disk:
    """The agent's disk, which tells when it is written."""

    def __init__(self, stand: "Stand") -> None:
        self._stand = stand
        self._disk = stand.host.disk

    async def load(self) -> bytes | None:
        return await self._disk.load()

    async def save(self, content: bytes) -> None:
        self._stand.reach(Place("disk", Moment.BEFORE))
        await self._disk.save(content)
        self._stand.reach(Place("disk", Moment.AFTER))


class Stand:
    """One node, its agent and the control plane's end of the bus, on virtual time."""

    def __init__(self, dies_at: int | None) -> None:
        self.loop = SimLoop(environment=ENVIRONMENT_TYPES)
        self.network = SimNetwork()
        self.network.on_publish = lambda _sender, _envelope: None
        rng = random.Random(1)
        self.host = Host(self.loop, given.NODE, "10.0.0.1", self.now_ms, rng)
        self.engine = self.host.engine
        self.started: list[str] = []
        self.engine.on_start = lambda found: self.started.append(found.name)
        self.places: list[Place] = []
        self.actions: set[type] = set()
        self.report: NodeReport | None = None
        self._dies_at = dies_at
        self.generation = 0
        self._assignment = b""
        self._process: Process | None = None

    def now_ms(self) -> int:
        return EPOCH_MS + int(self.loop.time() * 1000)

    def play(self, story: Callable[["Stand"], Awaitable[None]]) -> None:
        async def whole() -> None:
            control = MemoryBus(self.network, "control")
            async with asyncio.TaskGroup() as tasks:
                listening = [
                    tasks.create_task(self._listen(control)),
                    tasks.create_task(self._answer(control)),
                    tasks.create_task(self._insist(control)),
                ]
                self._start()
                await story(self)
                await self.quiet()
                for task in listening:
                    task.cancel()

        try:
            self.loop.run_until_complete(self.loop.create_task(whole(), context=ENVIRONMENT.copy()))
            assert self.loop.errors == []
        finally:
            if self._process is not None:
                self._process.kill()
            self.host.daemon.kill()
            self.loop.close()

    # ----------------------------------------------------------- life and death

    def _start(self) -> None:
        self._process = Process(self.loop, given.NODE)
        agent = Agent(
            Settings(node_name=given.NODE, internal_ip="10.0.0.1", sandbox_pool=1, resync_s=5.0),
            MemoryBus(self.network, given.NODE),
            Connection(self),
            self.host.storage,
            Disk(self),
            FakeProber(),
            Clock(lambda: self.now_ms() * 1_000_000, lambda: int(self.loop.time() * 1e9)),
            random.Random(1),
            witness=self._witness,
        )
        self._process.spawn(agent.run())

    def _witness(self, action: Action, moment: Moment) -> None:
        self.actions.add(type(action))
        self.reach(Place(type(action).__name__, moment))

    def reach(self, place: Place) -> None:
        """The agent is here, and dies if it is to."""
        self.places.append(place)
        if len(self.places) - 1 == self._dies_at:
            assert self._process is not None
            self._process.kill()
            self.network.forget(given.NODE)
            self.loop.call_later(RESTART_S, self._start, context=ENVIRONMENT.copy())
            raise Dies

    # -------------------------------------------------------- the control plane

    def assign(self, *pods: AssignedPod, removals: tuple[VolumeRemoval, ...] = ()) -> None:
        self.generation += 1
        assignment = Assignment(
            node=given.NODE,
            epoch=1,
            generation=self.generation,
            pods=pods,
            removals=removals,
        )
        self._assignment = codec.encode(assignment)

    async def _insist(self, control: MemoryBus) -> None:
        """The control plane says again what was not heard."""
        while True:
            if self._assignment:
                await control.publish(subjects.assignment(given.NODE), self._assignment)
            await asyncio.sleep(0.1)

    async def _listen(self, control: MemoryBus) -> None:
        subscription = await control.subscribe(subjects.report(given.NODE))
        while True:
            self.report = codec.decode((await subscription.get()).payload, NodeReport)

    async def _answer(self, control: MemoryBus) -> None:
        subscription = await control.subscribe(subjects.content(given.NODE))
        while True:
            envelope = await subscription.get()
            asked = codec.decode(envelope.payload, ContentRequest)
            found: Held = held() if asked.kind == "ConfigMap" else secret()
            whole = codec.encode(found.content)
            reply = ContentPiece(version=found.version, size=len(whole), piece=whole)
            await control.publish(envelope.reply, codec.encode(reply))

    async def until(self, holds: Callable[[NodeReport], object]) -> None:
        """The agent's report says so."""
        async with asyncio.timeout(WITHIN_S):
            while self.report is None or not holds(self.report):
                await asyncio.sleep(0.02)

    async def running(self, name: str) -> None:
        """All containers of the assigned pod run as it is assigned."""
        await self.until(
            lambda r: r.generation == self.generation and is_running(reported(r, name))
        )

    async def gone(self, name: str) -> None:
        await self.until(lambda r: (found := reported(r, name)) is not None and found.is_gone)

    async def quiet(self) -> None:
        """The agent has nothing left to do; long enough for a grace, a back-off and a resync."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                await asyncio.sleep(0.5)
                before = len(self.places)
                await asyncio.sleep(12)
                if len(self.places) == before and self._process and self._process.is_alive:
                    return

    # ------------------------------------------------------------------ the end

    def picture(self) -> dict[str, object]:
        """All there is on the node, and how often what was started."""
        boxes = [(b.pod.name if b.pod else "", b.state) for b in self.engine.sandboxes]
        found = self.engine.containers
        return {
            "containers": sorted((c.name, c.backoff, c.state) for c in found),
            "sandboxes": sorted(boxes),
            "tmpfs": sorted(v.name for v in self.engine.volumes_now),
            "folders": sorted(self.host.storage.volumes_now),
            "starts": Counter(self.started),
        }


# --------------------------------------------------------------------- stories


def web(*containers: Any, **fields: object) -> AssignedPod:
    return given.pod("web", *(containers or (given.spec(image=HERE),)), **fields)


async def come_and_go(stand: Stand) -> None:
    """From the pool, with time to end, beside a neighbour that is to notice nothing."""
    async with asyncio.timeout(WITHIN_S):
        while not any(b.state is State.RUNNING for b in stand.engine.sandboxes):
            await asyncio.sleep(0.02)
    stays = given.pod("stays", given.spec(image=HERE))
    stand.assign(stays, web())
    await stand.running("web")
    await stand.running("stays")
    stand.assign(stays, web(delete_grace_s=5))
    await stand.gone("web")
    stand.assign(stays)


async def restart(stand: Stand) -> None:
    """A program ends twice: at once again, then after a pause."""
    stand.assign(web())
    for attempt in range(3):
        await stand.until(lambda r: is_running(reported(r, "web")))
        newest = max(stand.engine.containers, key=lambda c: c.attempt)
        assert newest.attempt == attempt
        if attempt < 2:
            stand.engine.end(newest.id, exit_code=1)
            await stand.until(
                lambda r, n=attempt: (
                    reported(r, "web").status.container_statuses[0].restart_count == n + 1
                )
            )


async def replacement(stand: Stand) -> None:
    """Another image, which must be pulled first, for a program that will not end."""
    stand.engine.ignores_signals = lambda _: True
    stand.assign(web(termination_grace_period_seconds=3))
    await stand.running("web")
    stand.assign(web(given.spec(image=ELSEWHERE), termination_grace_period_seconds=3))
    await stand.until(lambda _: any(c.image == ELSEWHERE for c in stand.engine.containers))
    await stand.running("web")


async def several(stand: Stand) -> None:
    """Init containers, a sidecar and two containers; all of them go."""
    first = given.spec("first", image=HERE)
    beside = given.spec("beside", image=HERE, restart_policy="Always")
    pod = web(given.spec("c", image=HERE), given.spec("d", image=HERE))
    pod = replace(pod, spec=replace(pod.spec, init_containers=(first, beside)))

    def end_soon(found: Container) -> None:
        stand.started.append(found.name)
        if found.container == "first":
            stand.loop.call_later(
                0.5,
                lambda: stand.engine.end(found.id),
                context=ENVIRONMENT.copy(),
            )

    stand.engine.on_start = end_soon
    stand.assign(pod)
    await stand.running("web")
    stand.assign(replace(pod, delete_grace_s=5))
    await stand.gone("web")


async def told(stand: Stand) -> None:
    """Hooks after the start and before the end."""
    hook = LifecycleHandler(exec=ExecAction(command=("true",)))
    spec = given.spec(image=HERE, lifecycle=Lifecycle(post_start=hook, pre_stop=hook))
    stand.assign(web(spec))
    await stand.running("web")
    stand.assign(web(spec, delete_grace_s=5))
    await stand.gone("web")


async def volumes(stand: Stand) -> None:
    """Of each kind, with what they hold; then neither they nor that is wanted any more."""
    pod = a_pod(ROOM, CACHE, FILES, HIDDEN)
    (own,) = pod.spec.containers
    pod = replace(pod, spec=replace(pod.spec, containers=(replace(own, image=HERE),)))
    stand.assign(pod)
    await stand.running("web")
    stand.assign(replace(pod, delete_grace_s=0))
    await stand.gone("web")
    stand.assign()


async def missing(stand: Stand) -> None:
    """A volume whose source is not there."""
    volume = Volume(name="files", config_map=ConfigMapVolumeSource(name="nowhere"))
    stand.assign(web(volumes=(volume,)), given.pod("other", given.spec(image=HERE)))
    await stand.running("other")
    await asyncio.sleep(3)
    stand.assign(given.pod("other", given.spec(image=HERE)))


async def stored(stand: Stand) -> None:
    """A claim's folder, which outlives its pod and goes when it is to."""
    pod = claiming(FOLDER)
    (own,) = pod.spec.containers
    pod = replace(pod, spec=replace(pod.spec, containers=(replace(own, image=HERE),)))
    stand.assign(pod)
    await stand.running("web")
    stand.assign(replace(pod, delete_grace_s=0))
    await stand.gone("web")
    stand.assign()
    await stand.until(lambda r: r.generation == stand.generation)
    assert "pvc-1" in await stand.host.storage.stored()
    stand.assign(removals=(VolumeRemoval(name="pvc-1", uid="v1"),))
    await stand.until(lambda r: any(volume.is_gone for volume in r.volumes))
    assert "pvc-1" not in await stand.host.storage.stored()


async def dead_holder(stand: Stand) -> None:
    """A pod's holder is killed, and one of the pool."""
    stand.assign(web())
    await stand.running("web")
    (own,) = [b for b in stand.engine.sandboxes if b.pod is not None]
    for box in stand.engine.sandboxes:
        stand.engine.end(box.id, exit_code=137)
    await stand.until(
        lambda r: (
            is_running(reported(r, "web"))
            and all(
                c.sandbox_id != own.id for c in stand.engine.containers if c.state is State.RUNNING
            )
        )
    )


async def second_try(stand: Stand) -> None:
    """Docker cannot start a holder at first, nor remove what is left of a pod."""
    refused: list[str] = []

    def refuse_once(verb: str, name: str) -> str:
        if name and verb in ("start", "remove") and f"{verb} {name}" not in refused:
            refused.append(f"{verb} {name}")
            return "device or resource busy"
        return ""

    stand.engine.fails = refuse_once
    stand.assign(web(hostname="own"))
    await stand.running("web")
    stand.assign(web(hostname="own", delete_grace_s=0))
    await stand.gone("web")


STORIES = (
    come_and_go,
    restart,
    replacement,
    several,
    told,
    volumes,
    missing,
    stored,
    dead_holder,
    second_try,
)


def played(story: Callable[[Stand], Awaitable[None]], dies_at: int | None = None) -> Stand:
    stand = Stand(dies_at)
    stand.play(story)
    return stand


def kinds(union: object) -> Iterator[type]:
    for part in get_args(union):
        yield from kinds(part) if get_args(part) else (part,)


def test_every_action_there_is_happens_in_a_story():
    seen = set[type]().union(*(played(story).actions for story in STORIES))
    assert seen == set(kinds(Action))


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_an_agent_killed_anywhere_restarts_nothing_and_leaves_nothing(
    story: Callable[[Stand], Awaitable[None]],
):
    undisturbed = played(story)
    wanted = undisturbed.picture()
    for number, place in enumerate(undisturbed.places):
        assert played(story, number).picture() == wanted, f"killed at place {number}: {place}"
