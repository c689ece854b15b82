"""A pod that no node takes because of its claims: which one, and what that claim waits for."""

from collections.abc import Iterator

from orchestrator.cli.why.finding import Finding, Weight
from orchestrator.cli.why.seen import Seen
from proto.kinds.event import Event
from proto.kinds.pod import Pod
from proto.kinds.volume import claim_name

_NO_VOLUME = ("unbound immediate PersistentVolumeClaims", "available persistent volumes to bind")
"""What the scheduler says without naming the claim."""


def finding_of(pod: Pod, seen: Seen, message: str) -> Finding | None:
    """What the scheduler's words mean for the pod's claims; None when they are about other things.

    Args:
        pod: Without a node.
        seen: The cluster.
        message: Of the scheduler.
    """
    names = dict.fromkeys(claim_name(pod.metadata.name, volume) for volume in pod.spec.volumes)
    claims = [name for name in names if name]
    said = f"the scheduler says: {message}"
    inside = seen.inside(pod.metadata.namespace)
    for name in claims:
        quoted = f'persistentvolumeclaim "{name}"'
        if f"{quoted} not found" in message:
            return Finding(
                weight=Weight.PROBLEM,
                reason="ClaimMissing",
                what=f"It waits for the claim {name}, which does not exist",
                evidence=(said,),
                advice="Create the claim, or correct claimName in the pod's volumes.",
                next=(f"longshore get pvc{inside}",),
            )
        if f"{quoted} is being deleted" in message or f"{quoted} bound to non-" in message:
            return Finding(
                weight=Weight.PROBLEM,
                reason="ClaimGoing",
                what=f"Its claim {name} is being deleted, or has lost its volume",
                evidence=(said,),
                advice="Delete the claim and create it anew: what was on its volume is lost.",
                next=(f"longshore describe pvc {name}{inside}",),
            )
    if not claims or not any(words in message for words in _NO_VOLUME):
        return None
    told = list(_told(pod, claims, seen))
    waiting = [name for name, _ in told] or claims
    return Finding(
        weight=Weight.PROBLEM,
        reason="ClaimUnbound",
        what=f"It waits for a volume for its {_listed(waiting)}",
        evidence=(said, *(f"{name}: {event.reason}: {event.message}" for name, event in told)),
        advice="Create a PersistentVolume that suits the claim, or name a storageClassName that "
        "makes one.",
        next=(f"longshore describe pvc {waiting[0]}{inside}", "longshore get storageclasses,pv"),
    )


def _told(pod: Pod, claims: list[str], seen: Seen) -> Iterator[tuple[str, Event]]:
    """The last that was told of each claim, where it is not that a volume was made."""
    for name in claims:
        events = seen.events_named("PersistentVolumeClaim", pod.metadata.namespace, name)
        if events and events[0].reason != "ProvisioningSucceeded":
            yield name, events[0]


def _listed(names: list[str]) -> str:
    return f"claim {names[0]}" if len(names) == 1 else f"claims {' and '.join(names)}"
