"""`longshore deploy`: apply, then show the rollout until it is done, or stuck for good."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Iterator, Sequence

from msgspec import Struct

from orchestrator.cli.client import Json
from orchestrator.cli.durations import seconds
from orchestrator.cli.image_manifest import ImageOptions, manifest, name_of
from orchestrator.cli.mirror import mirrored
from orchestrator.cli.refused import Refused, ServerRefused
from orchestrator.cli.rollout import Rollout, Verdict, counted, rollout
from orchestrator.cli.session import Session
from orchestrator.cli.typed import path_of
from orchestrator.cli.verbs import manifests
from orchestrator.cli.verbs.apply import MANAGER, ApplyOptions, apply, placed
from orchestrator.cli.verbs.rollout_view import rollout_view
from orchestrator.cli.verbs.why import finding_lines, now_ms
from proto.kinds.deployment import DEPLOYMENTS

DRAW_EVERY_S, LOOK_EVERY_S = 0.1, 1.0
"""A change is shown within the first; ages, and deadlines, within the second."""

FAILED = 1
"""Exit code of a rollout that did not come to its end."""

Name = tuple[str, str]


class DeployOptions(Struct, frozen=True, kw_only=True):
    """What to deploy, and how long to look at it.

    Attributes:
        image: A deployment of one image; None for `files`.
        is_forced: Take over fields that other managers own.
        timeout: Until it is given up, as written; empty for its own deadline only.
    """

    image: ImageOptions | None = None
    files: tuple[str, ...] = ()
    is_recursive: bool = False
    is_forced: bool = False
    is_waiting: bool = True
    timeout: str = ""


async def deploy(session: Session, options: DeployOptions) -> int | None:
    """Do it; returns an exit code: 0 when every deployment is rolled out."""
    began_ms = now_ms()
    timeout_s = seconds(options.timeout) if options.timeout else 0.0
    if options.image is not None:
        objects = [await _of_image(session, options.image)]
    else:
        objects = manifests.read(options.files, is_recursive=options.is_recursive)
    # Whoever types an image wants that image: nobody else's say in it counts.
    is_forced = options.is_forced or options.image is not None
    if code := await apply(session, objects, ApplyOptions(is_forced=is_forced)):
        return code
    names = await _deployments(session, objects)
    if not names or not options.is_waiting:
        return 0
    return await _watched(session, names, began_ms, timeout_s)


async def _of_image(session: Session, image: ImageOptions) -> Json:
    name = image.name or name_of(image.image)
    try:
        live = await session.client.get(path_of(DEPLOYMENTS, session.namespace, name))
    except ServerRefused as error:
        if error.code != 404:
            raise
        live = None
    return manifest(image, live, MANAGER)


async def _deployments(session: Session, objects: Sequence[Json]) -> list[Name]:
    """Namespace and name of those that roll out."""
    types = await session.client.types()
    found = []
    for item in objects:
        if (item["apiVersion"], item["kind"]) == (DEPLOYMENTS.api_version, DEPLOYMENTS.name):
            meta = placed(session, types.of_kind(item["apiVersion"], item["kind"]), item)[
                "metadata"
            ]
            found.append((meta["namespace"], meta["name"]))
    return found


async def _watched(session: Session, names: Sequence[Name], began_ms: int, timeout_s: float) -> int:
    started_s = time.monotonic()
    last: list[Rollout] = []
    try:
        async with asyncio.timeout(timeout_s or None):
            async with contextlib.aclosing(_rollouts(session, names, began_ms)) as looks:
                async for rollouts in looks:
                    last = rollouts
    except TimeoutError:
        session.screen.tell(
            f"not rolled out after {timeout_s:g} s; it goes on without being watched"
        )
    except asyncio.CancelledError:
        named = " ".join(f"deploy/{name}" for _, name in names)
        session.screen.tell(
            f"\nstopped watching; the rollout goes on: longshore rollout status {named}"
        )
        raise
    if not last:
        raise Refused("nothing was seen of the rollout", hint="longshore status")
    took_s = time.monotonic() - started_s
    for one in last:
        first, *rest = _ended(session, one, took_s)
        session.screen.say(first, style="green" if one.verdict is Verdict.DONE else "red")
        for line in rest:
            session.screen.say(line)
    return 0 if all(one.verdict is Verdict.DONE for one in last) else FAILED


async def _rollouts(
    session: Session, names: Sequence[Name], began_ms: int
) -> AsyncGenerator[list[Rollout], None]:
    """Shown as they change, until none is under way."""
    spaces = {namespace for namespace, _ in names}
    space = spaces.pop() if len(spaces) == 1 else ""
    async with mirrored(session.client, now_ms, namespace=space) as mirror:
        with rollout_view(session.screen) as view:
            looks = mirror.changes(at_most_every_s=DRAW_EVERY_S, at_least_every_s=LOOK_EVERY_S)
            async for seen in looks:
                rollouts = [rollout(*name, seen, began_ms) for name in names]
                view.show(rollouts, seen.now_ms, mirror.problem)
                yield rollouts
                if all(one.verdict is not Verdict.ROLLING for one in rollouts):
                    return


def _ended(session: Session, found: Rollout, took_s: float) -> Iterator[str]:
    """How it ended, and what to type next."""
    name = f"deploy/{found.name}"
    inside = f" -n {found.namespace}" if found.namespace != session.client.namespace else ""
    if found.verdict is Verdict.DONE:
        yield f"{name} is rolled out: {found.ready} of {found.wanted} ready after {took_s:.1f} s"
        return
    if found.verdict is Verdict.GONE:
        yield f"{name} has been deleted"
        return
    if found.verdict is Verdict.PAUSED:
        yield f"{name} is paused: longshore rollout resume {name}{inside}"
        return
    word = "failed" if found.verdict is Verdict.FAILED else "is not rolled out"
    yield f"{name} {word}: {counted(found)}"
    for finding in found.stuck:
        if not session.screen.is_terminal:  # there the picture shows it
            yield from (line.plain for line in finding_lines(finding))
    yield f"next: longshore why {name}{inside}, or longshore rollout undo {name}{inside}"
