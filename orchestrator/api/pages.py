"""Lists in parts: what is left of a list is kept until its reader comes back for it.

A list's objects are frozen and shared with the world, so keeping the rest of one costs a pointer an
object, and every part is of the same moment, as Kubernetes promises. A list that is forgotten, or
was begun at another orchestrator, is answered 410; clients then list afresh.
"""

import base64
import binascii
from collections import OrderedDict
from collections.abc import Sequence

from msgspec import Struct

from orchestrator.world import Entry
from proto.errors import BadRequest, Compacted

LISTS_MAX = 64
"""Unfinished lists kept; the one least used goes first."""


class Page(Struct, frozen=True):
    """One part of a list.

    Attributes:
        token: For the next part; empty when this is the last.
        remaining: Objects after this part.
        version: Of the whole list.
    """

    entries: Sequence[Entry]
    token: str
    remaining: int
    version: int


class _List(Struct, frozen=True):
    path: str
    entries: Sequence[Entry]
    version: int


class Pages:
    """The unfinished lists.

    Args:
        run: Distinguishes this process from one that began a list before it: its start, say.
    """

    def __init__(self, run: int) -> None:
        self._run = run
        self._begun = 0
        self._lists: OrderedDict[str, _List] = OrderedDict()

    def first(self, path: str, entries: Sequence[Entry], version: int, limit: int) -> Page:
        """The first part of a list, at most `limit` objects; all of them when that is 0."""
        if not limit or len(entries) <= limit:
            return Page(entries, "", 0, version)
        self._begun += 1
        name = f"{self._run}-{self._begun}"
        self._lists[name] = _List(path, entries, version)
        if len(self._lists) > LISTS_MAX:
            self._lists.popitem(last=False)
        return self._part(name, 0, limit)

    def next(self, path: str, token: str, limit: int) -> Page:
        """The part that a token stands for.

        Raises:
            BadRequest: It is no token, or one of another list.
            Compacted: The list is forgotten.
        """
        name, at = _decode(token)
        found = self._lists.get(name)
        if found is None:
            raise Compacted(
                "The provided continue parameter is too old to display a consistent list result. "
                "You must start a new list without the continue parameter."
            )
        if found.path != path or not 0 <= at < len(found.entries):
            raise BadRequest("continue key is not valid: it belongs to another list")
        self._lists.move_to_end(name)
        return self._part(name, at, limit or len(found.entries))

    def _part(self, name: str, at: int, limit: int) -> Page:
        found = self._lists[name]
        end = at + limit
        remaining = max(0, len(found.entries) - end)
        token = base64.urlsafe_b64encode(f"{name}.{end}".encode()).decode() if remaining else ""
        return Page(found.entries[at:end], token, remaining, found.version)


def _decode(token: str) -> tuple[str, int]:
    try:
        name, _, at = base64.urlsafe_b64decode(token).decode().partition(".")
        return name, int(at)
    except (binascii.Error, ValueError) as error:
        raise BadRequest("continue key is not valid") from error
