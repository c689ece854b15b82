"""Lease: who holds something, and until when; clients elect their leaders with it."""

from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.kind import Column, Kind
from proto.kinds.pod import age_cell
from proto.meta import Model, Resource, Time


class LeaseSpec(Model, frozen=True, kw_only=True):
    """Who, since when, for how long."""

    holder_identity: str = ""
    lease_duration_seconds: int | None = None
    acquire_time: Time = ""
    renew_time: Time = ""
    lease_transitions: int | None = None
    strategy: str = ""
    preferred_holder: str = ""


class Lease(Resource, frozen=True, kw_only=True):
    """See the module."""

    spec: LeaseSpec = LeaseSpec()


def validate(new: Lease, _old: Lease | None) -> list[FieldError]:
    """Every wrong field."""
    duration = new.spec.lease_duration_seconds
    errors = validation.non_negative("spec.leaseTransitions", new.spec.lease_transitions)
    if duration is not None and duration <= 0:
        at = "spec.leaseDurationSeconds"
        errors.append(validation.invalid(at, duration, "must be greater than 0"))
    return errors


LEASES: Kind[Lease] = Kind(
    name="Lease",
    group="coordination.k8s.io",
    version="v1",
    plural="leases",
    singular="lease",
    type=Lease,
    columns=(
        Column("Holder", lambda lease, _: lease.spec.holder_identity),
        Column("Age", age_cell),
    ),
    validate=validate,
    has_status=False,
)
