"""The verbs on objects and collections, the same for every kind."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from aiohttp import web
from msgspec.structs import replace

from orchestrator.api import auth, bodies, patch, tables
from orchestrator.api.applying import Applying
from orchestrator.api.call import Call, answer
from orchestrator.api.errors import HttpError, success
from orchestrator.api.negotiation import Shape
from orchestrator.api.pages import Page
from orchestrator.core import managed_fields
from orchestrator.core.managed_fields import Manager
from orchestrator.core.schema import shape_of
from orchestrator.runtime.verbs import Deleted
from orchestrator.world import Entry
from proto import codec
from proto.errors import AlreadyExists, BadRequest, NotFound
from proto.kinds.kind import Kind
from proto.meta import Model, Resource

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
_PATCHES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH)


async def get(call: Call) -> web.Response:
    """One object."""
    entry = find(call)
    return await answer(call.request, shown(call, entry))


def find_or_none(call: Call) -> Entry | None:
    """The object that the request is about; None when there is none."""
    target = call.target
    return call.services.world.entry(target.kind, target.namespace or "", target.name)


def find(call: Call) -> Entry:
    """The object that the request is about.

    Raises:
        NotFound: There is none.
    """
    target = call.target
    entry = find_or_none(call)
    if entry is None:
        raise NotFound(f'{target.kind.resource} "{target.name}" not found')
    return entry


def shown(call: Call, entry: Entry) -> Any:
    """An object in the form that the client asked for."""
    form = call.format
    match form.shape:
        case Shape.OBJECT:
            return bytes(entry.raw)
        case Shape.PARTIAL:
            return tables.partial(entry, form.version)
        case Shape.TABLE:
            return tables.table(
                entry.kind,
                (entry,),
                metadata={"resourceVersion": str(entry.version)},
                now_ms=call.services.clock(),
                include=call.query.include_object,
                version=form.version,
            )


async def list_(call: Call) -> web.Response:
    """The objects of a collection that the selectors let through, or one part of them."""
    page = _page(call)
    metadata: dict[str, Any] = {"resourceVersion": str(page.version)}
    if page.token:
        metadata["continue"] = page.token
        if call.selector.is_empty:  # with a selector Kubernetes does not count them
            metadata["remainingItemCount"] = page.remaining
    kind, form = call.target.kind, call.format
    if form.shape is Shape.TABLE:
        found = tables.table(
            kind,
            page.entries,
            metadata=metadata,
            now_ms=call.services.clock(),
            include=call.query.include_object,
            version=form.version,
        )
    elif form.shape is Shape.PARTIAL:
        partial = [tables.partial(entry, form.version) for entry in page.entries]
        version = f"meta.k8s.io/{form.version}"
        found = _list_of("PartialObjectMetadataList", version, metadata, partial)
    else:
        raw = [entry.raw for entry in page.entries]
        found = _list_of(f"{kind.name}List", kind.api_version, metadata, raw)
    return await answer(call.request, found)


def _list_of(
    kind: str, api_version: str, metadata: dict[str, Any], items: Sequence[Any]
) -> dict[str, Any]:
    return {"kind": kind, "apiVersion": api_version, "metadata": metadata, "items": items}


def _page(call: Call) -> Page:
    services, query = call.services, call.query
    path = call.request.path.rstrip("/")
    if query.token:
        return services.pages.next(path, query.token, query.limit)
    return services.pages.first(path, selected(call), services.world.version, query.limit)


def selected(call: Call) -> list[Entry]:
    """The collection's objects that the selectors let through, ordered."""
    target, selector, world = call.target, call.selector, call.services.world
    namespace = target.namespace if target.kind.is_namespaced else ""
    entries: Iterable[Entry]
    if selector.name and namespace is not None:  # as whoever waits for one object asks
        entry = world.entry(target.kind, namespace, selector.name)
        entries = () if entry is None else (entry,)
    else:
        entries = world.entries(target.kind, namespace or None)
    if selector.is_empty:
        return list(entries)
    return [entry for entry in entries if selector.matches(entry.object)]


