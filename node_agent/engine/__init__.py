"""The container engine: `docker` is the real one, `fake` the one for simulations.

Both pass tests/contract/test_engine.py. An engine knows containers, images and its own
volumes and nothing of pods: what is made, and when, is decided in `node_agent.core`.

Every verb ends within a deadline, but for `pull`, `LogStream.read`, `EventStream.get` and a
`Console`'s reading and writing, which wait for somebody else. Each may raise
`Unavailable` (no answer at all), `UnknownResult` (no answer in time: look again) or
`EngineFailure`; what else, it says.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from node_agent.core.actions import ContainerConfig, SandboxConfig
from node_agent.core.naming import PodKey
from node_agent.core.observed import Container, Credential, Sandbox, State
from node_agent.core.usage import Sample
from node_agent.core.volume_actions import TmpfsConfig
from proto.errors import Retryable


class EngineFailure(Retryable):
    """The engine answered that it could not; it may be able to later."""


class EngineInfo(Struct, frozen=True, kw_only=True):
    """What the engine says of itself and of its host."""

    version: str
    cpus: int
    memory_bytes: int
    architecture: str
    """As the kernel calls it: ``x86_64``."""
    operating_system: str = "linux"
    os_image: str = ""
    kernel_version: str = ""
    root_dir: str = ""
    """Where it keeps images and containers; empty where it does not say."""


class Listed(Struct, frozen=True, order=True):
    """One object in a list: enough to tell whether a closer look is needed."""

    id: str
    name: str
    state: State


class Image(Struct, frozen=True):
    """An image that is here, under all of its names and digests."""

    id: str
    names: tuple[str, ...]
    size_bytes: int = 0


class Progress(Struct, frozen=True):
    """How far a pull is, of the layers whose size is known by now."""

    done_bytes: int = 0
    total_bytes: int = 0


class EngineVolume(Struct, frozen=True):
    """A volume of the engine's that was made for a pod, which calls it `volume`.

    Attributes:
        pod: None: it was made for the PersistentVolume `volume`.
    """

    name: str
    pod: PodKey | None
    volume: str


class EngineEvent(Struct, frozen=True):
    """Something changed: look at it again. Only objects of this node, and images.

    Attributes:
        id: Of the container or holder; empty when an image came or went.
        action: ``start``, ``die``, ``destroy``, ``rename``… as Docker calls it.
    """

    id: str
    action: str


class EventStream(Protocol):
    """What happens, as it happens."""

    async def get(self) -> EngineEvent:
        """The next event; waits for it.

        Raises:
            Unavailable: The stream broke: events may be lost, look at everything.
        """
        ...

    async def close(self) -> None:
        """Stop listening."""
        ...


class LogOptions(Struct, frozen=True, kw_only=True):
    """Which part of a log.

    Attributes:
        tail_lines: The last so many lines; None: all.
        since_ms: Not before that moment; None: from the start.
        has_timestamps: Each line begins with its time.
        is_following: Go on until the container ends.
    """

    tail_lines: int | None = None
    since_ms: int | None = None
    has_timestamps: bool = False
    is_following: bool = False


class LogStream(Protocol):
    """A container's output, both streams in order of arrival."""

    async def read(self) -> bytes:
        """The next piece, at most 64 KiB; empty at the end. Waits for it.

        Raises:
            Unavailable: The stream broke.
        """
        ...

    async def close(self) -> None:
        """Stop reading."""
        ...


class Output(Struct, frozen=True):
    """What a program wrote.

    Attributes:
        is_error: To its standard error rather than its output.
    """

    data: bytes
    is_error: bool = False


class ExecOptions(Struct, frozen=True, kw_only=True):
    """A program to run beside those of a container.

    Attributes:
        has_stdin: Its input stays open until it is ended; else it is empty.
        is_tty: It gets a terminal, whose output is one.
    """

    command: tuple[str, ...]
    has_stdin: bool = False
    has_stdout: bool = True
    has_stderr: bool = True
    is_tty: bool = False


class AttachOptions(Struct, frozen=True, kw_only=True):
    """Which of a container's streams to connect to."""

    has_stdin: bool = False
    has_stdout: bool = True
    has_stderr: bool = True


class Console(Protocol):
    """The input and the outputs of a running program.

    Reading and writing hold the program up, rather than keep what it writes or is given.
    """

    async def read(self) -> Output | None:
        """What it wrote next, at most 64 KiB; None once it will write no more.

        Raises:
            Unavailable: The connection broke.
        """
        ...

    async def write(self, data: bytes) -> None:
        """Give it input; waits until it takes it.

        Raises:
            Unavailable: It takes none any more.
        """
        ...

    async def end_input(self) -> None:
        """It reads the end of its input."""
        ...

    async def resize(self, width: int, height: int) -> None:
        """Its terminal has so many columns and rows. Best effort."""
        ...

    async def exit_code(self) -> int | None:
        """Of the program that was executed, once `read` returned None; None for a container."""
        ...

    async def close(self) -> None:
        """Disconnect; kill an executed program that still runs, where the host lets us."""
        ...


