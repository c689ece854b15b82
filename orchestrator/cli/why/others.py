"""Any other object: what its conditions and its events say, and what holds it when it goes."""

from collections.abc import Iterator

from orchestrator.cli.why import ending, words
from orchestrator.cli.why.finding import Explanation, Finding, Weight, ordered
from orchestrator.cli.why.seen import Seen
from proto import kinds
from proto.kinds.namespace import Namespace
from proto.meta import Resource, condition


def explain_other(found: Resource, seen: Seen) -> Explanation:
    """What can be said of an object of a kind that is not understood better."""
    meta = found.metadata
    kind = words.kind_name(found).lower()
    going = ", being deleted" if meta.deletion_timestamp else ""
    fine = Finding(
        weight=Weight.FINE, reason="Fine", what="Nothing is wrong with it that the API shows"
    )
    return Explanation(
        kind=kind,
        name=meta.name,
        namespace=meta.namespace,
        summary=f"{kind} {meta.name}, {words.age(meta.creation_timestamp, seen.now_ms)} old{going}",
        findings=ordered(_findings(found, seen)) or (fine,),
    )


def _findings(found: Resource, seen: Seen) -> Iterator[Finding]:
    if isinstance(found, Namespace) and found.metadata.deletion_timestamp:
        left = condition(found.status.conditions, "NamespaceContentRemaining")
        yield Finding(
            weight=Weight.NOTE,
            reason="Terminating",
            what=f"It is being deleted: {left.message if left else 'everything in it goes first'}",
            next=(f"longshore get all -n {found.metadata.name}",),
        )
    else:
        yield from ending.findings_of(found, seen)
    kind = kinds.find(found.api_version, words.kind_name(found))
    if kind is not None and kind.notice:
        yield Finding(
            weight=Weight.NOTE,
            reason="NotActedOn",
            what=f"{kind.plural.capitalize()} {kind.notice}",
        )
    yield from warnings_of(found, seen)


def warnings_of(found: Resource, seen: Seen) -> Iterator[Finding]:
    """What the latest warnings say of an object."""
    for event in seen.events_of(found, warnings=True)[:3]:
        yield Finding(
            weight=Weight.PROBLEM,
            reason=event.reason,
            what=event.message.strip(),
            evidence=(words.told(event, seen.now_ms),),
        )
