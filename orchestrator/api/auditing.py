"""What the audit log says of a request.

Source of the fields: Kubernetes, apiserver's audit and request packages (RequestInfo).
"""

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from msgspec import UNSET

from orchestrator.api import reviews
from orchestrator.api.auth import USER
from orchestrator.api.call import NAME
from orchestrator.api.errors import Failure
from orchestrator.api.routes import Target
from orchestrator.runtime.audit import AuditLog, Event, Reference, format_micro_time
from proto.kinds.configuration import SECRETS

FAILURE = web.RequestKey("failure", Failure)
"""Why a request was refused."""

STREAMS = frozenset({"log", "exec", "attach", "portforward"})
"""Parts of a pod that show what is inside, or change it, whatever the method."""

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
_READS = frozenset({"GET", "HEAD", "OPTIONS"})

_NOT_LET_IN = frozenset({401, 403, 429})
"""Answers that make even a read worth a line."""

_NOBODY = {"username": "system:anonymous"}


class Record:
    """One request, from its coming to its end."""

    def __init__(
        self, audit: AuditLog, request: web.Request, parts: list[str], target: Target | None
    ) -> None:
        self._audit = audit
        self._request = request
        self._parts = parts
        self._target = target
        self._received_ms = audit.clock()
        self._id = ""
        is_stream = target is not None and target.subresource in STREAMS
        self.is_vital = is_stream or request.method not in _READS
        """Whether it may not happen unless it can be written down."""

    def check(self) -> None:
        """Whether the request may go on.

        Raises:
            Unavailable: Nobody would hear of it later.
        """
        if self.is_vital:
            self._audit.check()

    @property
    def id(self) -> str:
        """Joins its lines."""
        self._id = self._id or self._audit.new_id()
        return self._id

    def begun(self, code: int) -> None:
        """The answer has begun, and will take as long as the client likes."""
        if self.is_vital or self._audit.includes_reads:
            self._audit.add(self._event("ResponseStarted", {"metadata": {}, "code": code}))

    def ended(self, response: web.StreamResponse | None) -> None:
        """It was answered; or not, when its client had gone."""
        failure = self._request.get(FAILURE)
        code = failure.code if failure else response.status if response is not None else 0
        if not (self.is_vital or self._audit.includes_reads or code in _NOT_LET_IN):
            return
        status: dict[str, Any] = {"metadata": {}}
        if failure is not None:
            status |= failure.status
            del status["kind"], status["apiVersion"]
            if self._target is not None and self._target.kind is SECRETS:
                status.pop("message")  # it may say what was wrong with a value
                status.pop("details", None)
        elif code:
            status["code"] = code
        else:
            status["message"] = "the client did not wait for the answer"
        self._audit.add(self._event("ResponseComplete", status))

    def _event(self, stage: str, status: Mapping[str, Any]) -> Event:
        request = self._request
        return Event(
            audit_id=self.id,
            stage=stage,
            request_uri=request.raw_path,
            verb=self._verb,
            user=request.get(USER, _NOBODY),
            source_ips=_addresses(request),
            user_agent=request.headers.get("User-Agent", ""),
            object_ref=self._reference or UNSET,
            response_status=status,
            request_received_timestamp=format_micro_time(self._received_ms),
            stage_timestamp=format_micro_time(self._audit.clock()),
        )

    @property
    def _verb(self) -> str:
        method, target = self._request.method, self._target
        if target is None:
            is_review = method == "POST" and reviews.find(self._parts) is not None
            return "create" if is_review else method.lower()
        if method == "DELETE":
            return "delete" if target.name else "deletecollection"
        if method in _READS and not target.name:
            return "watch" if "watch" in self._request.query else "list"
        return _VERBS.get(method, "get")

    @property
    def _reference(self) -> Reference | None:
        target = self._target
        if target is None:
            asked = reviews.find(self._parts)
            if asked is None:
                return None
            review, namespace = asked
            return Reference(
                resource=review.plural,
                namespace=namespace,
                api_group=review.group,
                api_version=review.version,
            )
        return Reference(
            resource=target.kind.plural,
            namespace=target.namespace or "",
            name=target.name or self._request.get(NAME, ""),
            api_group=target.kind.group,
            api_version=target.kind.version,
            subresource=target.subresource,
        )


def _addresses(request: web.Request) -> tuple[str, ...]:
    """As proxies on the way say, then the one that connected."""
    forwarded = request.headers.get("X-Forwarded-For", "")
    said = [address.strip() for address in forwarded.split(",") if address.strip()]
    return (*said, request.remote or "")
