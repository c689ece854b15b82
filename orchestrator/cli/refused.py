"""What the command line tells when it cannot go on: what is wrong, and what to type next."""

from typing import Any

from proto.errors import LongshoreError, Rejected, Unavailable


class Refused(Rejected):
    """What was asked cannot be done; the text says why, and what the user can do about it.

    Attributes:
        hint: What to type next, where the text does not say it yet.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Unreachable(Unavailable):
    """The cluster does not answer; it may later. `hint` as in `Refused`."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ServerRefused(Refused):
    """The API answered with a Status that is no success.

    Attributes:
        code: Of HTTP.
        reason: ``NotFound``, ``Conflict`` and so on; empty where the answer was no Status.
        message: In the server's words.
        causes: One entry for each wrong field or conflict, as in ``details.causes``.
    """

    def __init__(self, code: int, status: dict[str, Any], *, hint: str = "") -> None:
        self.code = code
        self.reason = str(status.get("reason") or "")
        self.message = str(status.get("message") or f"HTTP status {code}")
        details = status.get("details") or {}
        self.causes: list[dict[str, str]] = list(details.get("causes") or ())
        self.retry_after_s = int(details.get("retryAfterSeconds") or 0)
        said = f"Error from server ({self.reason or code}): {self.message}"
        super().__init__(said, hint=hint)


def first_of(group: BaseExceptionGroup[LongshoreError]) -> LongshoreError:
    """The first of the reasons, however deep the task groups were nested."""
    found = group.exceptions[0]
    return first_of(found) if isinstance(found, BaseExceptionGroup) else found


def told(error: LongshoreError) -> str:
    """What is printed: as kubectl words it, and below it what to type next.

    >>> print(told(Refused("no such file", hint="name one with -f FILE")))
    error: no such file
    hint: name one with -f FILE
    """
    text = str(error) if isinstance(error, ServerRefused) else f"error: {error}"
    hint = getattr(error, "hint", "")
    return f"{text}\nhint: {hint}" if hint else text