async def create(call: Call) -> web.Response:
    """A new object."""
    target, query = call.target, call.query
    body = bodies.check_identity(target, await bodies.read(call.request))
    found, warnings = bodies.parse(target.kind, body, query.validation)
    manager = call.manager(managed_fields.UPDATE)
    created = await call.services.verbs.create(
        target.kind, _requested(call, found), manager=manager, dry_run=query.is_dry_run
    )
    return await _answer_written(call, created, [*warnings, *_notices(call)], status=201)


def _requested(call: Call, new: Any) -> Any:
    """A new object, which says who asks for it if its kind wants to know."""
    sign = call.target.kind.requested_by
    if sign is None:
        return new
    user = call.request[auth.USER]
    return sign(new, user.username, user.groups, user.uid)


async def update(call: Call) -> web.Response:
    """An object replaced."""
    target, query = call.target, call.query
    body = bodies.check_identity(target, await bodies.read(call.request))
    found, warnings = bodies.parse(target.kind, body, query.validation)
    return await modify(call, lambda _old: found, warnings, call.manager(managed_fields.UPDATE))


async def patch_(call: Call) -> web.Response:
    """An object changed by one of the three kinds of patch, or applied."""
    if call.request.content_type == APPLY_PATCH:
        return await _apply(call)
    target = call.target
    apply = await read_patch(call)
    warnings: list[str] = []

    def change(old: Resource) -> Resource:
        body = bodies.check_identity(target, apply(plain(old), target.kind.type))
        found: Resource
        found, said = bodies.parse(target.kind, body, call.query.validation)
        warnings[:] = said
        return found

    return await modify(call, change, warnings, call.manager(managed_fields.UPDATE))


async def _apply(call: Call) -> web.Response:
    """Server-side apply: an object made, or given what its manager wants of it."""
    applying = await Applying.read(call)
    verbs, target = call.services.verbs, call.target
    while True:
        try:
            return await modify(
                call, applying.to, applying.warnings, applying.manager, applying.kind
            )
        except NotFound:
            if target.subresource or find_or_none(call) is not None:
                raise
        try:
            made = await verbs.create(
                applying.kind,
                _requested(call, applying.anew()),
                manager=applying.manager,
                dry_run=call.query.is_dry_run,
            )
        except AlreadyExists:
            continue  # somebody was quicker: it is applied to what they made
        return await _answer_written(call, made, [*applying.warnings, *_notices(call)], status=201)


def plain(found: Resource) -> Any:
    """The object as a client's JSON library would hold it (`codec.to_plain` keeps tuples)."""
    return codec.decode_any(codec.encode(found))


async def modify(
    call: Call,
    change: Callable[[Any], Any],
    warnings: Sequence[str],
    manager: Manager,
    kind: Kind[Any] | None = None,
) -> web.Response:
    """The object, or its subresource, after `change`.

    Args:
        call: The request.
        change: From what there is to what is wanted; may be called more than once.
        warnings: For the client; read after the last call of `change`.
        manager: Who changes it.
        kind: The version of the object that `change` is about; None: the request's.
    """
    target = call.target
    written = await call.services.verbs.modify(
        kind or target.kind,
        target.namespace or "",
        target.name,
        change,
        subresource=target.subresource,
        manager=manager,
        dry_run=call.query.is_dry_run,
    )
    return await _answer_written(call, written, [*warnings, *_notices(call)])


def _notices(call: Call) -> list[str]:
    """What whoever writes an object of this kind should know."""
    kind = call.target.kind
    return [f"{kind.resource} {kind.notice}"] if kind.notice and not call.target.subresource else []


async def _answer_written(
    call: Call, written: Resource, warnings: Sequence[str], status: int = 200
) -> web.Response:
    kind, version = call.target.kind, int(written.metadata.resource_version or 0)
    if kind.conversion is not None and isinstance(written, kind.stored.type):
        written = kind.conversion.from_stored(written)
    entry = Entry(kind, written, version)
    if not version:  # a dry run's new object has none
        entry.object = replace(written, metadata=replace(written.metadata, resource_version=""))
    return await answer(call.request, shown(call, entry), status=status, warnings=warnings)


Patcher = Callable[[Any, type[Model]], dict[str, Any]]
"""From plain JSON and the struct it is of, to the plain JSON that is wanted."""


