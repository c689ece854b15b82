"""ControllerRevisions: the templates that a stateful or daemon set has had, each with a number.

The present template has the highest number; a template that is asked for again gets a new number
instead of a new revision. A revision holds a strategic merge patch that puts its template back,
which is all that ``kubectl rollout undo`` needs. Source: Kubernetes, pkg/controller/history and
getPatch of both controllers.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.core.decisions import Create, Plan, Remove, Update, UpdateStatus
from orchestrator.core.ownership import claim, reference, selector_of
from orchestrator.core.template_hash import template_hash
from proto import codec
from proto.errors import BadRequest
from proto.kinds.controllerrevision import CONTROLLER_REVISIONS, ControllerRevision
from proto.kinds.kind import Kind
from proto.kinds.pod import PodTemplateSpec, default_spec
from proto.meta import ObjectMeta

HASH_LABEL = "controller-revision-hash"
"""On a revision: its hash. On a pod: which revision it was made of."""

_DIRECTIVE = "$patch"


class History(Struct, frozen=True):
    """All revisions of one object.

    Attributes:
        present: That of the present template; a draft while its owner is being deleted and has
            none.
        olds: All others, the oldest first.
    """

    present: ControllerRevision
    olds: tuple[ControllerRevision, ...] = ()

    def named(self, name: str) -> ControllerRevision | None:
        """The revision of that name."""
        every = (self.present, *self.olds)
        return next((found for found in every if found.metadata.name == name), None)

    @property
    def templates(self) -> Iterator[PodTemplateSpec]:
        """Those of all revisions that are ours."""
        for one in (self.present, *self.olds):
            if (found := template_of(one)) is not None:
                yield found

    def surplus(self, limit: int | None, used: Collection[str]) -> Iterator[Remove]:
        """Throw away the oldest beyond a number.

        Args:
            limit: How many to keep besides the present one and those in use; None: all.
            used: Names of those that pods are made of, or may be made of again.
        """
        idle = [found for found in self.olds if found.metadata.name not in used]
        for found in idle[: max(0, len(idle) - limit) if limit is not None else 0]:
            cause = f"history is limited to {limit}"
            yield Remove(CONTROLLER_REVISIONS, found, cause)


def settle(kind: Kind[Any], owner: Any, found: Iterable[ControllerRevision]) -> History | Plan:
    """The history of an object; or what must be written first, for the next pass to find.

    Args:
        kind: Of the owner, which has a selector and a template.
        owner: Present, possibly being deleted: then nothing new is made of it.
        found: Those it owns and those in its namespace that nobody owns, in any order.
    """
    candidates = list(found)
    claimed = claim(kind, owner, selector_of(owner), CONTROLLER_REVISIONS, candidates)
    if claimed.writes:
        return Plan(claimed.writes)
    olds = sorted(claimed.owned, key=lambda one: (one.revision, one.metadata.name))
    number = olds[-1].revision + 1 if olds else 1
    same = [one for one in olds if template_of(one) == owner.spec.template]
    if same:
        present = same[-1]
        if present is not olds[-1]:
            renewed = replace(present, revision=number)
            cause = f"its template is asked for again, as number {number}"
            return Plan((Update(CONTROLLER_REVISIONS, renewed, cause),))
        return History(present, tuple(olds[:-1]))
    draft = _draft(kind, owner, number)
    if owner.metadata.deletion_timestamp:
        return History(draft, tuple(olds))
    if any(one.metadata.name == draft.metadata.name for one in candidates):
        return Plan((_another_hash(kind, owner),))
    return Plan((Create(CONTROLLER_REVISIONS, draft, f"of the present template, number {number}"),))


def hash_of(revision: ControllerRevision) -> str:
    """What tells its pods from those of other revisions of the same owner."""
    return revision.metadata.labels.get(HASH_LABEL, "")


def template_of(revision: ControllerRevision) -> PodTemplateSpec | None:
    """The template that it puts back; None when it is none of ours."""
    spec = revision.data.get("spec")
    plain = spec.get("template") if isinstance(spec, dict) else None
    if not isinstance(plain, dict):
        return None
    content = {name: value for name, value in plain.items() if name != _DIRECTIVE}
    try:
        found = codec.decode(codec.encode(content), PodTemplateSpec)
    except BadRequest:
        return None
    return replace(found, spec=default_spec(found.spec))


def _draft(kind: Kind[Any], owner: Any, number: int) -> ControllerRevision:
    template = owner.spec.template
    hash_ = template_hash(template, owner.status.collision_count or 0)
    content = codec.to_plain(template) | {_DIRECTIVE: "replace"}
    return ControllerRevision(
        metadata=ObjectMeta(
            name=f"{owner.metadata.name}-{hash_}",
            namespace=owner.metadata.namespace,
            labels=template.metadata.labels | {HASH_LABEL: hash_},
            annotations=owner.metadata.annotations,
            owner_references=(reference(kind, owner),),
        ),
        data={"spec": {"template": content}},
        revision=number,
    )


def _another_hash(kind: Kind[Any], owner: Any) -> UpdateStatus:
    count = (owner.status.collision_count or 0) + 1
    status = replace(owner.status, collision_count=count)
    return UpdateStatus(kind, replace(owner, status=status), "another template has the same hash")
