"""What the command line tells its user when it cannot go on."""

from proto.errors import LongshoreError, Rejected


class Refused(Rejected):
    """What was asked cannot be done; the text says why, and what the user can do about it."""


def first_of(group: BaseExceptionGroup[LongshoreError]) -> LongshoreError:
    """The first of the reasons, however deep the task groups were nested."""
    found = group.exceptions[0]
    return first_of(found) if isinstance(found, BaseExceptionGroup) else found
