"""One request, understood: what it is about, what it asks for, and how to answer it."""

import asyncio
import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from aiohttp import web
from msgspec import Struct

from orchestrator.api import negotiation, selectors
from orchestrator.api.pages import Pages
from orchestrator.api.routes import Target
from orchestrator.api.selectors import Selector
from orchestrator.core import managed_fields
from orchestrator.core.managed_fields import APPLY, Manager
from orchestrator.runtime.evictions import Evictions
from orchestrator.runtime.streams import Streams
from orchestrator.runtime.tokens import Tokens
from orchestrator.runtime.verbs import Verbs
from orchestrator.world import World
from proto import codec
from proto.errors import BadRequest, Invalid
from proto.kinds import validation

GZIP_FROM_BYTES = 128 * 1024
"""Below it, compressing costs more than the bytes. Source: apiserver, defaultGzipThresholdBytes."""

_OPTIONS = {"POST": "CreateOptions.meta.k8s.io", "PUT": "UpdateOptions.meta.k8s.io"}

WARNINGS_BYTES_MAX = 4096
"""Of all Warning headers together, as apiserver cuts them: clients bound their header size."""


class Query(Struct, frozen=True):
    """The parameters of a request.

    Attributes:
        resource_version: None when it was not given; 0 takes any.
        timeout_s: How long a watch may last; 0 for as long as the server likes.
        validation: ``Strict``, ``Warn`` or ``Ignore``.
        field_manager: Who writes, as it says itself.
        is_forced: Whether an apply takes over what others own.
        include_object: What comes along with a table's rows: ``None``, ``Metadata``, ``Object``.
    """

    labels: str = ""
    fields: str = ""
    limit: int = 0
    token: str = ""
    resource_version: int | None = None
    is_watch: bool = False
    timeout_s: int = 0
    wants_bookmarks: bool = False
    wants_initial_events: bool = False
    is_dry_run: bool = False
    validation: str = "Warn"
    include_object: str = "Metadata"
    field_manager: str = ""
    is_forced: bool = False


def parse_query(given: "web.BaseRequest") -> Query:
    """The parameters that the verbs understand; others are ignored, as Kubernetes does.

    Raises:
        BadRequest: One has an impossible value.
    """
    query = given.query
    dry_run = query.getall("dryRun", [])
    if any(value != "All" for value in dry_run):
        raise BadRequest(f'dryRun: Unsupported value: {dry_run[0]!r}: supported values: "All"')
    asked = query.get("fieldValidation") or "Warn"
    if asked not in ("Strict", "Warn", "Ignore"):
        raise BadRequest(
            f'fieldValidation: Unsupported value: "{asked}": supported values: '
            '"Ignore", "Strict", "Warn"'
        )
    include = query.get("includeObject") or "Metadata"
    if include not in ("None", "Metadata", "Object"):
        raise BadRequest(f'unrecognized includeObject value: "{include}"')
    return Query(
        labels=query.get("labelSelector", ""),
        fields=query.get("fieldSelector", ""),
        limit=_count(query.get("limit")) or 0,
        token=query.get("continue", ""),
        resource_version=_count(query.get("resourceVersion")),
        is_watch=_flag(query.get("watch")),
        timeout_s=_count(query.get("timeoutSeconds")) or 0,
        wants_bookmarks=_flag(query.get("allowWatchBookmarks")),
        wants_initial_events=_flag(query.get("sendInitialEvents")),
        is_dry_run=bool(dry_run),
        validation=asked,
        include_object=include,
        field_manager=query.get("fieldManager", ""),
        is_forced=_flag(query.get("force")),
    )


def _count(text: str | None) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise BadRequest(f'Invalid value: "{text}": must be a number that is not negative')
    return int(text)


def _flag(text: str | None) -> bool:
    return text is not None and text.lower() not in ("", "0", "f", "false")


@dataclass(frozen=True)
class Services:
    """What answering needs.

    Attributes:
        clock: Wall clock, epoch milliseconds.
        watches: How to end each watch that is open, for a clean shutdown.
    """

    world: World
    verbs: Verbs
    evictions: Evictions
    tokens: Tokens
    streams: Streams
    clock: Callable[[], int]
    pages: Pages
    watches: set[Callable[[], None]] = field(default_factory=set)


@dataclass(frozen=True)
class Call:
    """One request about a kind."""

    services: Services
    request: web.Request
    target: Target
    query: Query

    @cached_property
    def format(self) -> negotiation.Format:
        """What the client wants objects to look like."""
        return negotiation.choose(self.request.headers.get("Accept", ""))

    def manager(self, operation: str) -> Manager:
        """Who writes: the request's field manager, or else the first word of its user agent.

        Raises:
            Invalid: The name is none.
        """
        query, target = self.query, self.target
        if operation != APPLY and query.is_forced and self.request.method == "PATCH":
            raise Invalid(
                "PatchOptions.meta.k8s.io",
                "",
                [validation.forbidden("force", "may not be specified for non-apply patch")],
            )
        name = managed_fields.named(query.field_manager, self.request.headers.get("User-Agent", ""))
        if errors := managed_fields.name_errors(query.field_manager):
            raise Invalid(_OPTIONS.get(self.request.method, "PatchOptions.meta.k8s.io"), "", errors)
        return Manager(name, operation, target.kind.api_version, target.subresource)

    @cached_property
    def selector(self) -> Selector:
        """What the client wants to see."""
        return selectors.parse(self.target.kind, self.query.labels, self.query.fields)


async def answer(
    request: web.Request,
    value: Any,
    *,
    status: int = 200,
    warnings: Sequence[str] = (),
    content_type: str = negotiation.JSON,
) -> web.Response:
    """A value, or its bytes, as JSON; compressed when it is large and the client can take it."""
    body = value if isinstance(value, bytes) else codec.encode(value)
    response = web.Response(status=status)
    response.headers["Content-Type"] = content_type
    response.headers["Cache-Control"] = "no-cache, private"
    if len(body) >= GZIP_FROM_BYTES and "gzip" in request.headers.get("Accept-Encoding", ""):
        body = await asyncio.to_thread(gzip.compress, body, 1)
        response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
    response.body = body
    left = WARNINGS_BYTES_MAX
    for text in warnings:
        header = f'299 - "{_quoted(text)}"'
        left -= len(header)
        if left < 0:
            break
        response.headers.add("Warning", header)
    return response


def _quoted(text: str) -> str:
    printable = "".join(c if c.isprintable() and c.isascii() else "?" for c in text)
    return printable.replace("\\", "\\\\").replace('"', '\\"')
