"""Small changes: `label`, `annotate`, `patch`, `scale`, `set image` and `set env`, `taint`."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec import Struct

from orchestrator.cli.client import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, Json
from orchestrator.cli.refused import Refused, ServerRefused
from orchestrator.cli.resources import ResourceType
from orchestrator.cli.session import Session
from orchestrator.cli.verbs.apply import path_of
from orchestrator.cli.verbs.get import objects, selected
from orchestrator.cli.verbs.results import Outcome, each
from proto import manifest
from proto.errors import BadRequest

PATCHES = {"json": JSON_PATCH, "merge": MERGE_PATCH, "strategic": STRATEGIC_PATCH}
CONFLICTS_MAX = 5
"""A change that somebody else's crossed is made again. Source: kubectl's retries."""


class Which(Struct, frozen=True, kw_only=True):
    """Which objects a command means, beside its words."""

    files: tuple[str, ...] = ()
    labels: str = ""
    is_all: bool = False
    is_everywhere: bool = False


Act = Callable[[ResourceType, Json], Awaitable[None]]


async def each_object(session: Session, words: Sequence[str], which: Which, act: Act) -> int | None:
    """Do it to every object that is meant."""
    found = []
    for selection in await selected(session, words, which.files):
        if not selection.names and not (which.labels or which.is_all):
            raise Refused(
                "one or more objects must be named",
                hint=f"TYPE NAME or TYPE/NAME; or {selection.type.plural} with -l or --all",
            )
        listed = await objects(
            session, selection, labels=which.labels, is_everywhere=which.is_everywhere
        )
        found += [(selection.type, item) for item in listed]
    if not found:
        session.screen.tell("No resources found")

    async def act_on(pair: tuple[ResourceType, Json]) -> None:
        await act(*pair)

    return await each(session, found, act_on)


async def patched(
    session: Session,
    type: ResourceType,
    object: Json,
    patch: object,
    *,
    content_type: str = MERGE_PATCH,
    subresource: str = "",
    params: Mapping[str, str] | None = None,
) -> Json:
    """Send a patch; returns the object as it is then."""
    answer: Json = await session.client.ask(
        "PATCH",
        path_of(type, object, subresource),
        params={"fieldManager": "longshore-patch"} | dict(params or {}),
        body=patch,
        content_type=content_type,
    )
    return answer


async def patch(
    session: Session,
    words: Sequence[str],
    which: Which,
    *,
    text: str,
    kind: str,
    subresource: str,
    outcome: Outcome,
) -> int | None:
    """`longshore patch`: JSON or YAML as the user wrote it."""
    outcome.check()
    if kind not in PATCHES:
        raise Refused(f"there is no patch type {kind!r}", hint="--type=json, merge or strategic")
    content = _patch_of(text)

    async def act(type: ResourceType, object: Json) -> None:
        after = await patched(
            session,
            type,
            object,
            content,
            content_type=PATCHES[kind],
            subresource=subresource,
            params=outcome.params,
        )
        is_same = after["metadata"].get("resourceVersion") == object["metadata"]["resourceVersion"]
        is_told = is_same and not outcome.params
        outcome.tell(session, after, "patched (no change)" if is_told else "patched")

    return await each_object(session, words, which, act)


def _patch_of(text: str) -> object:
    """A JSON patch is a list; all else is an object, in JSON or YAML."""
    try:
        if text.lstrip().startswith("["):
            return manifest.load(f'{{"patch": {text}}}'.encode())["patch"]
        return manifest.load(text.encode())
    except BadRequest as error:
        raise Refused(f"the patch is neither JSON nor YAML: {error}") from None


class Marks(Struct, frozen=True):
    """``KEY=VALUE`` to set and ``KEY-`` to remove, of labels or annotations."""

    values: dict[str, str]
    removed: tuple[str, ...]

    @property
    def patch(self) -> dict[str, str | None]:
        """As a merge patch."""
        return {**self.values, **dict.fromkeys(self.removed)}


def split_marks(words: Sequence[str]) -> tuple[list[str], Marks]:
    """The objects' words and the marks behind them.

    >>> split_marks(["pods", "web", "a=b", "c-"])
    (['pods', 'web'], Marks(values={'a': 'b'}, removed=('c',)))
    """
    start = next(
        (index for index, word in enumerate(words) if index and ("=" in word or word[-1:] == "-")),
        len(words),
    )
    values, removed = {}, []
    for word in words[start:]:
        key, equals, value = word.partition("=")
        if equals:
            values[key] = value
        elif word.endswith("-"):
            removed.append(word[:-1])
        else:
            raise Refused(f"{word!r} is neither KEY=VALUE nor KEY-")
    return list(words[:start]), Marks(values, tuple(removed))


async def mark(
    session: Session,
    words: Sequence[str],
    which: Which,
    *,
    field: str,
    is_overwriting: bool,
    outcome: Outcome,
) -> int | None:
    """`longshore label` and `annotate`: `field` is ``labels`` or ``annotations``."""
    outcome.check()
    targets, marks = split_marks(words)
    if not marks.patch:
        raise Refused(f"at least one {field[:-1]} update is required", hint="KEY=VALUE or KEY-")
    done = {"labels": "labeled", "annotations": "annotated"}[field]

    async def act(type: ResourceType, object: Json) -> None:
        before = object["metadata"].get(field) or {}
        for key, value in marks.values.items():
            if not is_overwriting and before.get(key, value) != value:
                raise Refused(
                    f"'{key}' already has a value ({before[key]}), and --overwrite is false",
                    hint="add --overwrite",
                )
        change = {"metadata": {field: marks.patch}}
        after = await patched(session, type, object, change, params=outcome.params)
        is_changed = (after["metadata"].get(field) or {}) != before
        only_removed = not marks.values and field == "labels"
        verb = "unlabeled" if only_removed else done
        outcome.tell(session, after, verb if is_changed or outcome.params else f"not {done}")

    return await each_object(session, targets, which, act)


async def scale(
    session: Session,
    words: Sequence[str],
    which: Which,
    *,
    replicas: int,
    current: int | None,
    outcome: Outcome,
) -> int | None:
    """`longshore scale`."""
    outcome.check()

    async def act(type: ResourceType, object: Json) -> None:
        if "scale" not in type.subresources:
            raise Refused(f"{type.plural} cannot be scaled: they have no replicas")
        if current is not None:
            found = await session.client.get(path_of(type, object, "scale"))
            if found["spec"].get("replicas", 0) != current:
                raise Refused(
                    f"Expected replicas to be {current}, was {found['spec'].get('replicas', 0)}"
                )
        change = {"spec": {"replicas": replicas}}
        await patched(session, type, object, change, subresource="scale", params=outcome.params)
        shown = await session.client.get(path_of(type, object)) if outcome.output else object
        outcome.tell(session, shown, "scaled")

    return await each_object(session, words, which, act)


async def set_images(
    session: Session, words: Sequence[str], which: Which, outcome: Outcome
) -> int | None:
    """`longshore set image`: ``CONTAINER=IMAGE`` each, ``*`` for all containers."""
    targets, marks = split_marks(words)
    if not marks.values or marks.removed:
        raise Refused("at least one image update is required", hint="CONTAINER=IMAGE, or *=IMAGE")

    def change(containers: list[Json]) -> list[Json]:
        names = {container["name"] for container in containers}
        for name in marks.values.keys() - names - {"*"}:
            raise Refused(f'unable to find container named "{name}"', hint=_there_are(names))
        return [
            {"name": name, "image": marks.values.get(name, marks.values.get("*"))}
            for name in sorted(names if "*" in marks.values else names & marks.values.keys())
        ]

    return await _set(session, targets, which, change, "image updated", outcome)


async def set_env(
    session: Session, words: Sequence[str], which: Which, container: str, outcome: Outcome
) -> int | None:
    """`longshore set env`: ``KEY=VALUE`` and ``KEY-``, in every container or in one."""
    targets, marks = split_marks(words)
    if not marks.patch:
        raise Refused(
            "at least one environment variable must be provided", hint="KEY=VALUE or KEY-"
        )

    def change(containers: list[Json]) -> list[Json]:
        names = {found["name"] for found in containers}
        if container and container not in names:
            raise Refused(f'unable to find container named "{container}"', hint=_there_are(names))
        env = [{"name": key, "value": value} for key, value in marks.values.items()]
        gone = [{"name": key, "$patch": "delete"} for key in marks.removed]
        return [
            {"name": name, "env": env + gone}
            for name in sorted({container} if container else names)
        ]

    return await _set(session, targets, which, change, "env updated", outcome)


def _there_are(names: set[str]) -> str:
    return f"there are: {', '.join(sorted(names))}"


async def _set(
    session: Session,
    words: Sequence[str],
    which: Which,
    change: Callable[[list[Json]], list[Json]],
    verb: str,
    outcome: Outcome,
) -> int | None:
    """Change containers of pods and of what makes pods, by a strategic merge patch."""
    outcome.check()

    async def act(type: ResourceType, object: Json) -> None:
        spec = object.get("spec") or {}
        is_pod = type.kind == "Pod"
        inner = spec if is_pod else (spec.get("template") or {}).get("spec") or {}
        if "containers" not in inner:
            raise Refused(f"{type.plural} have no containers")
        made = {"containers": change(inner["containers"])}
        patch = {"spec": made if is_pod else {"template": {"spec": made}}}
        after = await patched(
            session, type, object, patch, content_type=STRATEGIC_PATCH, params=outcome.params
        )
        if _same(after, object) and not outcome.params:
            return  # kubectl is silent then, too
        outcome.tell(session, after, verb)

    return await each_object(session, words, which, act)


def _same(after: Json, before: Json) -> bool:
    return bool(after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"])


async def changed(
    session: Session,
    type: ResourceType,
    object: Json,
    change: Callable[[Json], Json | None],
) -> Json | None:
    """Read, decide and patch until nobody's change crosses ours. Returns None for no change."""
    for attempt in range(CONFLICTS_MAX):
        patch = change(object)
        if patch is None:
            return None
        version = {"metadata": {"resourceVersion": object["metadata"]["resourceVersion"]}}
        try:
            return await patched(session, type, object, patch | version)
        except ServerRefused as error:
            if error.reason != "Conflict" or attempt == CONFLICTS_MAX - 1:
                raise
        object = await session.client.get(path_of(type, object))
    return None