PING_DEADLINE_S = 10.0
"""An engine that says nothing for so long hangs. The kubelet waits for 30 s, and asks for more."""


class Engine(Protocol):
    """The engine of one host, as one node sees it: what other nodes made is not there."""

    async def ping(self) -> None:
        """Whether it answers at all, within `PING_DEADLINE_S`."""
        ...

    async def info(self) -> EngineInfo:
        """What it says of itself."""
        ...

    async def list(self) -> Sequence[Listed]:
        """All holders and containers of this node, in no order."""
        ...

    async def inspect(self, id: str) -> Sandbox | Container | None:
        """One of them; None when there is no such thing, or it is not ours."""
        ...

    async def images(self) -> Sequence[Image]:
        """The images that are here."""
        ...

    async def image_user(self, image: str) -> str:
        """As whom an image that is here runs: ``1000``, ``web:web``; empty for root.

        Raises:
            NotFound: It is not here.
        """
        ...

    async def lowest_oom_score(self) -> int:
        """How far it can keep a container from being killed when memory is short: -1000 to 0."""
        ...

    async def pull(
        self,
        image: str,
        credential: Credential | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        """Fetch an image. Takes as long as it takes.

        Args:
            image: Its name; without a tag or a digest the tag ``latest``.
            credential: What to tell its registry.
            on_progress: Called with everything that the registry, or the disk, is done with.

        Raises:
            Rejected: The registry has no such image, or does not give it to us.
        """
        ...

    async def images_in_use(self) -> frozenset[str]:
        """Ids of those that any container was made of, whoever made it."""
        ...

    async def remove_image(self, image: Image) -> None:
        """Remove an image under all of its names; nothing when it is gone already.

        Raises:
            AlreadyExists: A container has it, or another image is made of it.
        """
        ...

    async def volumes(self) -> Sequence[EngineVolume]:
        """The engine's volumes of this node's pods and PersistentVolumes, in no order."""
        ...

    async def create_volume(self, config: TmpfsConfig) -> None:
        """Make room in memory, if it is not there; it lives while something that runs has it."""
        ...

    async def volume_path(self, name: str) -> str:
        """Where a volume is on the engine's host, while something that runs has it.

        Raises:
            NotFound: There is no such volume.
        """
        ...

    async def remove_volume(self, name: str) -> None:
        """Remove a volume; nothing when it is gone already.

        Raises:
            AlreadyExists: A container has it.
        """
        ...

    async def create_sandbox(self, config: SandboxConfig) -> str:
        """Make a holder, stopped. Returns its id.

        Raises:
            AlreadyExists: Something has that name: look at everything.
        """
        ...

    async def create_container(self, config: ContainerConfig) -> str:
        """Make a container, stopped. Returns its id.

        Raises:
            AlreadyExists: Something has that name: look at everything.
            NotFound: The image or the holder is not there.
            BadRequest: The engine does not accept this configuration.
        """
        ...

    async def start(self, id: str, *, hostname: str = "") -> None:
        """Start it; one that runs stays as it is.

        Args:
            id: What to start.
            hostname: The host name it should see, where its holder has another. Best effort.

        Raises:
            NotFound: There is no such thing.
            BadRequest: It cannot be started as it was made: no such program, for instance.
        """
        ...

    async def signal(self, id: str, signal: str) -> None:
        """Send its first process a signal; nothing when it does not run.

        Raises:
            NotFound: There is no such thing.
        """
        ...

    async def rename(self, id: str, name: str) -> None:
        """Give it another name.

        Raises:
            NotFound: There is no such thing.
            AlreadyExists: Something else has that name.
        """
        ...

    async def remove(self, id: str) -> None:
        """Kill and remove it; nothing when it is gone already."""
        ...

    async def usage(self, id: str) -> Sample:
        """What a container used until now. May take a second: older Dockers look only so often.

        Raises:
            NotFound: There is no such thing.
            BadRequest: It does not run.
        """
        ...

    async def written(self) -> Mapping[str, int]:
        """By id: the bytes that this node's containers have written to their own file systems.

        It is looked for on the disk: nothing to ask for often.
        """
        ...

    async def logs(self, id: str, options: LogOptions) -> LogStream:
        """What it wrote.

        Raises:
            NotFound: There is no such thing.
        """
        ...

    async def execute(self, id: str, options: ExecOptions) -> Console:
        """Run one more program in a container.

        Raises:
            NotFound: There is no such thing.
            BadRequest: It does not run.
        """
        ...

    async def attach(self, id: str, options: AttachOptions) -> Console:
        """Connect to a container's own program.

        Raises:
            NotFound: There is no such thing.
            BadRequest: It does not run.
        """
        ...

    async def events(self) -> EventStream:
        """What happens from now on."""
        ...

    async def close(self) -> None:
        """Let go of the engine; nothing in it changes."""
        ...
