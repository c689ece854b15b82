"""What there is, as last seen.

Docker's objects that carry this node's label, and what the agent remembers of its own doings. Times
are epoch milliseconds, 0 for never.
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from node_agent.core.contents import Held, SourceKey
from node_agent.core.health import Health
from node_agent.core.naming import PodKey


class State(StrEnum):
    """A container's state, as far as decisions differ."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"


class Sandbox(Struct, frozen=True, kw_only=True):
    """A holder of a pod's namespaces.

    Attributes:
        pod: Whose it is; None while it waits in the pool.
        ip: Its address; empty before it runs, and with the host's network.
    """

    id: str
    name: str
    pod: PodKey | None
    state: State
    ip: str = ""
    started_at_ms: int = 0


class Container(Struct, frozen=True, kw_only=True):
    """One attempt at one container of a pod.

    Attributes:
        sandbox_id: The holder whose namespaces it shares.
        backoff: Restarts in a row before this attempt; see `restart`.
        error: Why Docker could not start it; empty when it could.
        stop_signal: What asks its program to end.
        grace_s: How long it may take to end, when nobody says otherwise.
        message_policy: Where its last word is: ``File``, ``FallbackToLogsOnError``; empty: nowhere.
        message: The last word of its program, once it has ended.
        devices: Which extended resources it has; see `devices.label`.
    """

    id: str
    name: str
    pod: PodKey
    container: str
    attempt: int
    backoff: int
    spec_hash: str
    sandbox_id: str
    state: State
    image: str = ""
    image_id: str = ""
    created_at_ms: int = 0
    started_at_ms: int = 0
    finished_at_ms: int = 0
    exit_code: int = 0
    is_oom_killed: bool = False
    is_tty: bool = False
    error: str = ""
    stop_signal: str = "SIGTERM"
    grace_s: int = 30
    message_policy: str = ""
    message: str = ""
    devices: str = ""

    @property
    def has_failed_to_start(self) -> bool:
        """Docker keeps a container that it could not start in the state it was created in."""
        return self.state is State.CREATED and bool(self.error)

    @property
    def has_ended(self) -> bool:
        """It ran or tried to, and does not run."""
        return self.state is State.EXITED or self.has_failed_to_start

    @property
    def ended_at_ms(self) -> int:
        """When it ended; when it was created, for one that never started."""
        return self.finished_at_ms or self.created_at_ms

    @property
    def has_succeeded(self) -> bool:
        """It ended, and said that all is well."""
        return self.state is State.EXITED and self.exit_code == 0


class Lifetime(Struct, frozen=True):
    """From when to when a container ran, as the agent counts: Docker's clock may be set."""

    began_ms: int = 0
    ended_ms: int = 0

    @staticmethod
    def of(container: Container) -> "Lifetime":
        """As Docker tells it."""
        ended_ms = container.ended_at_ms if container.has_ended else 0
        return Lifetime(container.started_at_ms, ended_ms)


class Volumes(Struct, frozen=True):
    """What there is of one pod's volumes.

    Attributes:
        marks: By volume; see `volumes.mark`.
        tmpfs: Those of the engine, by its names.
    """

    marks: Mapping[str, str] = {}
    tmpfs: tuple[str, ...] = ()


RETRY_MAX_MS = 30_000
"""The longest pause between tries at what Docker refuses; the first is one second."""


class Failure(Struct, frozen=True):
    """What the agent could not do, how often in a row, and when it tried last."""

    reason: str
    message: str
    count: int
    at_ms: int

    @staticmethod
    def after(before: "Failure | None", reason: str, message: str, at_ms: int) -> "Failure":
        """One more of them."""
        return Failure(reason, message, before.count + 1 if before else 1, at_ms)

    @property
    def due_at_ms(self) -> int:
        """When Docker may be asked again: after 1 s, 2 s and so on up to half a minute."""
        return self.at_ms + min(RETRY_MAX_MS, 1000 << min(self.count - 1, 5))


class Credential(Struct, frozen=True):
    """What a registry is told. Never written anywhere, so it hides when it is printed."""

    username: str = ""
    password: str = ""
    identity_token: str = ""

    def __repr__(self) -> str:
        return f"Credential({self.username!r}, …)"


class PullKey(Struct, frozen=True):
    """An image as somebody may have it: what one pod's secrets open is not open to all."""

    image: str
    credentials: tuple[Credential, ...] = ()


class Pull(Struct, frozen=True):
    """What became of the last pulls of one image.

    Attributes:
        done_at_ms: When the image was last known to be as the registry has it.
        failure: Why it could not be fetched since.
    """

    done_at_ms: int = 0
    failure: Failure | None = None


class Ended(Struct, frozen=True):
    """A pod that is over before its time, by the node's own doing.

    Attributes:
        reason: Such as ``Evicted``; with `message` as its status has them.
        grace_s: What its containers get.
        at_ms: When that was decided.
    """

    reason: str
    message: str
    grace_s: int
    at_ms: int


class HookKind(StrEnum):
    """When a hook runs, as manifests spell it."""

    POST_START = "postStart"
    PRE_STOP = "preStop"


class Hook(Struct, frozen=True):
    """How far one hook of one container is.

    Attributes:
        began_at_ms: 0 while it is still to run.
        error: Why it failed; empty when it did not.
    """

    began_at_ms: int = 0
    is_done: bool = False
    error: str = ""


