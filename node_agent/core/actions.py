"""What a plan may ask for: each action is one call to Docker, and safe to repeat.

Plans are values: `render` is what tests compare and people read.
"""

from collections.abc import Iterable, Mapping
from typing import assert_never

from msgspec import Struct

from node_agent.core import volume_actions
from node_agent.core.confinement import Confinement
from node_agent.core.devices import Devices
from node_agent.core.naming import PodKey
from node_agent.core.observed import Credential, HookKind, PullKey
from node_agent.core.question import Question
from node_agent.core.resolving import Resolver
from node_agent.core.volume_actions import Mount, VolumeAction


class PublishedPort(Struct, frozen=True):
    """A port of the pod that the node answers on."""

    container_port: int
    host_port: int
    host_ip: str
    protocol: str


class SandboxConfig(Struct, frozen=True, kw_only=True):
    """How to make a holder.

    Attributes:
        hostname: Empty: Docker's own choice.
        domain_name: What follows it in the full name.
        hosts: Further lines of /etc/hosts, ``name:address``.
        resolver: Empty: the host's own.
        sysctls: Settings of the kernel for the pod's namespaces.
        tmpfs: Volumes of the engine that live as long as something that runs holds them.
    """

    name: str
    labels: Mapping[str, str]
    hostname: str = ""
    domain_name: str = ""
    hosts: tuple[str, ...] = ()
    resolver: Resolver = Resolver()
    sysctls: Mapping[str, str] = {}
    is_host_network: bool = False
    ports: tuple[PublishedPort, ...] = ()
    tmpfs: tuple[str, ...] = ()


class ContainerConfig(Struct, frozen=True, kw_only=True):
    """How to make a container.

    Attributes:
        processes_of: The container whose processes it shares; empty: it has its own.
        entrypoint: Empty: the image's own.
        cpu_limit_milli: Thousandths of a core; 0: no limit.
        cpu_request_milli: Its weight when cores are scarce.
        memory_limit_bytes: 0: no limit.
        message_path: Where its program may leave a last word; empty: nowhere.
        asked_as: What errors call it; see `confinement.named`.
    """

    name: str
    labels: Mapping[str, str]
    image: str
    sandbox_id: str
    processes_of: str = ""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = {}
    working_dir: str = ""
    is_tty: bool = False
    is_stdin_open: bool = False
    is_stdin_once: bool = False
    cpu_limit_milli: int = 0
    cpu_request_milli: int = 0
    memory_limit_bytes: int = 0
    mounts: tuple[Mount, ...] = ()
    confinement: Confinement = Confinement()
    devices: Devices = Devices()
    message_path: str = ""
    asked_as: str = ""


class PullImage(Struct, frozen=True):
    """Fetch an image for everything that waits for it: (pod, container).

    Attributes:
        credentials: What the registry may be told, in this order.
        lacking: Pods with the names of their secrets that cannot be used.
    """

    image: str
    wanted_by: tuple[tuple[PodKey, str], ...]
    cause: str
    credentials: tuple[Credential, ...] = ()
    lacking: tuple[tuple[PodKey, tuple[str, ...]], ...] = ()

    @property
    def key(self) -> PullKey:
        """Under what it is remembered."""
        return PullKey(self.image, self.credentials)


class ClaimSandbox(Struct, frozen=True):
    """Make a holder of the pool a pod's, by renaming it."""

    pod: PodKey
    sandbox_id: str
    name: str
    cause: str


class CreateSandbox(Struct, frozen=True):
    """Make a holder; for the pool when there is no pod."""

    pod: PodKey | None
    config: SandboxConfig
    cause: str


class StartSandbox(Struct, frozen=True):
    """Start a holder."""

    pod: PodKey | None
    sandbox_id: str
    cause: str


class RemoveSandbox(Struct, frozen=True):
    """Kill a holder and remove it."""

    pod: PodKey | None
    sandbox_id: str
    cause: str


