"""The engine in memory, for simulations: the same contract as `docker`, and faults on request.

Delays are drawn from a given random, so that a run on virtual time can be repeated exactly. What it
holds outlives the agent that uses it, as Docker's containers do; each agent gets its own connection
by being given the same `FakeEngine`.
"""

import asyncio
import hashlib
import random
from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from node_agent.core import naming
from node_agent.core.actions import ContainerConfig, SandboxConfig
from node_agent.core.naming import PodKey
from node_agent.core.observed import Container, Sandbox, State, image_names
from node_agent.core.usage import Sample
from node_agent.core.volume_actions import TmpfsConfig
from node_agent.engine import (
    PING_DEADLINE_S,
    AttachOptions,
    EngineEvent,
    EngineFailure,
    EngineInfo,
    EngineVolume,
    ExecOptions,
    Listed,
    LogOptions,
)
from node_agent.engine.fake_console import EXIT_CODES, FakeConsole
from node_agent.engine.fake_images import FakeImages
from node_agent.engine.fake_streams import FakeEvents, FakeLogs
from proto.errors import AlreadyExists, BadRequest, NotFound, Unavailable, UnknownResult

Delays = Mapping[str, tuple[float, float]]
"""Verb to the shortest and the longest time it takes, seconds."""

DELAYS: Delays = {
    "create": (0.005, 0.02),
    "start": (0.08, 0.3),
    "remove": (0.03, 0.1),
    "signal": (0.002, 0.01),
    "rename": (0.001, 0.005),
    "pull": (0.2, 2.0),
    "look": (0.001, 0.005),
}
"""As measured with Docker 20.10 on two busy cores."""

DEADLINE_S = 60.0
"""For one answer, as in `docker`."""


