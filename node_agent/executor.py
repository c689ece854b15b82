"""Carries out a plan: one call to the engine an action, with no decision of its own.

What an action did is looked at before its pod is planned for again. A failure is remembered (the
plan spaces the tries), told as an event, and costs that action only: the next pass plans afresh.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import assert_never

import structlog
from msgspec.structs import replace

from node_agent.checks import Checks
from node_agent.confining import Confiner, Unfit
from node_agent.core import events, naming
from node_agent.core.actions import (
    Action,
    ClaimSandbox,
    CreateContainer,
    CreateSandbox,
    KillContainer,
    Plan,
    PodAction,
    PullImage,
    RemoveContainer,
    RemoveSandbox,
    RunHook,
    SignalContainer,
    StartContainer,
    StartSandbox,
    Wait,
)
from node_agent.core.contents import SourceKey
from node_agent.core.mounting import VOLUMES
from node_agent.core.naming import PodKey
from node_agent.core.observed import (
    Container,
    Ended,
    Failure,
    Hook,
    HookKind,
    Memory,
    Sandbox,
    State,
    claimed,
)
from node_agent.core.volume_actions import (
    DropContent,
    FetchContent,
    PrepareVolumes,
    RemoveStored,
    RemoveVolumes,
    TellMissing,
    VolumeAction,
)
from node_agent.engine import Engine
from node_agent.library import Library
from node_agent.observer import Observer
from node_agent.pulling import Puller
from node_agent.setbacks import Setbacks
from node_agent.volumes import Tell, VolumeMaker
from node_agent.witness import Moment, Witness, unseen
from proto.errors import (
    AlreadyExists,
    LongshoreError,
    NotFound,
    Rejected,
    Retryable,
    Unavailable,
    UnknownResult,
)

log = structlog.get_logger()


class Executor:
    """The agent's hands."""

    def __init__(
        self,
        engine: Engine,
        observer: Observer,
        checks: Checks,
        library: Library,
        puller: Puller,
        volumes: VolumeMaker,
        confiner: Confiner,
        tell: Tell,
        *,
        clock: Callable[[], int],
        on_done: Callable[[], None],
        concurrency: int,
        witness: Witness = unseen,
    ) -> None:
        """Idle until `carry_out`.

        Args:
            engine: What to act on.
            observer: Told of what was done.
            checks: Runs hooks.
            library: Fetches contents.
            puller: Pulls images.
            volumes: Makes volumes, and removes them.
            confiner: Knows what a container may do once its image is there.
            tell: Where events go.
            clock: Epoch milliseconds.
            on_done: Called whenever a pod may be planned for again.
            concurrency: Creations, starts and removals at once.
            witness: Of every action.
        """
        self._engine = engine
        self._observer = observer
        self._checks = checks
        self._library = library
        self._puller = puller
        self._volumes = volumes
        self._confiner = confiner
        self._tell = tell
        self._clock = clock
        self._on_done = on_done
        self._witness = witness
        self._gate = asyncio.Semaphore(concurrency)
        self._busy: set[str | None] = set()
        self._signalled: dict[str, int] = {}
        self._hooks: dict[tuple[str, HookKind], Hook] = {}
        self._setbacks = Setbacks(tell, clock)
        self._worked_at_ms = 0
        self._waits: dict[tuple[str, str], Wait] = {}

    @property
    def waits(self) -> Mapping[tuple[str, str], Wait]:
        """By pod uid and container: why nothing is done about it for now."""
        return self._waits

    @property
    def starting(self) -> frozenset[str]:
        """Containers whose hook after the start is not done."""
        return frozenset(
            id
            for (id, kind), hook in self._hooks.items()
            if kind is HookKind.POST_START and not hook.is_done
        )

    @property
    def failures(self) -> Mapping[tuple[str, str], Failure]:
        """See `Memory.failures`."""
        return self._setbacks.failures

    def is_busy(self, uid: str) -> bool:
        """Whether an action runs for the pod."""
        return uid in self._busy

    def memory(self, accepted_at_ms: Mapping[str, int], ended: Mapping[str, Ended]) -> Memory:
        """What the plan should know of what was done."""
        return Memory(
            accepted_at_ms=dict(accepted_at_ms),
            lifetimes=dict(self._observer.lifetimes),
            attempts=dict(self._observer.attempts),
            busy=frozenset(self._busy),
            signalled_at_ms=dict(self._signalled),
            hooks=dict(self._hooks),
            pulling=frozenset(self._puller.busy),
            pulls=dict(self._puller.pulls),
            failures=self._setbacks.failures,
            stuck=self._setbacks.stuck,
            fetching=frozenset(self._library.busy),
            unfetched=dict(self._library.unfetched),
            worked_at_ms=self._worked_at_ms,
            ended=dict(ended),
        )

    def forget(
        self,
        *,
        uids: Collection[str],
        images: Collection[str],
        sources: Collection[SourceKey],
    ) -> None:
        """Keep in mind only what concerns these, and containers that exist."""
        self._library.forget(besides=sources)
        self._puller.forget(besides=images)
        containers = self._observer.containers
        self._signalled = {k: v for k, v in self._signalled.items() if k in containers}
        self._hooks = {k: v for k, v in self._hooks.items() if k[0] in containers}
        there = containers.keys() | self._observer.sandboxes.keys()
        self._setbacks.forget(uids=uids, ids=there)
        self._observer.forget(besides=uids)

    def carry_out(self, plan: Plan, tasks: asyncio.TaskGroup) -> None:
        """Begin all of it; pods side by side, and the actions of one pod too."""
        self._note_waits(plan.waits)
        by_pod: dict[str | None, list[Action]] = {}
        for action in plan.actions:
            match action:
                case PullImage():
                    self._puller.busy.add(action.key)
                case FetchContent() | DropContent():
                    self._library.busy.add(action.source)
                case RunHook():
                    self._hooks[action.key] = Hook(began_at_ms=self._clock())
                case _:
                    uid = action.pod.uid if action.pod else None
                    by_pod.setdefault(uid, []).append(action)
                    continue
            tasks.create_task(self._see_through(action))
        for uid, actions in by_pod.items():
            self._busy.add(uid)
            tasks.create_task(self._work_on(uid, actions))

    def _note_waits(self, waits: Iterable[Wait]) -> None:
        """Tell of each wait once; those of busy pods are not planned, so they stay."""
        noted = {key: wait for key, wait in self._waits.items() if key[0] in self._busy}
        for wait in waits:
            key = (wait.pod.uid, wait.container)
            if self._waits.get(key) != wait and wait.reason in events.TOLD_WAITS:
                told = events.backing_off(wait.reason, wait.message)
                self._tell(wait.pod, wait.container, told)
            noted[key] = wait
        self._waits = noted

    async def _work_on(self, uid: str | None, actions: list[Action]) -> None:
        try:
            if len(actions) == 1:
                await self._see_through(actions[0])
            else:
                async with asyncio.TaskGroup() as tasks:
                    for action in actions:
                        tasks.create_task(self._see_through(action))
        finally:
            self._busy.discard(uid)
            if uid is not None:
                self._worked_at_ms = self._clock()
            self._on_done()

    async def _see_through(self, action: Action) -> None:
        self._witness(action, Moment.BEFORE)
        match action:
            case PullImage():
                await self._puller.perform(action)
            case RunHook():
                await self._run_hook(action)
            case FetchContent() | DropContent():
                await self._library.perform(action)
            case _:
                await self._attempt(action)
        self._witness(action, Moment.AFTER)

    async def _attempt(self, action: Action) -> None:
        """Perform it, or take note that it failed."""
        try:
            if isinstance(action, VolumeAction):
                await self._perform_on_volumes(action)
            else:
                await self._perform(action)
        except (Unavailable, UnknownResult, AlreadyExists) as error:
            log.info("action.unsettled", action=type(action).__name__, error=str(error))
            self._observer.doubt()
            self._setbacks.note(action, str(error))
        except (Retryable, Rejected) as error:
            log.info("action.failed", action=type(action).__name__, error=str(error))
            self._setbacks.tell(action, str(error))
            self._setbacks.note(action, str(error), is_unfit=isinstance(error, Unfit))

    async def _perform(self, action: PodAction) -> None:
        match action:
            case ClaimSandbox():
                await self._claim(action)
            case CreateSandbox():
                await self._create_sandbox(action)
            case StartSandbox():
                async with self._gate:
                    await self._start_sandbox(action.pod, action.sandbox_id)
            case RemoveSandbox():
                if action.pod and action.cause == "it has died":
                    self._tell(action.pod, "", events.sandbox_changed())
                await self._remove(action.sandbox_id)
            case CreateContainer():
                await self._create_container(action)
            case StartContainer():
                await self._start_container(action)
            case SignalContainer():
                self._tell(
                    action.pod, action.container, events.killing(action.container, action.cause)
                )
                self._signalled[action.container_id] = self._clock()
                await self._signal(action.container_id, action.signal)
            case KillContainer():
                await self._signal(action.container_id, "SIGKILL")
                await self._observer.look(action.container_id)
            case RemoveContainer():
                await self._remove(action.container_id)
            case PullImage() | RunHook():
                raise AssertionError("pulls and hooks hold up no pod: see carry_out")
            case _:
                assert_never(action)

    async def _perform_on_volumes(self, action: VolumeAction) -> None:
        match action:
            case PrepareVolumes():
                async with self._gate:
                    await self._volumes.prepare(action)
            case RemoveVolumes():
                async with self._gate:
                    await self._volumes.remove(action)
            case RemoveStored():
                async with self._gate:
                    await self._volumes.remove_stored(action)
            case TellMissing():
                for volume, text in action.missing:
                    self._tell(action.pod, "", events.mount_failed(volume, text))
                self._setbacks.note(action, action.text)
                return
            case FetchContent() | DropContent():
                raise AssertionError("what is asked for holds up no pod: see carry_out")
        self._setbacks.over(action.pod.uid, VOLUMES)

    async def _claim(self, action: ClaimSandbox) -> None:
        known = self._observer.sandboxes.get(action.sandbox_id)
        if known is None:
            return
        # At once, so that the next pass does not give it to another pod.
        self._observer.put(claimed(known, action.name, action.pod))
        try:
            await self._engine.rename(action.sandbox_id, action.name)
        except LongshoreError:
            await self._observer.look(action.sandbox_id)
            raise

    async def _create_sandbox(self, action: CreateSandbox) -> None:
        """Made and started in one go: a holder that does not run is of no use to anyone."""
        async with self._gate:
            id = await self._engine.create_sandbox(action.config)
            made = Sandbox(id=id, name=action.config.name, pod=action.pod, state=State.CREATED)
            self._observer.put(made)
            await self._start_sandbox(action.pod, id)

    async def _start_sandbox(self, pod: PodKey | None, id: str) -> None:
        self._observer.hushed.add(id)
        try:
            await self._engine.start(id)
        finally:
            self._observer.hushed.discard(id)
            await self._observer.look(id)
        self._setbacks.over(pod.uid if pod else "", "")

    async def _create_container(self, action: CreateContainer) -> None:
        config = await self._volumes.resolved(await self._confiner.resolved(action.config))
        try:
            async with self._gate:
                id = await self._engine.create_container(config)
        except NotFound:
            self._observer.doubt()  # the image or the sandbox went meanwhile
            raise
        finally:
            self._volumes.note_made(config)
        self._observer.put(
            Container(
                id=id,
                name=config.name,
                pod=action.pod,
                container=action.container,
                attempt=int(config.labels[naming.ATTEMPT]),
                backoff=int(config.labels[naming.BACKOFF]),
                spec_hash=config.labels[naming.SPEC_HASH],
                sandbox_id=config.sandbox_id,
                state=State.CREATED,
                image=config.image,
                created_at_ms=self._clock(),
                devices=config.labels.get(naming.DEVICES, ""),
            )
        )
        if not self._puller.has_pulled(config.image):
            self._tell(action.pod, action.container, events.present(config.image))
        self._tell(action.pod, action.container, events.created(action.container))

    async def _start_container(self, action: StartContainer) -> None:
        id = action.container_id
        self._observer.hushed.add(id)
        if action.has_hook:
            self._hooks[id, HookKind.POST_START] = Hook()
        try:
            async with self._gate:
                await self._engine.start(id, hostname=action.hostname)
        except Rejected as error:
            found = await self._observer.look(id)
            if isinstance(found, Container) and found.has_ended:
                # Docker keeps the reason with the container: it is restarted like any that ended.
                self._setbacks.tell(action, str(error))
                log.info("container.unstartable", container=found.name, error=str(error))
                return
            raise
        finally:
            self._observer.hushed.discard(id)
        await self._observer.look(id)
        self._setbacks.over(action.pod.uid, action.container)
        self._tell(action.pod, action.container, events.started(action.container))
        log.info("container.started", pod=action.pod.name, container=action.container)

    async def _run_hook(self, action: RunHook) -> None:
        """On nobody's path: the plan knows what has to wait for it."""
        key, name, error = action.key, action.question.spec.name, ""
        began = self._hooks[key]
        try:
            outcome = await self._checks.ask(action.question)
            error = "" if outcome.is_success else outcome.text
        except Exception:  # a mistake of ours says nothing of the container
            log.exception("hook.unfinished", pod=action.pod.name, container=name)
        if error:
            self._tell(action.pod, name, events.hook_failed(action.hook, error))
            log.info("hook.failed", pod=action.pod.name, container=name, error=error)
        self._hooks[key] = replace(began, is_done=True, error=error)
        self._on_done()

    async def _signal(self, id: str, signal: str) -> None:
        try:
            await self._engine.signal(id, signal)
        except NotFound:
            await self._observer.look(id)

    async def _remove(self, id: str) -> None:
        with self._observer.leaving(id):
            try:
                if (known := self._observer.containers.get(id)) is not None:
                    await self._volumes.remove_message(known)  # nothing would tell of it later
                async with self._gate:
                    await self._engine.remove(id)
            finally:
                await self._observer.look(id)
