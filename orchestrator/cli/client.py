"""The Kubernetes API of one cluster: requests, watches, byte streams and WebSockets, over kr8s.

Objects are JSON as they come: the command line handles every kind the cluster serves, custom ones
included, and new fields of a newer server are not lost on it.
"""

import contextlib
import re
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import httpx

from orchestrator.cli.refused import ServerRefused
from orchestrator.cli.resources import AGGREGATED, Types, parse_discovery
from proto import codec
from proto.errors import BadRequest

if TYPE_CHECKING:
    import kr8s.asyncio

    from orchestrator.cli.websocket import Socket

Json = dict[str, Any]
Params = Mapping[str, str | int | Sequence[str]]

JSON = "application/json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

REQUEST_S_MAX = 30.0
"""Source: kubectl's --request-timeout is none; a server that works answers within milliseconds."""

WATCH_S = 300
"""How long the server is asked to keep a watch. Source: client-go, 300 to 600."""


class Gone(ServerRefused):
    """The history that a watch asked for is gone: list again."""


class Client:
    """One cluster's API.

    Attributes:
        namespace: Where names are looked for that do not say it.
        server: The API's address.
    """

    def __init__(self, api: "kr8s.asyncio.Api", *, namespace: str) -> None:
        self._api = api
        self.namespace = namespace
        self.server = str(api.auth.server)
        self._types: Types | None = None

    async def types(self) -> Types:
        """The kinds that the cluster serves; asked for once."""
        if self._types is None:
            core = await self.ask("GET", "/api", accept=AGGREGATED)
            named = await self.ask("GET", "/apis", accept=AGGREGATED)
            self._types = parse_discovery(core, named)
        return self._types

    def forget_types(self) -> None:
        """Ask for the kinds again when they are needed: one has come."""
        self._types = None

    async def ask(
        self,
        verb: str,
        path: str,
        *,
        params: Params | None = None,
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
        timeout_s: float = REQUEST_S_MAX,
    ) -> Any:
        """One request and its answer, decoded.

        Args:
            verb: Of HTTP.
            path: From the root, without a query.
            params: Empty ones are left out.
            body: Bytes as they are, all else as JSON.
            content_type: Of the body.
            accept: What to answer with.
            timeout_s: Until it has answered.

        Raises:
            ServerRefused: The answer is an error.
        """
        content = body if body is None or isinstance(body, bytes) else codec.encode(body)
        async with self._call(
            verb,
            path,
            params=_given(params),
            content=content,
            headers={"Content-Type": content_type, "Accept": accept},
            timeout=timeout_s,
        ) as response:
            _print_warnings(response)
            answer = decoded(response.content)
            if response.is_error:
                raise refusal(response.status_code, answer)
        return answer

    async def get(self, path: str, params: Params | None = None, *, accept: str = JSON) -> Any:
        """An object, or a list."""
        return await self.ask("GET", path, params=params, accept=accept)

    async def text(self, path: str, params: Params | None = None) -> bytes:
        """An answer that is no JSON."""
        return b"".join([chunk async for chunk in self.chunks(path, params)])

    @contextlib.asynccontextmanager
    async def reading(
        self, path: str, query: Mapping[str, str], *, accept: str
    ) -> AsyncGenerator[httpx.Response, None]:
        """The answer to a GET as it comes, an error too, for whoever passes it on.

        Args:
            path: From the root, escaped, without a query.
            query: Of several values of a name, all count.
            accept: What to answer with.
        """
        async with self._call(
            "GET",
            path,
            stream=True,
            params=list(query.items()),
            headers={"Accept": accept},
            follow_redirects=False,
            timeout=httpx.Timeout(REQUEST_S_MAX, read=None),
        ) as response:
            yield response

    async def chunks(
        self, path: str, params: Params | None = None, *, accept: str = "*/*"
    ) -> AsyncGenerator[bytes, None]:
        """An answer's bytes as they arrive, for as long as it goes on.

        Raises:
            ServerRefused: It is an error.
        """
        async with self._call(
            "GET",
            path,
            stream=True,
            params=_given(params),
            headers={"Accept": accept},
            timeout=httpx.Timeout(REQUEST_S_MAX, read=None),
        ) as response:
            if response.is_error:
                raise refusal(response.status_code, decoded(await response.aread()))
            _print_warnings(response)
            async for chunk in response.aiter_bytes():
                yield chunk

    async def watch(
        self, path: str, params: Params | None = None, *, accept: str = JSON
    ) -> AsyncGenerator[tuple[str, Json], None]:
        """Changes: ADDED, MODIFIED or DELETED and the object, until the server ends the watch.

        Args:
            path: A collection's.
            params: With ``resourceVersion``, of what has been seen; without, all come as ADDED.
            accept: For the objects.

        Raises:
            Gone: That version is too old.
            ServerRefused: Any other error.
        """
        asked = {"watch": "true", "timeoutSeconds": WATCH_S, **(params or {})}
        left = b""
        async with contextlib.aclosing(self.chunks(path, asked, accept=accept)) as chunks:
            async for chunk in chunks:
                *lines, left = (left + chunk).split(b"\n")
                for line in filter(None, lines):
                    event = codec.decode_any(line)
                    if event["type"] == "ERROR":
                        status = event["object"]
                        raise refusal(int(status.get("code") or 500), status)
                    if event["type"] != "BOOKMARK":
                        yield event["type"], event["object"]

    @contextlib.asynccontextmanager
    async def websocket(self, path: str, params: Params, protocol: str) -> AsyncIterator["Socket"]:
        """A WebSocket of that subprotocol.

        No pings of ours: to a reader that pauses they would look like a dead server.

        Raises:
            ServerRefused: The server does not open one.
        """
        from orchestrator.cli import websocket  # noqa: PLC0415 -- few commands need it

        base, url = _split(path)
        opening = self._api.open_websocket(
            version="",
            base=base,
            url=url,
            params=_given(params),
            subprotocols=[protocol],
            keepalive_ping_interval_seconds=None,
            timeout=httpx.Timeout(REQUEST_S_MAX, read=None),
        )
        try:
            async with opening as socket:
                yield websocket.Socket(socket)
        except websocket.Refusal as error:
            response = error.response
            raise refusal(response.status_code, decoded(await response.aread())) from error

    async def close(self) -> None:
        """End all connections."""
        session = self._api._session  # noqa: SLF001 -- kr8s has no way to close one
        if session is not None:
            await session.aclose()

    def _call(
        self, verb: str, path: str, *, stream: bool = False, **options: Any
    ) -> contextlib.AbstractAsyncContextManager[httpx.Response]:
        base, url = _split(path)
        call: contextlib.AbstractAsyncContextManager[httpx.Response] = self._api.call_api(
            verb, version="", base=base, url=url, raise_for_status=False, stream=stream, **options
        )
        return call


