"""What the resourceVersion of a read asks for: what is fresh enough, or what was there then.

Source: Kubernetes, "Resource versions"; apimachinery, pkg/apis/meta/internalversion/validation, and
apiserver, pkg/storage/errors.go.
"""

from collections.abc import Iterator

from orchestrator.api.call import Call
from orchestrator.api.errors import HttpError
from proto.errors import BadRequest, Compacted, FieldError, Invalid
from proto.kinds import validation

_EXACT = "Exact"
_NOT_OLDER = "NotOlderThan"
_MATCH = "resourceVersionMatch"
_OPTIONS = "ListOptions.meta.k8s.io"


def check_fresh(call: Call) -> None:
    """What is known here must not be older than the client asks for.

    Raises:
        HttpError: 504: a follower that is behind its leader. The client asks again, or elsewhere.
    """
    asked, known = call.query.resource_version or 0, call.services.world.version
    if asked > known:
        cause = FieldError("ResourceVersionTooLarge", "", "Too large resource version")
        said = f"Too large resource version: {asked}, current: {known}"
        raise HttpError(504, "Timeout", said, retry_after_s=1, causes=(cause,))


def of_watch(call: Call) -> int | None:
    """The version after which a watch begins; None: it begins with what there is.

    Raises:
        Invalid: The parameters contradict each other.
        HttpError: See `check_fresh`.
    """
    query, match = call.query, call.request.query.get(_MATCH)
    wants_initial = query.wants_initial_events
    why = ""
    if wants_initial is not None and match != _NOT_OLDER:
        why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
    elif wants_initial is None and match:
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
    if why:
        name = _MATCH if wants_initial is None else "sendInitialEvents"
        raise Invalid(_OPTIONS, "", [validation.forbidden(name, why)])
    if wants_initial:
        check_fresh(call)
        return None
    if query.resource_version:
        return query.resource_version
    return None if wants_initial is None else call.services.world.version


def of_list(call: Call) -> int:
    """The version that a list is to be of.

    Raises:
        BadRequest, Invalid: The parameters contradict each other.
        HttpError: See `check_fresh`.
        Compacted: The collection is to be as it was then, and has changed since.
    """
    query, world = call.query, call.services.world
    if errors := list(_contradictions(call)):
        raise Invalid(_OPTIONS, "", errors)
    if query.token and query.resource_version:
        raise BadRequest("specifying resource version is not allowed when using continue")
    check_fresh(call)
    asked = query.resource_version or 0
    if call.request.query.get(_MATCH) != _EXACT:
        return world.version
    if world.has_changed(call.target.kind, asked):
        raise Compacted("The resourceVersion for the provided list is too old.")
    return asked


def _contradictions(call: Call) -> Iterator[FieldError]:
    match = call.request.query.get(_MATCH)
    if not match:
        return
    if call.query.token:
        yield validation.forbidden(_MATCH, f"{_MATCH} is forbidden when continue is provided")
    elif call.query.resource_version is None:
        why = f"{_MATCH} is forbidden unless resourceVersion is provided"
        yield validation.forbidden(_MATCH, why)
    if match not in (_EXACT, _NOT_OLDER):
        yield validation.not_supported(_MATCH, match, (_EXACT, _NOT_OLDER))
    elif match == _EXACT and call.query.resource_version == 0:
        why = f'{_MATCH} "Exact" is forbidden for resourceVersion "0"'
        yield validation.forbidden(_MATCH, why)
