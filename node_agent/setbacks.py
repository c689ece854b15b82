"""What could not be done, so that the plan spaces the tries, and people read why."""

from collections.abc import Callable, Collection, Mapping

from node_agent.core import events
from node_agent.core.actions import (
    Action,
    ClaimSandbox,
    CreateContainer,
    CreateSandbox,
    KillContainer,
    RemoveContainer,
    RemoveSandbox,
    StartContainer,
    StartSandbox,
)
from node_agent.core.mounting import MISSING, VOLUMES
from node_agent.core.naming import PodKey
from node_agent.core.observed import Failure
from node_agent.core.volume_actions import (
    PrepareVolumes,
    RemoveStored,
    RemoveVolumes,
    TellMissing,
)
from node_agent.volumes import Tell


class Setbacks:
    """The agent's memory of what failed, until it succeeds.

    Attributes:
        failures: See `Memory.failures`.
        stuck: See `Memory.stuck`.
    """

    def __init__(self, tell: Tell, clock: Callable[[], int]) -> None:
        self._tell = tell
        self._clock = clock
        self.failures: Mapping[tuple[str, str], Failure] = {}
        self.stuck: Mapping[str, Failure] = {}

    def note(self, action: Action, error: str, *, is_unfit: bool = False) -> None:
        """It failed, once more; a container that is unfit may not be made as it is."""
        match action:
            case CreateContainer() | StartContainer():
                reason = f"CreateContainer{'Config' if is_unfit else ''}Error"
                self._fail((action.pod.uid, action.container), reason, error)
            case PrepareVolumes() | RemoveVolumes() | RemoveStored():
                self._fail((action.pod.uid, VOLUMES), "ContainerCreating", error)
            case TellMissing():
                self._fail((action.pod.uid, MISSING), "ContainerCreating", error)
            case CreateSandbox() | StartSandbox() | ClaimSandbox():
                uid = action.pod.uid if action.pod else ""
                self._fail((uid, ""), "ContainerCreating", error)
            case KillContainer(container_id=id) | RemoveContainer(container_id=id):
                self._stick(id, error)
            case RemoveSandbox(sandbox_id=id):
                self._stick(id, error)
            case _:
                pass  # who cannot be asked to end is killed once the grace is over

    def _fail(self, key: tuple[str, str], reason: str, error: str) -> None:
        failure = Failure.after(self.failures.get(key), reason, error, self._clock())
        self.failures = {**self.failures, key: failure}

    def _stick(self, id: str, error: str) -> None:
        failure = Failure.after(self.stuck.get(id), "FailedKillPod", error, self._clock())
        self.stuck = {**self.stuck, id: failure}

    def tell(self, action: Action, error: str) -> None:
        """As the kubelet does."""
        match action:
            case CreateContainer() | StartContainer():
                self._tell(action.pod, action.container, events.failed(error))
            case CreateSandbox(pod=PodKey() as pod) | StartSandbox(pod=PodKey() as pod):
                self._tell(pod, "", events.sandbox_failed(error))
            case KillContainer(pod=pod) | RemoveContainer(pod=pod):
                self._tell(pod, "", events.kill_failed(error))
            case RemoveSandbox(pod=PodKey() as pod):
                self._tell(pod, "", events.kill_failed(error))
            case _:
                pass

    def over(self, uid: str, what: str) -> None:
        """It succeeded; see `Memory.failures` for how things are called."""
        self.failures = {k: v for k, v in self.failures.items() if k != (uid, what)}

    def forget(self, *, uids: Collection[str], ids: Collection[str]) -> None:
        """Keep in mind only what concerns these pods, the pool, and these objects."""
        self.failures = {k: v for k, v in self.failures.items() if not k[0] or k[0] in uids}
        self.stuck = {k: v for k, v in self.stuck.items() if k in ids}
