"""`longshore rollout`: status, history, undo, restart, pause and resume."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from orchestrator.cli import formats
from orchestrator.cli.client import JSON_PATCH, STRATEGIC_PATCH, Json
from orchestrator.cli.durations import seconds
from orchestrator.cli.refused import Refused
from orchestrator.cli.resources import ResourceType
from orchestrator.cli.session import Session
from orchestrator.cli.verbs.change import Which, each_object, patched
from orchestrator.cli.verbs.results import Outcome
from orchestrator.cli.verbs.rollout_progress import progress_of
from orchestrator.cli.watching import states
from proto.meta import format_time

REVISION = "deployment.kubernetes.io/revision"
CAUSE = "kubernetes.io/change-cause"
HASH = "pod-template-hash"
RESTARTED = "kubectl.kubernetes.io/restartedAt"
"""kubectl's own name: a restart by either is seen by both."""


class Revision(Struct, frozen=True):
    """One template that a Deployment had.

    Attributes:
        template: Without the label that tells its pods apart.
    """

    number: int
    cause: str
    template: Json


async def status(
    session: Session, words: Sequence[str], *, is_watching: bool, timeout: str, revision: int
) -> int | None:
    """Until it is rolled out."""
    limit_s = seconds(timeout) if timeout else 0

    async def act(type: ResourceType, object: Json) -> None:
        try:
            async with asyncio.timeout(limit_s or None):
                await _status(session, type, object, is_watching=is_watching, revision=revision)
        except TimeoutError:
            name = object["metadata"]["name"]
            raise Refused(
                "timed out waiting for the condition",
                hint=f"longshore describe {type.singular} {name} says what holds it up",
            ) from None

    return await each_object(session, words, Which(is_all=True), act)


async def _status(
    session: Session, type: ResourceType, object: Json, *, is_watching: bool, revision: int
) -> None:
    metadata = object["metadata"]
    name = metadata["name"]
    with session.screen.progress() as bar:
        last = ""
        watched = states(session.client, type, metadata.get("namespace", ""), name)
        async for state in watched:
            if state is None:
                raise Refused(f"{type.singular} {name!r} has been deleted")
            if revision and _revision_of(state) != revision:
                raise Refused(f"desired revision ({revision}) is different from the running one")
            progress = progress_of(state)
            bar.show(name, progress.ready, progress.wanted, progress.text.rpartition(": ")[2])
            if progress.text != last and not (bar.is_live and not progress.is_done):
                session.screen.say(progress.text)
                last = progress.text
            if progress.is_done or not is_watching:
                return


async def history(session: Session, words: Sequence[str], *, revision: int) -> int | None:
    """The revisions of each, or the template of one."""

    async def act(type: ResourceType, object: Json) -> None:
        found = await _revisions(session, type, object)
        if revision:
            chosen = _numbered(found, revision)
            session.screen.say(f"{formats.name_of(object)} with revision #{revision}")
            session.screen.write(formats.to_yaml({"Pod Template": chosen.template}).encode())
            return
        session.screen.say(f"{formats.name_of(object)} ")
        rows = [[str(one.number), one.cause or "<none>"] for one in found]
        text = formats.aligned([["REVISION", "CHANGE-CAUSE"], *rows], gap=2)
        session.screen.say(text)

    return await each_object(session, words, Which(is_all=True), act)


async def undo(
    session: Session, words: Sequence[str], *, revision: int, outcome: Outcome
) -> int | None:
    """Back to a revision, 0 for the one before."""
    outcome.check()

    async def act(type: ResourceType, object: Json) -> None:
        name = object["metadata"]["name"]
        if object["spec"].get("paused"):
            raise Refused(
                "cannot rollback a paused deployment",
                hint=f"longshore rollout resume {type.singular}/{name}",
            )
        found = await _revisions(session, type, object)
        if revision:
            chosen = _numbered(found, revision)
        elif len(found) < 2:
            raise Refused(f'no rollout history found for {type.singular} "{name}"')
        else:
            chosen = found[-2]
        if _is_same(chosen.template, object["spec"]["template"]):
            said = f"skipped rollback (current template already matches revision {chosen.number})"
            outcome.tell(session, object, said)
            return
        patch = [{"op": "replace", "path": "/spec/template", "value": chosen.template}]
        after = await patched(
            session, type, object, patch, content_type=JSON_PATCH, params=outcome.params
        )
        outcome.tell(session, after, "rolled back")

    return await each_object(session, words, Which(), act)


