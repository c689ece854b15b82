"""The one exception of the command line."""

from proto.errors import Rejected


class Refused(Rejected):
    """What was asked cannot be done; the text says why, and what the user can do about it."""


def first_refusal(group: BaseExceptionGroup[Refused]) -> Refused:
    """The first of the reasons, however deep the task groups were nested."""
    found = group.exceptions[0]
    return first_refusal(found) if isinstance(found, BaseExceptionGroup) else found
