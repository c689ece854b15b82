"""`longshore edit`: objects in the user's editor."""

import os
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from orchestrator.cli import formats
from orchestrator.cli.client import Json
from orchestrator.cli.refused import Refused, ServerRefused
from orchestrator.cli.resources import ResourceType
from orchestrator.cli.session import Session
from orchestrator.cli.verbs.apply import path_of
from orchestrator.cli.verbs.change import Which, each_object
from orchestrator.cli.verbs.results import Outcome
from proto import manifest
from proto.errors import BadRequest, LongshoreError

EDITORS = ("LONGSHORE_EDITOR", "KUBE_EDITOR", "VISUAL", "EDITOR")

HEADER = """\
# Please edit the object below. Lines beginning with a '#' will be ignored,
# and an empty file will abort the edit. If an error occurs while saving this file will be
# reopened with the relevant failures.
#
"""


async def edit(
    session: Session, words: Sequence[str], which: Which, outcome: Outcome
) -> int | None:
    """One after the other."""
    outcome.check()

    async def act(type: ResourceType, object: Json) -> None:
        await _edit(session, type, object, outcome)

    return await each_object(session, words, which, act)


async def _edit(session: Session, type: ResourceType, object: Json, outcome: Outcome) -> None:
    """Until the server takes it, or the user gives up: by an empty file, or the same one again."""
    text = formats.to_yaml(formats.without_managed_fields(object))
    original, last = manifest.load(text.encode()), text
    problem: LongshoreError | None = None
    with tempfile.TemporaryDirectory(prefix="longshore-edit-") as folder:
        file = Path(folder) / f"{object['metadata']['name']}.yaml"
        while True:
            file.write_text(HEADER + _comment(problem) + text, encoding="utf-8")
            _open(file)
            text = _without_comments(file.read_text(encoding="utf-8"))
            if not text.strip():
                raise Refused("Edit cancelled, saved file was empty.")
            if problem is not None and text == last:
                raise problem
            last = text
            try:
                edited = manifest.load(text.encode())
                if edited == original:
                    session.screen.say("Edit cancelled, no changes made.")
                    return
                after = await _replaced(session, type, object, edited, outcome)
            except (BadRequest, ServerRefused) as error:
                problem = error
                continue
            outcome.tell(session, after, "edited")
            return


async def _replaced(
    session: Session, type: ResourceType, object: Json, edited: Json, outcome: Outcome
) -> Json:
    for field in ("apiVersion", "kind"):
        if edited.get(field) != object[field]:
            raise BadRequest(f"{field} cannot be changed")
    if (edited.get("metadata") or {}).get("name") != object["metadata"]["name"]:
        raise BadRequest("metadata.name cannot be changed: delete this object and create another")
    params = {"fieldManager": "longshore-edit", "fieldValidation": "Strict"} | outcome.params
    after: Json = await session.client.ask("PUT", path_of(type, object), params=params, body=edited)
    return after


def _open(file: Path) -> None:
    """The editor, until it has ended.

    Raises:
        Refused: There is none, or it failed.
    """
    editor = next((os.environ[name] for name in EDITORS if os.environ.get(name)), "vi")
    try:
        code = subprocess.run([*shlex.split(editor), str(file)], check=False).returncode  # noqa: S603
    except OSError as error:
        raise Refused(
            f"there was a problem with the editor {editor!r}: {error.strerror}",
            hint="set EDITOR to one that is installed, e.g. EDITOR=nano",
        ) from None
    if code:
        raise Refused(f"the editor {editor!r} ended with exit code {code}")


def _comment(problem: LongshoreError | None) -> str:
    lines = [] if problem is None else str(problem).splitlines()
    return "".join(f"# {line}\n" for line in lines)


def _without_comments(text: str) -> str:
    """The lines at the top that are not the object's."""
    lines = text.splitlines(keepends=True)
    while lines and lines[0].startswith("#"):
        lines.pop(0)
    return "".join(lines)
