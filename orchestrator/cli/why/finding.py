"""What an explanation is made of."""

import enum
from collections.abc import Iterable

from msgspec import Struct


class Weight(enum.StrEnum):
    """How much a finding matters."""

    PROBLEM = "problem"
    """It does not do what was asked, and will not by waiting alone."""
    NOTE = "note"
    """On its way, or worth knowing."""
    FINE = "fine"
    """As it should be."""


_ORDER = {Weight.PROBLEM: 0, Weight.NOTE: 1, Weight.FINE: 2}


class Finding(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One thing that is so.

    Attributes:
        reason: A name for programs, CamelCase: ``CrashLoop``. Equal causes have equal names.
        what: What is so: one sentence, without the object's name.
        evidence: What shows it: conditions, events, exit codes, in the words of who said them.
        output: The last lines that the program in question wrote.
        advice: What would mend it; one sentence.
        next: Commands to type next, in this order.
    """

    weight: Weight
    reason: str
    what: str
    evidence: tuple[str, ...] = ()
    output: tuple[str, ...] = ()
    advice: str = ""
    next: tuple[str, ...] = ()


class Explanation(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """All there is to say of one object.

    Attributes:
        kind: Lower case, as typed: ``pod``, ``deploy``, ``node``.
        summary: One line: what it is, since when.
        findings: The worst first; never empty.
    """

    kind: str
    name: str
    namespace: str = ""
    summary: str
    findings: tuple[Finding, ...]

    @property
    def problem(self) -> Finding | None:
        """The first finding that is a problem."""
        return next((found for found in self.findings if found.weight is Weight.PROBLEM), None)


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The worst first; the rest in the order in which they were found."""
    return tuple(sorted(findings, key=lambda found: _ORDER[found.weight]))
