"""Who sees what the agent does: tests that kill it at every step."""

from collections.abc import Callable
from enum import StrEnum

from node_agent.core.actions import Action


class Moment(StrEnum):
    """Of an action."""

    BEFORE = "before"
    AFTER = "after"


Witness = Callable[[Action, Moment], None]
"""Sees each action right before it begins and right after it has ended, well or not."""


def unseen(_action: Action, _moment: Moment) -> None:
    """Nobody looks."""
