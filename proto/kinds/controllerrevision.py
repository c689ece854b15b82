"""ControllerRevision: what a stateful or daemon set was at some time, to go back to."""

from typing import Any

from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.kind import Column, Kind
from proto.kinds.pod import age_cell
from proto.meta import Resource


class ControllerRevision(Resource, frozen=True, kw_only=True):
    """One state of an object.

    Attributes:
        data: The state; may not change.
        revision: The higher, the later.
    """

    data: dict[str, Any] = {}
    revision: int = 0


def validate(new: ControllerRevision, old: ControllerRevision | None) -> list[FieldError]:
    """Every wrong field."""
    errors = validation.non_negative("revision", new.revision)
    if not new.data:
        errors.append(validation.required("data", "data is mandatory"))
    elif old is not None:
        errors += validation.immutable("data", new.data, old.data)
    return errors


def _controller_cell(found: ControllerRevision) -> str:
    owner = found.metadata.controller
    if owner is None:
        return "<none>"
    group = owner.api_version.rpartition("/")[0]
    return f"{owner.kind.lower()}{'.' if group else ''}{group}/{owner.name}"


CONTROLLER_REVISIONS: Kind[ControllerRevision] = Kind(
    name="ControllerRevision",
    group="apps",
    version="v1",
    plural="controllerrevisions",
    singular="controllerrevision",
    type=ControllerRevision,
    columns=(
        Column("Controller", lambda found, _: _controller_cell(found)),
        Column("Revision", lambda found, _: found.revision, type="integer"),
        Column("Age", age_cell),
    ),
    validate=validate,
    has_status=False,
)
