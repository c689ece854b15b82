"""Exceptions to Kubernetes `Status` objects: one table.

Reasons and codes: apimachinery, pkg/apis/meta/v1, StatusReason.
"""

from typing import Any

import structlog

from proto import codec
from proto.errors import (
    AlreadyExists,
    Ambiguous,
    ApplyConflict,
    BadRequest,
    Compacted,
    Conflict,
    Forbidden,
    Invalid,
    LongshoreError,
    NotFound,
    NotLeader,
    NotNow,
    Rejected,
    TooLarge,
    Unavailable,
    UnknownResult,
)
from proto.kinds.kind import Kind

log = structlog.get_logger()

RETRY_AFTER_S = 1
"""Clients with a Retry-After repeat the request by themselves (client-go, ten times)."""

_TABLE: tuple[tuple[type[Exception], int, str], ...] = (
    (BadRequest, 400, "BadRequest"),
    (Forbidden, 403, "Forbidden"),
    (NotFound, 404, "NotFound"),
    (AlreadyExists, 409, "AlreadyExists"),
    (Conflict, 409, "Conflict"),
    (Compacted, 410, "Expired"),
    (TooLarge, 413, "RequestEntityTooLarge"),
    (Invalid, 422, "Invalid"),
    (NotNow, 429, "TooManyRequests"),
    (Ambiguous, 500, ""),  # Kubernetes has no reason for it either
    (Unavailable, 503, "ServiceUnavailable"),
    (NotLeader, 503, "ServiceUnavailable"),
    (UnknownResult, 504, "Timeout"),
    (TimeoutError, 504, "Timeout"),
    (RecursionError, 400, "BadRequest"),
)

_RETRIED = (503, 504)


class HttpError(Rejected):
    """Refused for a reason that only HTTP has a word for."""

    def __init__(self, code: int, reason: str, message: str, retry_after_s: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.retry_after_s = retry_after_s


def method_not_allowed() -> HttpError:
    """405, in Kubernetes' words."""
    return HttpError(
        405,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
    )


def unauthorized() -> HttpError:
    """401, in Kubernetes' words, which do not say why."""
    return HttpError(401, "Unauthorized", "Unauthorized")


def not_here() -> NotFound:
    """404 for a path that is no resource, in Kubernetes' words."""
    return NotFound("the server could not find the requested resource")


def unsupported_media_type(found: str, supported: str) -> HttpError:
    """415 for a body."""
    return HttpError(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - accepted media types include: "
        f"{supported} (got {found or 'none'})",
    )


class Failure:
    """An exception as it is answered.

    Attributes:
        retry_after_s: 0 for none.
    """

    def __init__(self, error: Exception, kind: Kind[Any] | None = None, name: str = "") -> None:
        self.code, self.reason = _classify(error)
        self.retry_after_s = RETRY_AFTER_S if self.code in _RETRIED else 0
        self.message = _say(error)
        self.details: dict[str, Any] = {}
        if isinstance(error, HttpError):
            self.retry_after_s = error.retry_after_s
        if kind is not None:
            named = {"name": _printable(name), "group": kind.group, "kind": kind.plural}
            self.details = {key: value for key, value in named.items() if value}
        if isinstance(error, Invalid):
            self.details |= {"name": error.name, "kind": error.kind}
            self.details["causes"] = [codec.to_plain(field) for field in error.errors]
        if isinstance(error, ApplyConflict | NotNow):
            self.details["causes"] = [codec.to_plain(cause) for cause in error.causes]
        if self.retry_after_s:
            self.details["retryAfterSeconds"] = self.retry_after_s
        if not isinstance(error, LongshoreError) and self.code == 500:
            log.error("api.failed", error=repr(error), exc_info=error)

    @property
    def status(self) -> dict[str, Any]:
        """The `Status` object."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details:
            status["details"] = self.details
        return status


def _classify(error: Exception) -> tuple[int, str]:
    if isinstance(error, HttpError):
        return error.code, error.reason
    for type_, code, reason in _TABLE:
        if isinstance(error, type_):
            return code, reason
    return 500, "InternalError"


def _say(error: Exception) -> str:
    if isinstance(error, LongshoreError):
        return _printable(str(error))
    if isinstance(error, TimeoutError):
        return "the request did not complete in time; a write may still have been made"
    if isinstance(error, RecursionError):
        return "the document is nested too deeply"
    return "Internal error occurred: see the orchestrator's log"


def _printable(text: str) -> str:
    """The text of a path may hold lone surrogates, which are no UTF-8."""
    return text.encode(errors="replace").decode()


def success(kind: Kind[Any] | None = None, name: str = "", uid: str = "") -> dict[str, Any]:
    """The `Status` that says it is done."""
    status: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
    }
    if kind is not None:
        details = {"name": name, "group": kind.group, "kind": kind.plural, "uid": uid}
        status["details"] = {key: value for key, value in details.items() if value}
    return status