async def read_patch(call: Call) -> Patcher:
    """The patch in the request's body.

    Raises:
        BadRequest: The body is no such patch.
        HttpError: 415 for another kind of patch.
    """
    content_type = call.request.content_type
    # Strategic merges need a kind's own rules; clients fall back to plain merges at this answer.
    is_custom = call.target.kind.schema is not None
    accepted = (JSON_PATCH, MERGE_PATCH) if is_custom else _PATCHES
    if content_type not in accepted:
        raise HttpError(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: "
            + ", ".join((*accepted, APPLY_PATCH)),
        )
    body = codec.decode_any(await bodies.read_bytes(call.request))

    def apply(document: Any, model: type[Model]) -> dict[str, Any]:
        if content_type == JSON_PATCH:
            found = patch.json_patch(document, body)
        elif content_type == MERGE_PATCH:
            found = patch.merge(document, body)
        else:
            found = patch.strategic(document, body, shape_of(model))
        if not isinstance(found, dict):
            raise BadRequest("the patch leaves no object")
        return found

    return apply


async def delete(call: Call) -> web.Response:
    """An object removed, or marked for removal."""
    target = call.target
    options = await delete_options(call)
    deleted = await call.services.verbs.delete(
        target.kind, target.namespace or "", target.name, **options
    )
    return await _answer_deleted(call, deleted)


async def _answer_deleted(call: Call, deleted: Deleted) -> web.Response:
    if not deleted.is_gone:
        return await _answer_written(call, deleted.object, ())
    metadata = deleted.object.metadata
    return await answer(call.request, success(call.target.kind, metadata.name, metadata.uid))


async def delete_collection(call: Call) -> web.Response:
    """Every object that the selectors let through; each as if deleted alone."""
    options = await delete_options(call)
    entries = selected(call)
    for entry in entries:
        try:
            await call.services.verbs.delete(entry.kind, entry.namespace, entry.name, **options)
        except NotFound:
            continue  # gone in between
    kind, version = call.target.kind, str(call.services.world.version)
    items = [entry.raw for entry in entries]
    metadata = {"resourceVersion": version}
    return await answer(
        call.request, _list_of(f"{kind.name}List", kind.api_version, metadata, items)
    )


async def delete_options(call: Call) -> dict[str, Any]:
    """`Verbs.delete`'s arguments from DeleteOptions in the body, or from the query.

    Raises:
        BadRequest: One has an impossible value.
    """
    return options_of(await bodies.read(call.request), call)


def options_of(body: dict[str, Any], call: Call) -> dict[str, Any]:
    """The same, from a body that has been read.

    Raises:
        BadRequest: One has an impossible value.
    """
    if body.get("kind") not in (None, "", "DeleteOptions"):
        raise BadRequest(f"the body of a delete must be DeleteOptions, not {body.get('kind')}")
    query = call.request.query
    given = {
        name: query[name] for name in ("gracePeriodSeconds", "propagationPolicy") if name in query
    }
    found = given | {name: value for name, value in body.items() if value is not None}
    preconditions = found.get("preconditions") or {}
    grace = found.get("gracePeriodSeconds")
    policy = found.get("propagationPolicy") or ""
    if "orphanDependents" in found or "orphanDependents" in query:
        orphan = str(found.get("orphanDependents", query.get("orphanDependents"))).lower()
        policy = policy or ("Orphan" if orphan in ("true", "1") else "Background")
    if policy not in ("", "Background", "Foreground", "Orphan"):
        raise BadRequest(
            f'propagationPolicy: Unsupported value: "{policy}": supported values: '
            '"Background", "Foreground", "Orphan"'
        )
    if not isinstance(preconditions, dict):
        raise BadRequest("preconditions is not an object")
    return {
        "grace_s": None if grace is None else _grace(grace),
        "propagation": policy,
        "uid": str(preconditions.get("uid") or ""),
        "resource_version": str(preconditions.get("resourceVersion") or ""),
        "dry_run": call.query.is_dry_run or bool(found.get("dryRun")),
    }


def _grace(value: Any) -> int:
    try:
        found = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadRequest(f"gracePeriodSeconds: Invalid value: {value!r}") from error
    # Kubernetes takes a negative grace period for one second.
    return found if found >= 0 else 1
