"""Questions a client asks about itself: kinds that are answered and never stored.

Nothing is authorized yet: whoever is known may do everything.
"""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from orchestrator.api.auth import User
from proto.errors import BadRequest


class Review(Struct, frozen=True):
    """One kind of question.

    Attributes:
        answer: From the question's spec and who asks to its status.
    """

    group: str
    name: str
    plural: str
    answer: Callable[[dict[str, Any], User], dict[str, Any]]
    version: str = "v1"


def _who(_spec: dict[str, Any], user: User) -> dict[str, Any]:
    return {"userInfo": user}


def _may(_spec: dict[str, Any], _user: User) -> dict[str, Any]:
    return {"allowed": True}


def _rules(_spec: dict[str, Any], _user: User) -> dict[str, Any]:
    return {
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        "incomplete": False,
    }


ALL = (
    Review("authentication.k8s.io", "SelfSubjectReview", "selfsubjectreviews", _who),
    Review("authorization.k8s.io", "SelfSubjectAccessReview", "selfsubjectaccessreviews", _may),
    Review("authorization.k8s.io", "SelfSubjectRulesReview", "selfsubjectrulesreviews", _rules),
)


def find(parts: list[str]) -> Review | None:
    """The question asked at this path."""
    return next((r for r in ALL if parts == ["apis", r.group, r.version, r.plural]), None)


def answer(review: Review, body: dict[str, Any], user: User) -> dict[str, Any]:
    """The question with its answer.

    Args:
        review: The kind of question.
        body: The question.
        user: Who asks.

    Raises:
        BadRequest: The body is another kind of object.
    """
    if body.get("kind", review.name) != review.name:
        raise BadRequest(f"expected a {review.name}, got {body.get('kind')!r}")
    spec = body.get("spec", {})
    return {
        "kind": review.name,
        "apiVersion": f"{review.group}/{review.version}",
        "metadata": {},
        "spec": spec,
        "status": review.answer(spec, user),
    }
