"""Why something that is being deleted is still there."""

from collections.abc import Iterator

from orchestrator.cli.why import words
from orchestrator.cli.why.finding import Finding, Weight
from orchestrator.cli.why.seen import Seen
from proto.kinds.kind import format_age
from proto.kinds.pod import Pod
from proto.meta import Resource

OVERDUE_MS = 10_000
"""After the grace is over: what an agent needs to kill, remove and report."""


def findings_of(found: Resource, seen: Seen) -> Iterator[Finding]:
    """What holds it; nothing when it is not being deleted.

    A deletion timestamp is when the grace ends, not when it began. Source: Kubernetes, ObjectMeta.
    """
    meta, now_ms = found.metadata, seen.now_ms
    ends_ms = words.time_ms(meta.deletion_timestamp)
    if ends_ms is None:
        return
    if meta.finalizers:
        names = words.listed(meta.finalizers)
        yield Finding(
            weight=Weight.PROBLEM if now_ms - ends_ms > OVERDUE_MS else Weight.NOTE,
            reason="HeldByFinalizer",
            what=f"It is being deleted, and {words.count(len(meta.finalizers), 'finalizer')} "
            f"holds it: {names}",
            evidence=(f"deletionTimestamp {meta.deletion_timestamp}", f"finalizers: {names}"),
            advice="Whoever set a finalizer takes it away when done; if that program is gone for "
            "good, take it away yourself.",
            next=(f"longshore edit {_named(found)}{seen.inside(meta.namespace)}",),
        )
        return
    grace = meta.deletion_grace_period_seconds
    told = f" (grace {grace}s)" if grace else ""
    late_ms = now_ms - ends_ms
    if late_ms > OVERDUE_MS:
        yield Finding(
            weight=Weight.PROBLEM,
            reason="DeletionOverdue",
            what=f"It should have been gone {format_age(0, late_ms)} ago{told}, and nobody has "
            "confirmed that it is",
            evidence=(f"deletionTimestamp {meta.deletion_timestamp}",),
        )
    else:
        left = f", for {format_age(0, -late_ms)} at most{told}" if late_ms < 0 else ""
        yield Finding(
            weight=Weight.NOTE,
            reason="Terminating",
            what=f"It is being deleted: its containers may finish{left}"
            if isinstance(found, Pod)
            else "It is being deleted",
        )


def _named(found: Resource) -> str:
    """As it is typed: ``pod web``."""
    return f"{words.kind_name(found).lower()} {found.metadata.name}"
