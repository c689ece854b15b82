"""Questions about who somebody is and what they may do: kinds that are answered, never stored.

Nothing is authorized yet: whoever is known may do everything.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import Struct

from orchestrator.api import auth
from orchestrator.api.auth import User
from orchestrator.api.call import Services
from orchestrator.core.tokens import UntrustedError
from proto import codec
from proto.errors import BadRequest, FieldError, Invalid
from proto.kinds import validation
from proto.meta import Model


class TokenReviewSpec(Model, frozen=True, kw_only=True):
    """A token, and who wants to know whether it is meant for them."""

    token: str = ""
    audiences: tuple[str, ...] = ()


class AccessSpec(Model, frozen=True, kw_only=True):
    """Who wants to do what: exactly one of the two kinds of attributes."""

    user: str = ""
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: dict[str, tuple[str, ...]] = {}
    resource_attributes: dict[str, Any] | None = None
    non_resource_attributes: dict[str, Any] | None = None


class Question(Struct, frozen=True):
    """What is asked.

    Attributes:
        namespace: That it is asked in; empty for none.
        user: Who asks.
    """

    spec: Mapping[str, Any]
    namespace: str
    user: User
    services: Services


class Review(Struct, frozen=True):
    """One kind of question.

    Attributes:
        answer: Its status; may raise BadRequest and Invalid.
    """

    group: str
    name: str
    plural: str
    answer: Callable[["Review", Question], Awaitable[dict[str, Any]]]
    is_namespaced: bool = False
    version: str = "v1"


async def _who(_review: Review, asked: Question) -> dict[str, Any]:
    return {"userInfo": asked.user}


async def _rules(_review: Review, _asked: Question) -> dict[str, Any]:
    return {
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        "incomplete": False,
    }


async def _whose(_review: Review, asked: Question) -> dict[str, Any]:
    spec = _read(asked, TokenReviewSpec)
    if not spec.token:
        raise BadRequest("token is required for TokenReview in authentication")
    try:
        believed = await asked.services.tokens.check(spec.token, spec.audiences)
    except UntrustedError as error:
        return {"authenticated": False, "user": {}, "error": f"invalid bearer token: {error}"}
    user = auth.bearer(believed.claims)
    return {"authenticated": True, "user": user, "audiences": believed.audiences}


async def _may(review: Review, asked: Question) -> dict[str, Any]:
    spec = _read(asked, AccessSpec)
    errors = _which(spec)
    if not review.name.startswith("Self") and not spec.user and not spec.groups:
        errors.append(
            validation.invalid("spec.user", "", "at least one of user or group must be specified")
        )
    if review.is_namespaced:
        errors += _where(spec, asked.namespace)
    if errors:
        raise Invalid(f"{review.name}.{review.group}", "", errors)
    return {"allowed": True}


def _which(spec: AccessSpec) -> list[FieldError]:
    both = (spec.resource_attributes, spec.non_resource_attributes)
    if sum(attributes is not None for attributes in both) == 1:
        return []
    said = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
    return [validation.invalid("spec.resourceAttributes", both[0], said)]


def _where(spec: AccessSpec, namespace: str) -> list[FieldError]:
    if spec.resource_attributes is None:
        said = "disallowed on this kind of request"
        return [validation.invalid("spec.nonResourceAttributes", None, said)]
    found = spec.resource_attributes.get("namespace", "")
    if found == namespace:
        return []
    at = "spec.resourceAttributes.namespace"
    return [validation.invalid(at, found, "must match metadata.namespace")]


def _read(asked: Question, type_: type[Any]) -> Any:
    """The question's spec."""
    given = {name: value for name, value in asked.spec.items() if value is not None}
    return codec.decode(codec.encode(given), type_)


_ACCESS = "authorization.k8s.io"
_IDENTITY = "authentication.k8s.io"

ALL = (
    Review(_IDENTITY, "SelfSubjectReview", "selfsubjectreviews", _who),
    Review(_IDENTITY, "TokenReview", "tokenreviews", _whose),
    Review(_ACCESS, "SelfSubjectAccessReview", "selfsubjectaccessreviews", _may),
    Review(_ACCESS, "SubjectAccessReview", "subjectaccessreviews", _may),
    Review(
        _ACCESS, "LocalSubjectAccessReview", "localsubjectaccessreviews", _may, is_namespaced=True
    ),
    Review(_ACCESS, "SelfSubjectRulesReview", "selfsubjectrulesreviews", _rules),
)


def find(parts: list[str]) -> tuple[Review, str] | None:
    """The question asked at this path, and in which namespace."""
    match parts:
        case ["apis", group, version, plural]:
            namespace = ""
        case ["apis", group, version, "namespaces", namespace, plural] if namespace:
            pass
        case _:
            return None
    for review in ALL:
        place = (review.group, review.version, review.plural, review.is_namespaced)
        if place == (group, version, plural, bool(namespace)):
            return review, namespace
    return None


async def answer(
    asked: tuple[Review, str], body: Mapping[str, Any], user: User, services: Services
) -> dict[str, Any]:
    """The question with its answer.

    Args:
        asked: See `find`.
        body: The question.
        user: Who asks.
        services: What answering needs.

    Raises:
        BadRequest: The body is another kind of object.
        Invalid: The question makes no sense.
    """
    review, namespace = asked
    if body.get("kind", review.name) != review.name:
        raise BadRequest(f"expected a {review.name}, got {body.get('kind')!r}")
    spec = body.get("spec") or {}
    if not isinstance(spec, dict):
        raise BadRequest("spec is not an object")
    return {
        "kind": review.name,
        "apiVersion": f"{review.group}/{review.version}",
        "metadata": {"namespace": namespace} if namespace else {},
        "spec": spec,
        "status": await review.answer(review, Question(spec, namespace, user, services)),
    }