class FakeEngine(FakeImages):
    """One host's engine."""

    def __init__(
        self,
        node: str,
        clock: Callable[[], int],
        rng: random.Random,
        *,
        images: Sequence[str] = (),
        delays: Delays = DELAYS,
    ) -> None:
        """Empty, and well.

        Args:
            node: Whose objects it holds.
            clock: Epoch milliseconds.
            rng: Draws delays, and who ends when.
            images: Names of the images that are here.
            delays: How long verbs take.
        """
        super().__init__(images)
        self.node = node
        self.on_start: Callable[[Container], None] | None = None
        """Called when a pod's container begins to run: where a simulation checks its invariants."""
        self.ignores_signals: Callable[[Container], bool] = lambda _: False
        """Which containers take no notice of being asked to end."""
        self.burns: Callable[[Container], tuple[int, int]] = lambda _: (10, 4 << 20)
        """What a container uses all the time: thousandths of a core, and bytes."""
        self.writes: Callable[[Sandbox | Container], int] = lambda _: 0
        """What a container has written to its own disk, bytes."""
        self.exit_codes = dict(EXIT_CODES)
        """By program: how it ends when it is executed, if not with 0."""
        self.fails: Callable[[str, str], str] = lambda _verb, _name: ""
        """Verb and object's name to an error's text; empty: it succeeds."""
        self._clock = clock
        self._rng = rng
        self._delays = delays
        self._serial = 0
        self._volumes: dict[str, EngineVolume] = {}
        self._users: dict[str, tuple[str, ...]] = {}  # volumes by container
        self._found: dict[str, Sandbox | Container] = {}
        self._logs: dict[str, bytes] = {}
        self._commands: dict[str, tuple[str, ...]] = {}
        self._streams: list[FakeEvents] = []
        self._awake = asyncio.Event()
        self._awake.set()
        self._is_down = False

    # ---------------------------------------------------------------- faults

    def crash(self) -> None:
        """The host lost power: nothing runs, and streams break. The objects are on its disk."""
        for found in list(self._found.values()):
            if found.state is State.RUNNING:
                self._end(found, exit_code=137, is_told=False)
        self.break_streams()

    def stop(self) -> None:
        """The daemon ends; what runs goes on."""
        self._is_down = True
        self.break_streams()

    def hang(self) -> None:
        """No verb returns until `resume`, or until its deadline."""
        self._awake.clear()

    def resume(self) -> None:
        """The daemon is there and answers."""
        self._is_down = False
        self._awake.set()

    def break_streams(self) -> None:
        """Events from here on reach only who asks anew."""
        for stream in self._streams:
            stream.put(None)
        self._streams.clear()

    def end(self, id: str, *, exit_code: int = 0, is_oom_killed: bool = False) -> None:
        """A program ends by itself."""
        self._end(self._found[id], exit_code=exit_code, is_oom_killed=is_oom_killed)

    def vanish(self, id: str) -> None:
        """Somebody removed a container by hand."""
        self._found.pop(id)
        self._tell(id, "destroy")

    def write(self, id: str, output: bytes) -> None:
        """A program writes."""
        self._logs[id] = self._logs.get(id, b"") + output

    @property
    def containers(self) -> tuple[Container, ...]:
        """All of the pods' containers."""
        return tuple(found for found in self._found.values() if isinstance(found, Container))

    @property
    def sandboxes(self) -> tuple[Sandbox, ...]:
        """All holders."""
        return tuple(found for found in self._found.values() if isinstance(found, Sandbox))

    @property
    def volumes_now(self) -> tuple[EngineVolume, ...]:
        """All volumes."""
        return tuple(self._volumes.values())

    # ----------------------------------------------------------------- verbs

    async def ping(self) -> None:
        """See `Engine`."""
        await self._delay("look", "", PING_DEADLINE_S)

    async def info(self) -> EngineInfo:
        """See `Engine`."""
        await self._delay("look", "")
        kind = {"version": "fake", "architecture": "x86_64", "root_dir": "/engine"}
        return EngineInfo(**kind, cpus=4, memory_bytes=8 << 30)

    async def list(self) -> Sequence[Listed]:
        """See `Engine`."""
        await self._delay("look", "")
        return [Listed(found.id, found.name, found.state) for found in self._found.values()]

    async def inspect(self, id: str) -> Sandbox | Container | None:
        """See `Engine`."""
        await self._delay("look", id)
        return self._found.get(id)

    async def volumes(self) -> Sequence[EngineVolume]:
        """See `Engine`."""
        await self._delay("look", "")
        return list(self._volumes.values())

    async def create_volume(self, config: TmpfsConfig) -> None:
        """See `Engine`."""
        await self._delay("create", config.engine_name)
        labels = config.labels
        pod = PodKey(labels[naming.NAMESPACE], labels[naming.POD], labels[naming.POD_UID])
        name, volume = config.engine_name, labels[naming.VOLUME]
        self._volumes.setdefault(name, EngineVolume(name, pod, volume))

    async def volume_path(self, name: str) -> str:
        """See `Engine`."""
        await self._delay("look", name)
        if name not in self._volumes:
            raise NotFound(f"get {name}: no such volume")
        return f"/engine/volumes/{name}"

    async def remove_volume(self, name: str) -> None:
        """See `Engine`."""
        await self._delay("remove", name)
        if any(name in used and id in self._found for id, used in self._users.items()):
            raise AlreadyExists(f"remove {name}: volume is in use")
        self._volumes.pop(name, None)

    async def create_sandbox(self, config: SandboxConfig) -> str:
        """See `Engine`."""
        await self._delay("create", config.name)
        id = self._new_id(config.name)
        self._users[id] = config.tmpfs
        pod = naming.pod_of_sandbox(config.name)
        self._found[id] = Sandbox(id=id, name=config.name, pod=pod, state=State.CREATED)
        return id

    async def create_container(self, config: ContainerConfig) -> str:
        """See `Engine`."""
        await self._delay("create", config.name)
        names = image_names(config.image)
        image = next((self._images[name] for name in names if name in self._images), None)
        if image is None:
            raise NotFound(f"No such image: {config.image}")
        if config.sandbox_id not in self._found:
            raise NotFound(f"No such container: {config.sandbox_id}")
        id = self._new_id(config.name)
        self._users[id] = tuple(mount.tmpfs for mount in config.mounts if mount.tmpfs)
        for mount in config.mounts:
            if mount.named is not None and mount.named.labels:
                stored = mount.named.labels[naming.PERSISTENT_VOLUME]
                self._volumes.setdefault(mount.tmpfs, EngineVolume(mount.tmpfs, None, stored))
        labels = config.labels
        self._found[id] = Container(
            id=id,
            name=config.name,
            pod=PodKey(labels[naming.NAMESPACE], labels[naming.POD], labels[naming.POD_UID]),
            container=labels[naming.CONTAINER],
            attempt=int(labels[naming.ATTEMPT]),
            backoff=int(labels[naming.BACKOFF]),
            spec_hash=labels[naming.SPEC_HASH],
            sandbox_id=config.sandbox_id,
            state=State.CREATED,
            image=config.image,
            image_id=image.id,
            created_at_ms=self._clock(),
            is_tty=config.is_tty,
            grace_s=int(labels[naming.GRACE_S]),
            message_policy=labels.get(naming.MESSAGE, ""),
            devices=labels.get(naming.DEVICES, ""),
        )
        self._commands[id] = tuple(config.entrypoint)
        return id

    async def start(self, id: str, *, hostname: str = "") -> None:  # noqa: ARG002
        """See `Engine`."""
        await self._delay("start", self._name(id))
        found = self._get(id)
        if found.state is State.RUNNING:
            return
        now_ms = self._clock()
        if isinstance(found, Sandbox):
            ip = f"172.17.{self._rng.randrange(256)}.{self._rng.randrange(2, 255)}"
            self._found[id] = replace(found, state=State.RUNNING, started_at_ms=now_ms, ip=ip)
        else:
            holder = self._found.get(found.sandbox_id)
            if holder is None or holder.state is not State.RUNNING:
                text = f"cannot join network of a non running container: {found.sandbox_id}"
                self._found[id] = replace(found, error=text, exit_code=128)
                raise BadRequest(text)
            running = replace(found, state=State.RUNNING, started_at_ms=now_ms)
            self._found[id] = running
            if self.on_start is not None:
                self.on_start(running)
        self._tell(id, "start")

    async def signal(self, id: str, signal: str) -> None:
        """See `Engine`."""
        await self._delay("signal", self._name(id))
        found = self._get(id)
        if found.state is not State.RUNNING:
            return
        is_deaf = isinstance(found, Sandbox) or self.ignores_signals(found)
        if signal == "SIGKILL":
            self._end(found, exit_code=137)
        elif not is_deaf:
            self._end(found, exit_code=143)

    async def rename(self, id: str, name: str) -> None:
        """See `Engine`."""
        await self._delay("rename", self._name(id))
        found = self._get(id)
        self._refuse_taken(name, besides=id)
        if isinstance(found, Sandbox):
            self._found[id] = replace(found, name=name, pod=naming.pod_of_sandbox(name))
        else:
            self._found[id] = replace(found, name=name)
        self._tell(id, "rename")

    async def remove(self, id: str) -> None:
        """See `Engine`."""
        await self._delay("remove", self._name(id))
        found = self._found.pop(id, None)
        self._users.pop(id, None)
        if found is not None:
            if found.state is State.RUNNING:
                self._tell(id, "die")
            self._tell(id, "destroy")

    async def usage(self, id: str) -> Sample:
        """See `Engine`."""
        await self._delay("look", self._name(id))
        found = self._get_running(id)
        if isinstance(found, Sandbox):
            return Sample(self._clock() * 1_000_000, 0, 0)
        milli, memory_bytes = self.burns(found)
        ran_ms = max(0, self._clock() - found.started_at_ms)
        return Sample(self._clock() * 1_000_000, milli * ran_ms * 1_000, memory_bytes)

    async def written(self) -> Mapping[str, int]:
        """See `Engine`."""
        await self._delay("look", "")
        return {id: self.writes(found) for id, found in self._found.items()}

    async def logs(self, id: str, options: LogOptions) -> FakeLogs:
        """See `Engine`."""
        await self._delay("look", id)
        self._get(id)
        lines = self._logs.get(id, b"").splitlines(keepends=True)
        if options.tail_lines is not None:
            lines = lines[len(lines) - options.tail_lines :] if options.tail_lines else []
        return FakeLogs(b"".join(lines))

    async def execute(self, id: str, options: ExecOptions) -> FakeConsole:
        """See `Engine`. It knows the programs of `fake_console`."""
        await self._delay("look", id)
        self._get_running(id)
        return FakeConsole(
            options.command, self.exit_codes, has_stdin=options.has_stdin, is_executed=True
        )

    async def attach(self, id: str, options: AttachOptions) -> FakeConsole:
        """See `Engine`."""
        await self._delay("look", id)
        self._get_running(id)
        command = self._commands.get(id, ())
        return FakeConsole(command, has_stdin=options.has_stdin, is_executed=False)

    def _get_running(self, id: str) -> Sandbox | Container:
        found = self._get(id)
        if found.state is not State.RUNNING:
            raise BadRequest(f"container {id} is not running")
        return found

    async def events(self) -> FakeEvents:
        """See `Engine`."""
        await self._delay("look", "")
        stream = FakeEvents()
        self._streams.append(stream)
        return stream

    async def close(self) -> None:
        """See `Engine`."""

    # --------------------------------------------------------------- private

    async def _delay(self, verb: str, name: str, deadline_s: float = DEADLINE_S) -> None:
        """The time it takes; then whatever should go wrong does, before anything happened."""
        await asyncio.sleep(self._rng.uniform(*self._delays.get(verb, (0.0, 0.0))))
        try:
            async with asyncio.timeout(deadline_s):
                await self._awake.wait()
        except TimeoutError as error:
            raise UnknownResult(f"no answer within {deadline_s:.0f} s") from error
        if self._is_down:
            raise Unavailable("the engine does not answer")
        if text := self.fails(verb, name):
            raise EngineFailure(text)

    def _name(self, id: str) -> str:
        found = self._found.get(id)
        return found.name if found else ""

    def _get(self, id: str) -> Sandbox | Container:
        found = self._found.get(id)
        if found is None:
            raise NotFound(f"No such container: {id}")
        return found

    def _refuse_taken(self, name: str, *, besides: str = "") -> None:
        if any(found.name == name and found.id != besides for found in self._found.values()):
            raise AlreadyExists(f'The container name "/{name}" is already in use')

    def _new_id(self, name: str) -> str:
        self._refuse_taken(name)
        self._serial += 1
        return hashlib.sha256(f"{self.node}/{self._serial}".encode()).hexdigest()

    def _end(
        self,
        found: Sandbox | Container,
        *,
        exit_code: int,
        is_oom_killed: bool = False,
        is_told: bool = True,
    ) -> None:
        if isinstance(found, Sandbox):
            self._found[found.id] = replace(found, state=State.EXITED, ip="")
        else:
            self._found[found.id] = replace(
                found,
                state=State.EXITED,
                exit_code=exit_code,
                is_oom_killed=is_oom_killed,
                finished_at_ms=self._clock(),
            )
        if is_told:
            self._tell(found.id, "die")

    def _tell(self, id: str, action: str) -> None:
        for stream in self._streams:
            stream.put(EngineEvent(id, action))
