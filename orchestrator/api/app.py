"""The server: every request in, every answer out, and no exception past here."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import structlog
from aiohttp import web

from orchestrator.api import (
    auth,
    bodies,
    discovery,
    evictions,
    forward,
    logs,
    openapi,
    parts,
    remote,
    resources,
    reviews,
    routes,
    tokens,
    watch,
)
from orchestrator.api.call import Call, Services, answer, parse_query
from orchestrator.api.errors import Failure, HttpError, method_not_allowed, not_here
from orchestrator.api.pages import Pages
from orchestrator.api.routes import Target
from orchestrator.runtime.evictions import Evictions
from orchestrator.runtime.streams import Streams
from orchestrator.runtime.tokens import Tokens
from orchestrator.runtime.verbs import Verbs
from orchestrator.world import World
from proto.errors import TooLarge, Unavailable

log = structlog.get_logger()

BODY_BYTES_MAX = 3 * 1024 * 1024
"""Source: apiserver, MaxRequestBodyBytes."""

REQUEST_TIMEOUT_S = 30.0
"""Of everything but watches and logs; kubectl itself asks for 32 seconds."""

IN_FLIGHT_MAX = 600
"""Requests besides watches and logs. Source: apiserver, 400 that read and 200 that write."""

_BEGUN = web.RequestKey("begun", web.StreamResponse)
"""The answer that a request already gets."""

Handler = Callable[[Call], Awaitable[web.StreamResponse]]

_COLLECTION: Mapping[str, Handler] = {
    "GET": resources.list_,
    "POST": resources.create,
    "DELETE": resources.delete_collection,
}
_OBJECT: Mapping[str, Handler] = {
    "GET": resources.get,
    "PUT": resources.update,
    "PATCH": resources.patch_,
    "DELETE": resources.delete,
}


async def _log(call: Call) -> web.StreamResponse:
    pod = resources.find(call).object
    return await logs.stream(call.request, call.services.streams, pod, call.services.clock())


_PARTS: Mapping[str, Mapping[str, Handler]] = {
    "status": {"GET": resources.get, "PUT": resources.update, "PATCH": resources.patch_},
    "scale": {"GET": parts.get_scale, "PUT": parts.update_scale, "PATCH": parts.patch_scale},
    "ephemeralcontainers": {
        "GET": resources.get,
        "PUT": resources.update,
        "PATCH": resources.patch_,
    },
    "approval": {"GET": resources.get, "PUT": resources.update, "PATCH": resources.patch_},
    "finalize": {"PUT": resources.update},
    "binding": {"POST": parts.bind},
    "eviction": {"POST": evictions.evict},
    "token": {"POST": tokens.issue},
    "log": {"GET": _log},
    "exec": {"GET": remote.execute, "POST": remote.execute},
    "attach": {"GET": remote.attach, "POST": remote.attach},
    "portforward": {"GET": forward.forward, "POST": forward.forward},
}

_LONG = frozenset({"log", "exec", "attach", "portforward"})
"""Parts that a client may look at, or talk to, for as long as it likes."""


_READS = ("GET", "HEAD")


class Api:
    """The application behind one port.

    Args:
        world: What is read.
        verbs: What writes.
        tokens: What is believed of who asks.
        streams: How to reach containers and their logs.
        clock: Wall clock, epoch milliseconds.

    Attributes:
        refused: How many requests were, by reason.
    """

    def __init__(
        self,
        world: World,
        verbs: Verbs,
        tokens: Tokens,
        streams: Streams,
        clock: Callable[[], int],
    ) -> None:
        evictions_ = Evictions(world, verbs, clock)
        self._services = Services(
            world, verbs, evictions_, tokens, streams, clock, Pages(run=clock())
        )
        self._in_flight = 0
        self.refused: Counter[str] = Counter()

    def build(self) -> web.Application:
        """The application, for a runner with ``handler_cancellation``."""
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_route("*", r"/{path:[\s\S]*}", self.handle)  # a dot leaves newlines out
        app.on_response_prepare.append(_remember)
        app.on_shutdown.append(self._end_watches)
        return app

    async def _end_watches(self, _app: web.Application) -> None:
        for end in tuple(self._services.watches):
            end()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request."""
        parts_ = routes.segments(request.path)
        target: Target | None = None
        try:
            request[auth.USER] = await auth.identify(request, self._services)
            target = routes.parse(parts_, self._services.world.kinds)
            if target is not None and _is_long(request, target):
                return await self._about(request, target)
            async with self._admitted(), asyncio.timeout(REQUEST_TIMEOUT_S):
                if target is not None:
                    return await self._about(request, target)
                return await self._elsewhere(request, parts_)
        except web.HTTPRequestEntityTooLarge:
            too_large = TooLarge(f"limit on request body size is {BODY_BYTES_MAX} bytes")
            return await self._refuse(request, target, too_large)
        except ConnectionError:
            if _BEGUN not in request:
                raise
            return request[_BEGUN]  # the client has gone: nobody reads the rest
        except web.HTTPException:
            raise
        except Exception as error:  # noqa: BLE001  the last place to make an answer of it
            return await self._refuse(request, target, error)

    async def _refuse(
        self, request: web.Request, target: Target | None, error: Exception
    ) -> web.StreamResponse:
        failure = Failure(error, target.kind if target else None, target.name if target else "")
        self.refused[failure.reason] += 1
        log.info("api.refused", path=request.path, code=failure.code, message=failure.message)
        if _BEGUN in request:  # a stream broke: there can be no second answer
            if request.transport is not None:
                request.transport.abort()
            return request[_BEGUN]
        response = await answer(request, failure.status, status=failure.code)
        if failure.retry_after_s:
            response.headers["Retry-After"] = str(failure.retry_after_s)
        return response

    @asynccontextmanager
    async def _admitted(self) -> AsyncIterator[None]:
        if self._in_flight >= IN_FLIGHT_MAX:
            raise HttpError(
                429, "TooManyRequests", "too many requests, please try again later", retry_after_s=1
            )
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    async def _about(self, request: web.Request, target: Target) -> web.StreamResponse:
        """A request about a kind."""
        if self._services.world.is_empty:
            raise Unavailable("the orchestrator is still loading its state")
        call = Call(self._services, request, target, parse_query(request))
        if target.subresource:
            handlers = _PARTS.get(target.subresource, {})
        elif target.name:
            handlers = _OBJECT
        else:
            handlers = _COLLECTION
        handler = handlers.get(request.method)
        if handler is resources.list_ and call.query.is_watch:
            return await watch.watch(call)
        if request.method not in _READS and not self._services.streams.can_reach_nodes:
            # It could be stored, and would be carried out later; who asks for a change is better
            # served by hearing that nothing will happen now.
            raise Unavailable("NATS cannot be reached, so no node would hear of it: try again")
        if handler is None or (target.namespace is None and handler is not resources.list_):
            raise method_not_allowed()
        return await handler(call)

    async def _elsewhere(self, request: web.Request, parts_: list[str]) -> web.StreamResponse:
        """Questions about the server and the user, and discovery."""
        asked = reviews.find(parts_)
        if asked is not None:
            if request.method != "POST":
                raise method_not_allowed()
            body = await bodies.read(request)
            answered = await reviews.answer(asked, body, request[auth.USER], self._services)
            return await answer(request, answered, status=201)
        kinds = self._services.world.kinds.all
        found = await _openapi(request, parts_, kinds) or await self._about_server(request, parts_)
        if request.method not in _READS:
            raise method_not_allowed()
        return found

    async def _about_server(self, request: web.Request, parts_: list[str]) -> web.StreamResponse:
        known = discovery.answer(
            parts_, request.headers.get("Accept", ""), self._services.world.kinds.all
        )
        if known is not None:
            body, content_type = known
            response = await answer(request, body, content_type=content_type)
            response.headers["Vary"] = "Accept"
            return response
        match parts_:
            case []:
                return await answer(
                    request, {"paths": ["/api", "/apis", "/openapi/v2", "/openapi/v3"]}
                )
            case ["version"]:
                return await answer(request, discovery.VERSION)
            case ["readyz", *_] if self._services.world.is_empty:
                raise Unavailable("the orchestrator is still loading its state")
            case ["healthz" | "livez" | "readyz", *_]:
                return web.Response(text="ok")
            case _:
                raise not_here()


