"""`longshore run`: a pod of one container, and a terminal in it for as long as it runs."""

import asyncio
import contextlib

from msgspec import Struct

from orchestrator.cli.client import Json
from orchestrator.cli.refused import Refused
from orchestrator.cli.resources import ResourceType
from orchestrator.cli.session import Session
from orchestrator.cli.verbs.create import created, made
from orchestrator.cli.verbs.delete import gone
from orchestrator.cli.verbs.execution import ExecOptions, attach
from orchestrator.cli.verbs.logs import LogOptions, logs
from orchestrator.cli.verbs.pods import phase
from orchestrator.cli.verbs.results import Outcome
from orchestrator.cli.watching import states

ENDED = ("Succeeded", "Failed")


class Attachment(Struct, frozen=True, kw_only=True):
    """Whether somebody stays with it.

    Attributes:
        is_removed: It is deleted when it has ended.
    """

    is_attached: bool = False
    has_stdin: bool = False
    has_tty: bool = False
    is_removed: bool = False
    is_quiet: bool = False


async def run(
    session: Session, manifest: Json, outcome: Outcome, attachment: Attachment
) -> int | None:
    """Make the pod. Returns its exit code when somebody stayed with it."""
    outcome.check()
    if not attachment.is_attached or outcome.dry_run not in ("", "none"):
        await created(session, manifest, outcome)
        return None
    pod = await made(session, manifest, outcome)  # what it writes is all there is to say
    pods = (await session.client.types()).of_kind("v1", "Pod")
    try:
        return await _attached(session, pods, pod, attachment)
    finally:
        if attachment.is_removed:
            await _remove(session, pods, pod, is_quiet=attachment.is_quiet)


async def _attached(session: Session, pods: ResourceType, pod: Json, attachment: Attachment) -> int:
    metadata = pod["metadata"]
    name = metadata["name"]
    state = await _until(session, pods, pod, ("Running", *ENDED))
    if attachment.has_tty and phase(state) == "Running":
        options = ExecOptions(has_stdin=True, has_tty=True, is_quiet=attachment.is_quiet)
        with contextlib.suppress(Refused):  # it may have ended just now: its state says how
            await attach(session, name, options)
    else:
        await _read_along(session, name, state, attachment)
    if _restarts(pod):
        return 0
    state = await _until(session, pods, pod, ENDED)
    code = _exit_code(state)
    if code:
        session.screen.tell(f"pod {metadata['namespace']}/{name} terminated ({_reason(state)})")
    return code


async def _read_along(session: Session, name: str, state: Json, attachment: Attachment) -> None:
    """All that it writes: an attached reader would have missed what came before."""
    async with asyncio.TaskGroup() as group:
        feeding = None
        if attachment.has_stdin and phase(state) == "Running":
            feeding = group.create_task(_feed(session, name))
        await logs(session, name, LogOptions(is_following=True))
        if feeding is not None:
            feeding.cancel()


async def _feed(session: Session, name: str) -> None:
    with contextlib.suppress(Refused):  # it may have ended just now: its state says how
        await attach(session, name, ExecOptions(has_stdin=True, has_stdout=False, is_quiet=True))


def _restarts(pod: Json) -> bool:
    """Whether its end is not the pod's end."""
    return bool(pod["spec"].get("restartPolicy", "Always") == "Always")


async def _until(session: Session, pods: ResourceType, pod: Json, phases: tuple[str, ...]) -> Json:
    """The pod once it is in one of these phases.

    Raises:
        Refused: It was deleted before.
    """
    metadata = pod["metadata"]
    async for state in states(session.client, pods, metadata["namespace"], metadata["name"]):
        if state is None:
            break
        if phase(state) in phases:
            return state
        if reason := _stuck(state):
            raise Refused(
                f"pod {metadata['name']} cannot start: {reason}",
                hint=f"longshore describe pod {metadata['name']}",
            )
    raise Refused(f"pod {metadata['name']} was deleted")


def _stuck(pod: Json) -> str:
    """Why a container will not start without help."""
    for found in (pod.get("status") or {}).get("containerStatuses") or ():
        waiting = (found.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in ("ErrImageNeverPull", "InvalidImageName", "ImagePullBackOff"):
            return f"{waiting['reason']}: {waiting.get('message', '')}"
    return ""


def _ended(pod: Json) -> Json:
    statuses: list[Json] = (pod.get("status") or {}).get("containerStatuses") or [{}]
    ended: Json = (statuses[0].get("state") or {}).get("terminated") or {}
    return ended


def _exit_code(pod: Json) -> int:
    return int(_ended(pod).get("exitCode", 0 if phase(pod) == "Succeeded" else 1))


def _reason(pod: Json) -> str:
    return str(_ended(pod).get("reason") or phase(pod))


async def _remove(session: Session, pods: ResourceType, pod: Json, *, is_quiet: bool) -> None:
    metadata = pod["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    await session.client.ask("DELETE", pods.path(namespace, name), body={})
    if not is_quiet:
        session.screen.say(f'pod "{name}" deleted')
    await gone(session, pods, namespace, name, metadata["uid"])