def refusal(code: int, answer: Any) -> ServerRefused:
    """The error that an answer is, with what to type next."""
    status = answer if isinstance(answer, dict) else {"message": str(answer or "").strip()}
    if code == 410:
        return Gone(code, status)
    hint = {
        401: "the kubeconfig's user has no valid credentials: choose another with --context",
        503: "wait a moment and repeat: the control plane may be starting or choosing a leader",
    }.get(code, "")
    return ServerRefused(code, status, hint=hint)


def _split(path: str) -> tuple[str, str]:
    """For kr8s, which puts paths together from parts, with a slash between them."""
    base, _, url = path.rpartition("/")
    return (base, url) if base else (path, "")


def _given(params: Params | None) -> dict[str, Any]:
    return {name: value for name, value in (params or {}).items() if value not in ("", ())}


def decoded(payload: bytes) -> Any:
    """As JSON, or as text where it is none."""
    try:
        return codec.decode_any(payload) if payload else {}
    except BadRequest:
        return payload.decode(errors="replace")


def _print_warnings(response: httpx.Response) -> None:
    """What the server says beside its answer: ``299 - "text"``."""
    for header in response.headers.get_list("warning"):
        found = re.match(r'\d{3} \S+ "((?:[^"\\]|\\.)*)"', header)
        text = re.sub(r"\\(.)", r"\1", found.group(1)) if found else header
        print(f"Warning: {text}", file=sys.stderr)