async def _remember(request: web.Request, response: web.StreamResponse) -> None:
    request[_BEGUN] = response


def _is_long(request: web.Request, target: Target) -> bool:
    """Whether answering may take as long as the client likes."""
    return target.subresource in _LONG or (
        not target.name and request.method == "GET" and "watch" in request.query
    )


async def _openapi(
    request: web.Request, parts_: list[str], kinds: openapi.Kinds
) -> web.Response | None:
    """The index, or a document; None for any other path."""
    match parts_:
        case ["openapi", "v2"] if "protobuf" in request.headers.get("Accept", ""):
            kind = {"Content-Type": openapi.V2_PROTOBUF_TYPE}
            return web.Response(body=openapi.V2_PROTOBUF, headers=kind)
        case ["openapi", "v2"]:
            return await answer(request, openapi.document_v2(kinds))
        case ["openapi", "v3"]:
            return await answer(request, openapi.index(kinds))
        case ["openapi", "v3", *rest] if "/".join(rest) in openapi.group_versions(kinds):
            return await _openapi_document(request, "/".join(rest), kinds)
    return None


async def _openapi_document(
    request: web.Request, group_version: str, kinds: openapi.Kinds
) -> web.Response:
    """One that clients may keep for good: its address changes when it does."""
    etag = f'"{openapi.etag(group_version, kinds)}"'
    if request.headers.get("If-None-Match") == etag:
        response = web.Response(status=304)
    else:
        response = await answer(request, openapi.document(group_version, kinds))
    response.headers["ETag"] = etag
    if "hash" in request.query:
        response.headers["Cache-Control"] = "public, immutable"
        response.headers["Expires"] = "Fri, 31 Dec 9999 23:59:59 GMT"
    return response