async def restart(
    session: Session, words: Sequence[str], which: Which, outcome: Outcome
) -> int | None:
    """New pods, one by one, of the same template."""
    outcome.check()
    now = format_time(int(time.time() * 1000))

    async def act(type: ResourceType, object: Json) -> None:
        _template_of(type, object)
        if object["spec"].get("paused"):
            raise Refused(
                "can't restart paused deployment",
                hint=f"longshore rollout resume {type.singular}/{object['metadata']['name']}",
            )
        patch = {"spec": {"template": {"metadata": {"annotations": {RESTARTED: now}}}}}
        after = await patched(
            session, type, object, patch, content_type=STRATEGIC_PATCH, params=outcome.params
        )
        outcome.tell(session, after, "restarted")

    return await each_object(session, words, which, act)


async def pause(
    session: Session, words: Sequence[str], which: Which, *, is_paused: bool, outcome: Outcome
) -> int | None:
    """Let changes wait, or go on."""
    outcome.check()
    word = "paused" if is_paused else "resumed"

    async def act(type: ResourceType, object: Json) -> None:
        _template_of(type, object)
        if type.kind != "Deployment":
            raise Refused(f"{type.plural} cannot be paused: only deployments can")
        if bool(object["spec"].get("paused")) == is_paused:
            state = "already paused" if is_paused else "not paused"
            raise Refused(f'{type.full_plural} "{object["metadata"]["name"]}" is {state}')
        patch = {"spec": {"paused": True if is_paused else None}}
        after = await patched(
            session, type, object, patch, content_type=STRATEGIC_PATCH, params=outcome.params
        )
        outcome.tell(session, after, word)

    return await each_object(session, words, which, act)


async def _revisions(session: Session, type: ResourceType, object: Json) -> list[Revision]:
    """By number: a Deployment's are its ReplicaSets, those of others are ControllerRevisions."""
    _template_of(type, object)
    is_deployment = type.kind == "Deployment"
    types = await session.client.types()
    kept = types.of_kind("apps/v1", "ReplicaSet" if is_deployment else "ControllerRevision")
    found = await session.client.get(kept.path(object["metadata"]["namespace"]))
    uid = object["metadata"]["uid"]
    revisions = []
    for item in found["items"]:
        owners = item["metadata"].get("ownerReferences") or ()
        if any(owner.get("controller") and owner["uid"] == uid for owner in owners):
            revisions.append(_of_replica_set(item) if is_deployment else _of_revision(item))
    return sorted(revisions, key=lambda revision: revision.number)


def _of_replica_set(item: Json) -> Revision:
    template = _without_hash(item["spec"]["template"])
    return Revision(_revision_of(item), _cause_of(item), template)


def _of_revision(item: Json) -> Revision:
    """Its data is a patch that puts the template back."""
    patch = item["data"]["spec"]["template"]
    template = {field: value for field, value in patch.items() if field != "$patch"}
    return Revision(item["revision"], _cause_of(item), template)


def _cause_of(item: Json) -> str:
    cause: str = (item["metadata"].get("annotations") or {}).get(CAUSE, "")
    return cause


def _numbered(found: Sequence[Revision], number: int) -> Revision:
    for revision in found:
        if revision.number == number:
            return revision
    numbers = ", ".join(str(revision.number) for revision in found)
    raise Refused(
        f"unable to find specified revision {number} in history", hint=f"there are: {numbers}"
    )


def _without_hash(template: Json) -> Json:
    metadata = dict(template.get("metadata") or {})
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH}
    return {**template, "metadata": {**metadata, "labels": labels}}


def _is_same(one: Json, other: Json) -> bool:
    return bool(_plain(one) == _plain(other))


def _plain(value: Any) -> Any:
    """Without what is empty or null, which says as much as nothing."""
    if isinstance(value, dict):
        inner = {key: _plain(item) for key, item in value.items()}
        return {key: item for key, item in inner.items() if item not in (None, {}, [], "")}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _template_of(type: ResourceType, object: Json) -> Json:
    template = (object.get("spec") or {}).get("template")
    if not template or type.kind not in ("Deployment", "DaemonSet", "StatefulSet"):
        raise Refused(
            f"{type.plural} are not rolled out: deployments, daemonsets, statefulsets are"
        )
    found: Json = template
    return found


def _revision_of(object: Json) -> int:
    return int((object["metadata"].get("annotations") or {}).get(REVISION, 0))