class CreateContainer(Struct, frozen=True):
    """Make one attempt at a container."""

    pod: PodKey
    container: str
    config: ContainerConfig
    cause: str


class StartContainer(Struct, frozen=True):
    """Start a container that was made.

    Attributes:
        hostname: To be set once it runs, because its holder has another; empty: it is right.
        has_hook: Whether it is to be told something right after its start.
    """

    pod: PodKey
    container: str
    container_id: str
    hostname: str
    cause: str
    has_hook: bool = False


class RunHook(Struct, frozen=True):
    """Tell a running container something; nothing waits for it but what the plan lets wait."""

    pod: PodKey
    hook: HookKind
    question: Question
    cause: str

    @property
    def key(self) -> tuple[str, HookKind]:
        """Which hook, see `Memory.hooks`."""
        return self.question.container_id, self.hook


class SignalContainer(Struct, frozen=True):
    """Ask a container's program to end; `KillContainer` follows when its grace is over."""

    pod: PodKey
    container: str
    container_id: str
    signal: str
    cause: str


class KillContainer(Struct, frozen=True):
    """End a container at once."""

    pod: PodKey
    container: str
    container_id: str
    cause: str


class RemoveContainer(Struct, frozen=True):
    """Remove a container that does not run."""

    pod: PodKey
    container: str
    container_id: str
    cause: str


PodAction = (
    PullImage
    | ClaimSandbox
    | CreateSandbox
    | StartSandbox
    | RemoveSandbox
    | CreateContainer
    | StartContainer
    | RunHook
    | SignalContainer
    | KillContainer
    | RemoveContainer
)

Action = PodAction | VolumeAction


class Wait(Struct, frozen=True):
    """Why nothing is done about a container (the sandbox, when it has no name) for now.

    Attributes:
        reason: As ``kubectl get pods`` shows it: ``CrashLoopBackOff``, ``ImagePullBackOff``…
        until_ms: When to look again; None: something must happen first.
    """

    pod: PodKey
    container: str
    reason: str
    message: str
    until_ms: int | None


class Plan(Struct, frozen=True):
    """What to do now, what waits, and when to look again at the latest (epoch milliseconds)."""

    actions: tuple[Action, ...] = ()
    waits: tuple[Wait, ...] = ()
    wake_at_ms: int | None = None


def render(plan: Plan) -> str:
    """One line an action and a wait."""
    lines = [line(action) for action in plan.actions]
    lines += [
        f"wait {wait.pod.name}/{wait.container or 'sandbox'}: {wait.reason}" for wait in plan.waits
    ]
    return "\n".join(lines)


def render_actions(actions: Iterable[Action]) -> str:
    """One line an action."""
    return "\n".join(line(action) for action in actions)


def line(action: Action) -> str:
    """The action as people read it."""
    return volume_actions.line(action) if isinstance(action, VolumeAction) else _line(action)


def _line(action: PodAction) -> str:  # one case an action
    match action:
        case PullImage():
            return f"pull {action.image}: {action.cause}"
        case ClaimSandbox():
            return f"claim sandbox {action.sandbox_id} for {action.pod.name}: {action.cause}"
        case CreateSandbox():
            return f"create sandbox {action.config.name}: {action.cause}"
        case StartSandbox():
            return f"start sandbox {action.sandbox_id}: {action.cause}"
        case RemoveSandbox():
            return f"remove sandbox {action.sandbox_id}: {action.cause}"
        case CreateContainer():
            return f"create {action.config.name}: {action.cause}"
        case StartContainer():
            return f"start {action.pod.name}/{action.container}: {action.cause}"
        case RunHook():
            name = f"{action.pod.name}/{action.question.spec.name}"
            return f"{action.hook} hook of {name}: {action.cause}"
        case SignalContainer():
            return f"{action.signal} {action.pod.name}/{action.container}: {action.cause}"
        case KillContainer():
            return f"kill {action.pod.name}/{action.container}: {action.cause}"
        case RemoveContainer():
            return f"remove {action.container_id}: {action.cause}"
        case _:
            assert_never(action)
