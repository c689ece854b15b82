"""`longshore wait`: until objects are as they should be."""

import asyncio
import re
from collections.abc import Callable, Sequence

from msgspec import Struct

from orchestrator.cli.client import Json
from orchestrator.cli.durations import seconds
from orchestrator.cli.refused import Refused, ServerRefused
from orchestrator.cli.resources import ResourceType, Selection
from orchestrator.cli.session import Session
from orchestrator.cli.templates import find, text_of
from orchestrator.cli.verbs.get import objects, selected
from orchestrator.cli.watching import states

Test = Callable[[Json | None], bool]


class WaitOptions(Struct, frozen=True, kw_only=True):
    """For what, and of what.

    Attributes:
        until: ``condition=Ready``, ``condition=Ready=False``, ``jsonpath={.a}=b``, ``delete``,
            ``create``.
        timeout: A duration; 0 looks once, a negative one waits for a week.
    """

    until: str
    timeout: str = "30s"
    labels: str = ""
    fields: str = ""
    is_all: bool = False
    is_everywhere: bool = False
    files: tuple[str, ...] = ()


async def wait(session: Session, words: Sequence[str], options: WaitOptions) -> None:
    """Until each is so."""
    test, limit_s = condition(options.until), seconds(options.timeout)
    selections = await selected(session, words, options.files)
    targets = await _targets(session, selections, options)
    if not targets and options.until != "delete":
        raise Refused("no matching resources found", hint=f"longshore get {' '.join(words)}")
    current = ""
    try:
        async with asyncio.timeout(limit_s or None):
            for type, namespace, name in targets:
                current = f"{type.plural}/{name}"
                await _until(session, type, namespace, name, test, is_once=not limit_s)
                session.screen.say(f"{type.full_singular}/{name} condition met")
    except TimeoutError:
        raise Refused(
            f"timed out waiting for the condition on {current}",
            hint=f"longshore describe {current} says more; --timeout waits longer",
        ) from None


async def _targets(
    session: Session, selections: Sequence[Selection], options: WaitOptions
) -> list[tuple[ResourceType, str, str]]:
    found = []
    for selection in selections:
        if selection.names:
            namespace = selection.namespace or session.namespace
            found += [(selection.type, namespace, name) for name in selection.names]
            if options.until not in ("delete", "create"):
                await objects(session, selection)  # a wrong name is an error, not a wait
            continue
        if not (options.labels or options.fields or options.is_all):
            raise Refused(
                "resource name may not be empty", hint="name objects, or add -l SELECTOR or --all"
            )
        listed = await objects(
            session,
            selection,
            labels=options.labels,
            fields=options.fields,
            is_everywhere=options.is_everywhere,
        )
        for item in listed:
            metadata = item["metadata"]
            found.append((selection.type, metadata.get("namespace", ""), metadata["name"]))
    return found


async def _until(
    session: Session,
    type: ResourceType,
    namespace: str,
    name: str,
    test: Test,
    *,
    is_once: bool,
) -> None:
    async for state in states(session.client, type, namespace, name):
        if test(state):
            return
        if is_once:
            raise TimeoutError
        if state is None and not test(None) and test is not _is_there:
            raise ServerRefused(404, _not_found(type, name))


def _not_found(type: ResourceType, name: str) -> Json:
    return {"reason": "NotFound", "message": f'{type.full_plural} "{name}" not found'}


def condition(text: str) -> Test:
    """What ``--for`` means.

    Raises:
        Refused: Nothing.
    """
    kind, _, rest = text.partition("=")
    match kind:
        case "delete" if not rest:
            return lambda state: state is None
        case "create" if not rest:
            return _is_there
        case "condition" if rest:
            name, _, status = rest.partition("=")
            return lambda state: state is not None and _has_condition(state, name, status or "true")
        case "jsonpath" if rest:
            found = re.fullmatch(r"['\"]?(\{.*?\}|[^=]+)['\"]?(?:=(.*))?", rest, re.DOTALL)
            if found:
                path, value = found.groups()
                find(path, {})  # a wrong path is an error, not a wait
                return lambda state: state is not None and _has_value(state, path, value)
    raise Refused(
        f'unrecognized condition: "{text}"',
        hint="--for=condition=Ready, --for=jsonpath='{.status.phase}'=Running, --for=delete",
    )


def _is_there(state: Json | None) -> bool:
    return state is not None


def _has_condition(state: Json, name: str, status: str) -> bool:
    """Stale ones do not count: of a spec that has changed since."""
    generation = state["metadata"].get("generation", 0)
    seen = state.get("status") or {}
    for found in seen.get("conditions") or ():
        if found["type"].lower() == name.lower():
            observed = found.get("observedGeneration") or seen.get("observedGeneration") or 0
            is_stale = bool(observed) and observed < generation
            return not is_stale and found["status"].lower() == status.lower()
    return False


def _has_value(state: Json, path: str, value: str | None) -> bool:
    found = find(path, state)
    return bool(found) if value is None else [text_of(one) for one in found] == [value.strip("'\"")]