class Memory(Struct, frozen=True, kw_only=True):
    """What Docker cannot know. Losing it (the agent restarts) costs a retry, never a container.

    Attributes:
        accepted_at_ms: By pod uid: when the pod was first assigned. Kept on disk.
        lifetimes: By container id: of those that ran.
        attempts: By pod uid and container: the newest attempt that ran, though it may be gone.
        busy: Uids of pods that an action runs for; None among them for the pool.
        signalled_at_ms: By container id: when its program was asked to end.
        hooks: By container id. Whether a container that an earlier agent started has run its hook
            is not known, nor is it run again, as in Kubernetes.
        pulling: Images that are being pulled, as the pod names them.
        pulls: What became of those that were.
        failures: By pod uid and container name; the name is empty for the sandbox, and no
            container's for volumes.
        stuck: By id: holders and containers that could not be killed or removed.
        fetching: Contents that are being asked for.
        unfetched: Contents that could not be had.
        worked_at_ms: When an action on a pod last ended.
        ended: By pod uid: those that are over. Kept on disk, too.
    """

    accepted_at_ms: Mapping[str, int] = {}
    lifetimes: Mapping[str, Lifetime] = {}
    attempts: Mapping[tuple[str, str], int] = {}
    busy: frozenset[str | None] = frozenset()
    signalled_at_ms: Mapping[str, int] = {}
    hooks: Mapping[tuple[str, HookKind], Hook] = {}
    pulling: frozenset[PullKey] = frozenset()
    pulls: Mapping[PullKey, Pull] = {}
    failures: Mapping[tuple[str, str], Failure] = {}
    stuck: Mapping[str, Failure] = {}
    fetching: frozenset[SourceKey] = frozenset()
    unfetched: Mapping[SourceKey, Failure] = {}
    worked_at_ms: int = 0
    ended: Mapping[str, Ended] = {}

    def life(self, container: Container) -> Lifetime:
        """When it ran; as Docker tells it, if nobody has followed."""
        return self.lifetimes.get(container.id) or Lifetime.of(container)


class Observed(Struct, frozen=True, kw_only=True):
    """One consistent look at the node.

    Attributes:
        images: Names of the images that are here, as `image_names` spells them.
        volumes: By pod: all that there is of them.
        stored: PersistentVolumes that the node keeps: by name, what the engine calls them; empty
            for a folder.
        contents: What is known of ConfigMaps and Secrets.
        health: What probes say of the containers.
    """

    sandboxes: tuple[Sandbox, ...] = ()
    containers: tuple[Container, ...] = ()
    images: frozenset[str] = frozenset()
    volumes: Mapping[PodKey, Volumes] = {}
    stored: Mapping[str, str] = {}
    contents: Mapping[SourceKey, Held] = {}
    memory: Memory = Memory()
    health: Health = Health()


class PodView(Struct, frozen=True):
    """What there is of one pod: holders oldest first, attempts by container name, newest first.

    Attributes:
        volumes: None: nothing is there of any, not even their folder.
    """

    sandboxes: tuple[Sandbox, ...] = ()
    attempts: Mapping[str, tuple[Container, ...]] = {}
    volumes: Volumes | None = None

    @property
    def is_empty(self) -> bool:
        """Nothing is left of it."""
        return not self.sandboxes and not self.attempts and self.volumes is None

    @property
    def sandbox(self) -> Sandbox | None:
        """The holder that runs, or the one that may yet."""
        by_use = {State.RUNNING: 0, State.CREATED: 1, State.EXITED: 2}
        return min(self.sandboxes, key=lambda s: by_use[s.state], default=None)

    @property
    def containers(self) -> tuple[Container, ...]:
        """All attempts at all containers."""
        return tuple(c for attempts in self.attempts.values() for c in attempts)

    def newest(self, container: str) -> Container | None:
        """The newest attempt at a container."""
        return next(iter(self.attempts.get(container, ())), None)


def by_pod(observed: Observed) -> dict[PodKey, PodView]:
    """What there is, pod by pod, in an order that does not depend on the input's."""
    sandboxes: dict[PodKey, list[Sandbox]] = {}
    for sandbox in sorted(observed.sandboxes, key=lambda s: (s.started_at_ms, s.id)):
        if sandbox.pod is not None:
            sandboxes.setdefault(sandbox.pod, []).append(sandbox)
    attempts: dict[PodKey, dict[str, tuple[Container, ...]]] = {}
    for found in sorted(observed.containers, key=lambda c: (c.container, -c.attempt, c.id)):
        mine = attempts.setdefault(found.pod, {})
        mine[found.container] = (*mine.get(found.container, ()), found)
    return {
        pod: PodView(
            tuple(sandboxes.get(pod, ())), attempts.get(pod, {}), observed.volumes.get(pod)
        )
        for pod in sorted(sandboxes.keys() | attempts.keys() | observed.volumes.keys())
    }


def claimed(sandbox: Sandbox, name: str, pod: PodKey) -> Sandbox:
    """The holder once it was renamed to be a pod's."""
    return replace(sandbox, name=name, pod=pod)


def image_names(image: str) -> tuple[str, ...]:
    """How Docker lists what a manifest calls `image`.

    >>> image_names("web"), image_names("docker.io/library/web:2")
    (('web:latest',), ('web:2',))
    >>> image_names("registry:5000/a/web:1@sha256:12")
    ('registry:5000/a/web@sha256:12',)
    """
    name, at, digest = image.removeprefix("docker.io/").removeprefix("library/").partition("@")
    path, slash, last = name.rpartition("/")
    if digest:
        return (f"{path}{slash}{last.partition(':')[0]}{at}{digest}",)
    return (name,) if ":" in last else (f"{name}:latest",)
