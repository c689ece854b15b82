"""The exception tree, named by what the caller does next.

    LongshoreError
    ├── Retryable            look again and try again
    │   ├── Unavailable      certainly not applied: the other side could not be reached
    │   ├── UnknownResult    may or may not have been applied: re-read before anything else
    │   ├── Conflict         somebody else wrote first: re-read, then decide afresh
    │   │   └── ApplyConflict  …or owns fields that an apply would change
    │   ├── NotNow           allowed at another time: ask again later
    │   ├── NotLeader        another orchestrator decides now: ask that one
    │   └── Compacted        the history asked for is gone: list again
    └── Rejected             the same request will never succeed
        ├── BadRequest       cannot be understood
        ├── Invalid          understood, and wrong: carries the fields
        ├── NotFound
        ├── AlreadyExists
        ├── Forbidden
        ├── Ambiguous        two rules apply, and none says which: somebody must change one
        └── TooLarge         more than the store, or the server, takes

Adapters translate foreign errors into these once, at their door, with ``raise ... from error``.
"""

from collections.abc import Sequence

from msgspec import Struct


class LongshoreError(Exception):
    """Root of everything raised on purpose."""


class Retryable(LongshoreError):
    """Look again and try again."""


class Unavailable(Retryable):
    """The other side could not be reached; nothing was applied."""


class UnknownResult(Retryable):
    """The request may or may not have been applied; re-read before acting or announcing."""


class Conflict(Retryable):
    """The object changed since it was read."""


class ApplyConflict(Conflict):
    """Other managers own fields that an apply would give other values: one entry per field."""

    def __init__(self, message: str, causes: "Sequence[FieldError]") -> None:
        super().__init__(message)
        self.causes = tuple(causes)


class NotNow(Retryable):
    """Allowed at another time: one entry per cause, which need not be a field."""

    def __init__(self, message: str, causes: "Sequence[FieldError]") -> None:
        super().__init__(message)
        self.causes = tuple(causes)


class NotLeader(Retryable):
    """This orchestrator does not lead, so it may not write."""


class Compacted(Retryable):
    """The history asked for has been thrown away; list afresh."""


class Rejected(LongshoreError):
    """The same request will never succeed."""


class BadRequest(Rejected):
    """The request cannot be understood."""


class FieldError(Struct, frozen=True):
    """One wrong field, in Kubernetes' words.

    Attributes:
        reason: ``FieldValueRequired``, ``FieldValueInvalid``, ``FieldValueNotSupported``,
            ``FieldValueForbidden``, ``FieldValueDuplicate`` (apimachinery's field.ErrorType).
        field: Path such as ``spec.containers[0].name``.
        message: What is wrong and what would be right.
    """

    reason: str
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class Invalid(Rejected):
    """Understood, and wrong: one entry per field."""

    def __init__(self, kind: str, name: str, errors: Sequence[FieldError]) -> None:
        self.kind = kind
        self.name = name
        self.errors = tuple(errors)
        texts = [str(error) for error in self.errors]
        said = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
        super().__init__(f'{kind} "{name}" is invalid: {said}')


class NotFound(Rejected):
    """There is no such object."""


class AlreadyExists(Rejected):
    """An object of that name exists."""


class Forbidden(Rejected):
    """Understood, and not allowed."""


class Ambiguous(Rejected):
    """More than one rule applies, and none says which."""


class TooLarge(Rejected):
    """More bytes than the store, or the server, takes."""
