"""`longshore delete`: and wait until it is gone."""

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from orchestrator.cli.client import Json
from orchestrator.cli.durations import seconds
from orchestrator.cli.refused import Refused, ServerRefused
from orchestrator.cli.resources import ResourceType, Selection
from orchestrator.cli.session import Session
from orchestrator.cli.verbs import manifests
from orchestrator.cli.verbs.apply import placed
from orchestrator.cli.verbs.get import objects, selected
from orchestrator.cli.verbs.results import DRY_RUNS, each
from orchestrator.cli.watching import states

PROPAGATION = {
    "background": "Background",
    "true": "Background",
    "foreground": "Foreground",
    "orphan": "Orphan",
    "false": "Orphan",
}


class DeleteOptions(Struct, frozen=True, kw_only=True):
    """What is deleted, and how.

    Attributes:
        grace_s: Seconds for a pod to end; None for its own.
        is_forced: Do not wait for its node to have ended it.
        cascade: What becomes of what it owns: background, foreground, orphan.
        timeout: A duration; empty for as long as it takes.
    """

    labels: str = ""
    fields: str = ""
    is_all: bool = False
    is_everywhere: bool = False
    files: tuple[str, ...] = ()
    is_recursive: bool = False
    grace_s: int | None = None
    is_forced: bool = False
    cascade: str = "background"
    waits: bool = True
    timeout: str = ""
    ignores_absent: bool = False
    output: str = ""
    dry_run: str = "none"

    @property
    def body(self) -> Json:
        """For the request.

        Raises:
            Refused: Options contradict each other.
        """
        if self.cascade not in PROPAGATION:
            raise Refused(
                f"there is no --cascade={self.cascade}", hint="background, foreground or orphan"
            )
        if self.grace_s == 0 and not self.is_forced:
            raise Refused(
                "a grace period of 0 leaves it to its node to notice",
                hint="--grace-period=1 ends it quickly; add --force to not wait for the node",
            )
        grace_s = 0 if self.is_forced and self.grace_s is None else self.grace_s
        grace = {} if grace_s is None else {"gracePeriodSeconds": grace_s}
        dry_run = {"dryRun": ["All"]} if self.dry_run == "server" else {}
        return {"propagationPolicy": PROPAGATION[self.cascade]} | grace | dry_run


class _Found(Struct, frozen=True):
    """One to delete."""

    type: ResourceType
    namespace: str
    name: str


async def delete(session: Session, words: Sequence[str], options: DeleteOptions) -> int | None:
    """Delete them, then wait."""
    body = options.body
    if options.output not in ("", "name"):
        raise Refused(f"delete has no output {options.output!r}", hint="-o name")
    if options.is_forced and options.grace_s in (None, 0):
        session.screen.tell(
            "Warning: Immediate deletion does not wait for confirmation that the running resource "
            "has been terminated. The resource may continue to run on the cluster indefinitely."
        )
    waiting: list[tuple[_Found, str]] = []

    async def act(found: _Found) -> None:
        uid = await _deleted(session, found, body, options)
        if uid:
            waiting.append((found, uid))

    found = await _found(session, words, options)
    if not found and not options.ignores_absent:
        session.screen.tell("No resources found")
    code = await each(session, found, act)
    if options.waits and options.dry_run in ("", "none"):
        await _until_gone(session, waiting, options.timeout)
    return code


async def _found(session: Session, words: Sequence[str], options: DeleteOptions) -> list[_Found]:
    if options.files:
        return await _of_manifests(session, options)
    found = []
    for selection in await selected(session, words):
        if selection.names:
            if options.labels or options.is_all or options.fields:
                raise Refused("name cannot be provided when a selector or --all is specified")
            found += [_Found(selection.type, session.namespace, name) for name in selection.names]
        elif options.labels or options.is_all or options.fields:
            found += await _matching(session, selection, options)
        else:
            raise Refused(
                "resource(s) were provided, but no name was specified",
                hint=f"name them, or add -l SELECTOR or --all: longshore delete {words[0]} --all",
            )
    return found


async def _of_manifests(session: Session, options: DeleteOptions) -> list[_Found]:
    types = await session.client.types()
    found = []
    for manifest in manifests.read(options.files, is_recursive=options.is_recursive):
        type = types.of_kind(manifest["apiVersion"], manifest["kind"])
        metadata = placed(session, type, manifest)["metadata"]
        found.append(_Found(type, metadata.get("namespace", ""), metadata["name"]))
    return found


async def _matching(session: Session, selection: Selection, options: DeleteOptions) -> list[_Found]:
    listed = await objects(
        session,
        selection,
        labels=options.labels,
        fields=options.fields,
        is_everywhere=options.is_everywhere,
    )
    return [
        _Found(selection.type, item["metadata"].get("namespace", ""), item["metadata"]["name"])
        for item in listed
    ]


async def _deleted(session: Session, found: _Found, body: Json, options: DeleteOptions) -> str:
    """The uid of what is going; empty when there was nothing."""
    type, path = found.type, found.type.path(found.namespace, found.name)
    try:
        if options.dry_run == "client":
            answer = await session.client.get(path)
        else:
            answer = await session.client.ask("DELETE", path, body=body)
    except ServerRefused as error:
        if error.code == 404 and options.ignores_absent:
            return ""
        raise
    if options.output == "name":
        session.screen.say(f"{type.full_singular}/{found.name}")
    else:
        verb = "force deleted" if options.is_forced else "deleted"
        session.screen.say(
            f'{type.full_singular} "{found.name}" {verb}{DRY_RUNS.get(options.dry_run, "")}'
        )
    details = answer.get("details") or {}
    return str(details.get("uid") or answer.get("metadata", {}).get("uid") or "")


async def _until_gone(
    session: Session, waiting: Sequence[tuple[_Found, str]], timeout: str
) -> None:
    left = [found for found, _ in waiting]
    try:
        async with asyncio.timeout(seconds(timeout) if seconds(timeout or "0") else None):
            for found, uid in waiting:
                await gone(session, found.type, found.namespace, found.name, uid)
                left.remove(found)
    except TimeoutError:
        raise Refused(
            f"timed out waiting for the deletion of {left[0].type.plural}/{left[0].name}",
            hint=f"see its finalizers and events: "
            f"longshore describe {left[0].type.singular} {left[0].name}",
        ) from None


async def gone(session: Session, type: ResourceType, namespace: str, name: str, uid: str) -> None:
    """Once there is none of that uid."""
    path = type.path(namespace, name)
    try:  # most are gone at once: one request says so
        now = await session.client.get(path)
    except ServerRefused as error:
        if error.code != 404:
            raise
        return
    if now["metadata"]["uid"] != uid:
        return
    async for state in states(session.client, type, namespace, name):
        if state is None or state["metadata"]["uid"] != uid:
            return
