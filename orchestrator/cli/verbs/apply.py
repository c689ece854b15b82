"""`longshore apply` and `diff`: server-side apply, as field manager ``longshore``.

The server keeps track of whose fields are whose: what another manager owns is a conflict, unless it
is taken over on purpose, and what a manifest no longer says is removed.
"""

import asyncio
import difflib
import time
from collections.abc import Sequence

from msgspec import Struct

from orchestrator.cli import formats
from orchestrator.cli.client import APPLY_PATCH, Json
from orchestrator.cli.refused import Refused, ServerRefused, told
from orchestrator.cli.resources import ResourceType
from orchestrator.cli.session import Session
from orchestrator.cli.verbs import manifests
from orchestrator.cli.verbs.results import Outcome, each
from proto.errors import Rejected

MANAGER = "longshore"

SERVED_S_MAX = 10.0
SERVED_LOOK_S = 0.1
"""A kind is served a moment after its declaration is stored."""

STRICT = {
    "strict": "Strict",
    "true": "Strict",
    "warn": "Warn",
    "ignore": "Ignore",
    "false": "Ignore",
}


class ApplyOptions(Struct, frozen=True, kw_only=True):
    """How manifests are applied.

    Attributes:
        is_forced: Take over fields that others own.
        manager: Whose the fields will be.
        validate: What unknown fields are: ``strict`` an error, ``warn``, ``ignore``.
    """

    outcome: Outcome = Outcome()
    is_forced: bool = False
    manager: str = MANAGER
    validate: str = "strict"

    @property
    def params(self) -> dict[str, str]:
        """For the request."""
        if self.validate not in STRICT:
            raise Refused(f"there is no --validate={self.validate}", hint="strict, warn or ignore")
        force = {"force": "true"} if self.is_forced else {}
        manager = {"fieldManager": self.manager, "fieldValidation": STRICT[self.validate]}
        return manager | force | self.outcome.params


async def apply(session: Session, objects: Sequence[Json], options: ApplyOptions) -> int | None:
    """Make each so, and say what that took."""
    options.outcome.check()

    async def act(manifest: Json) -> None:
        types = await session.client.types()
        type = types.of_kind(manifest["apiVersion"], manifest["kind"])
        manifest = placed(session, type, manifest)
        before = await _live(session, type, manifest)
        if options.outcome.dry_run == "client":
            options.outcome.tell(session, manifest, "configured" if before else "created")
            return
        after = await _applied(session, type, manifest, options)
        options.outcome.tell(session, after, _verb(before, after))
        if type.kind == "CustomResourceDefinition" and not options.outcome.params:
            await _served(session, after)

    return await each(session, objects, act)


async def diff(session: Session, objects: Sequence[Json], options: ApplyOptions) -> int:
    """Print what an apply would change. Returns 0 for nothing, 1 for something, 2 for an error."""
    types, code = await session.client.types(), 0
    for manifest in objects:
        try:
            type = types.of_kind(manifest["apiVersion"], manifest["kind"])
            placed_manifest = placed(session, type, manifest)
            before = await _live(session, type, placed_manifest)
            after = await _applied(session, type, placed_manifest, options)
        except Rejected as error:
            session.screen.tell(told(error))
            return 2
        name = f"{formats.name_of(after)}"
        lines = list(
            difflib.unified_diff(
                _lines(before), _lines(after), f"live/{name}", f"merged/{name}", n=3
            )
        )
        for line in lines:
            session.screen.say(line.rstrip("\n"), style=_style(line))
        code = max(code, 1 if lines else 0)
    return code


async def _served(session: Session, definition: Json) -> None:
    """Until objects of a kind that was declared just now can be made: they may come next."""
    spec = definition["spec"]
    version = next((one["name"] for one in spec["versions"] if one.get("served")), "")
    deadline_s = time.monotonic() + SERVED_S_MAX
    while True:
        session.client.forget_types()
        types = await session.client.types()
        try:
            types.of_kind(f"{spec['group']}/{version}", spec["names"]["kind"])
        except Refused:
            if time.monotonic() > deadline_s:
                return  # what comes next will say it
            await asyncio.sleep(SERVED_LOOK_S)
        else:
            return


def placed(session: Session, type: ResourceType, manifest: Json) -> Json:
    """The manifest with the namespace where it goes.

    Raises:
        Refused: It names another than the command line.
    """
    manifests.name(manifest)
    metadata = manifest["metadata"]
    own = metadata.get("namespace", "")
    if not type.is_namespaced:
        return manifest
    if own and session.chosen_namespace and own != session.chosen_namespace:
        raise Refused(
            f'the namespace from the provided object "{own}" does not match the namespace '
            f'"{session.chosen_namespace}"',
            hint=f"leave -n out, or pass -n {own}",
        )
    return manifest | {"metadata": metadata | {"namespace": own or session.namespace}}


def path_of(type: ResourceType, object: Json, subresource: str = "") -> str:
    """Where an object is."""
    metadata = object["metadata"]
    return type.path(metadata.get("namespace", ""), metadata["name"], subresource)


async def _live(session: Session, type: ResourceType, manifest: Json) -> Json | None:
    try:
        found: Json = await session.client.get(path_of(type, manifest))
    except ServerRefused as error:
        if error.code != 404:
            raise
        return None
    return found


async def _applied(
    session: Session, type: ResourceType, manifest: Json, options: ApplyOptions
) -> Json:
    try:
        applied: Json = await session.client.ask(
            "PATCH",
            path_of(type, manifest),
            params=options.params,
            body=manifest,
            content_type=APPLY_PATCH,
        )
    except ServerRefused as error:
        if any(cause.get("reason") == "FieldManagerConflict" for cause in error.causes):
            error.hint = "to take these fields over, add --force-conflicts; or leave them out"
        raise
    return applied


def _verb(before: Json | None, after: Json) -> str:
    if before is None:
        return "created"
    return "unchanged" if _content(before) == _content(after) else "configured"


def _content(object: Json) -> Json:
    """What a user means by the object: no record of who wrote what, and when."""
    plain = formats.without_managed_fields(object)
    metadata = {name: value for name, value in plain["metadata"].items() if name not in _RECORDS}
    return plain | {"metadata": metadata}


_RECORDS = frozenset({"resourceVersion", "generation", "creationTimestamp", "uid"})
"""What the server counts itself; a dry run makes some of it up."""


def _lines(object: Json | None) -> list[str]:
    return formats.to_yaml(_content(object)).splitlines(keepends=True) if object else []


def _style(line: str) -> str:
    if line.startswith(("+++", "---")):
        return "bold"
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
