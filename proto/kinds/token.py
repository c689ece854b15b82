"""TokenRequest: a token for a service account, asked for and answered, and never stored."""

from msgspec.structs import replace

from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.kind import Kind
from proto.meta import Model, Resource, Time

EXPIRATION_S = 3600
"""When nobody says. Source: Kubernetes, SetDefaults_TokenRequestSpec."""

EXPIRATION_MIN_S = 600
"""Source: Kubernetes, ValidateTokenRequest, as the texts."""


class BoundObjectReference(Model, frozen=True, kw_only=True):
    """What the token ends with: a Pod or a Secret of the account's namespace."""

    kind: str = ""
    api_version: str = ""
    name: str = ""
    uid: str = ""


class TokenRequestSpec(Model, frozen=True, kw_only=True):
    """What is wanted.

    Attributes:
        audiences: Who is to accept it; empty for the API itself.
        bound_object_ref: What it should end with.
    """

    audiences: tuple[str, ...] = ()
    expiration_seconds: int | None = None
    bound_object_ref: BoundObjectReference | None = None


class TokenRequestStatus(Model, frozen=True, kw_only=True, omit_defaults=False):
    """The answer."""

    token: str = ""
    expiration_timestamp: Time = ""


class TokenRequest(Resource, frozen=True, kw_only=True):
    """See the module."""

    spec: TokenRequestSpec = TokenRequestSpec()
    status: TokenRequestStatus = TokenRequestStatus()


def defaults(request: TokenRequest) -> TokenRequest:
    """An hour."""
    seconds = request.spec.expiration_seconds
    spec = replace(request.spec, expiration_seconds=EXPIRATION_S if seconds is None else seconds)
    return replace(request, spec=spec)


def validate(new: TokenRequest, _old: TokenRequest | None) -> list[FieldError]:
    """Every wrong field."""
    seconds = new.spec.expiration_seconds or 0
    at = "spec.expirationSeconds"
    if seconds < EXPIRATION_MIN_S:
        said = "may not specify a duration less than 10 minutes"
        return [validation.invalid(at, seconds, said)]
    if seconds > 1 << 32:
        said = "may not specify a duration larger than 2^32 seconds"
        return [validation.invalid(at, seconds, said)]
    return []


TOKEN_REQUESTS: Kind[TokenRequest] = Kind(
    name="TokenRequest",
    group="authentication.k8s.io",
    version="v1",
    plural="tokenrequests",
    singular="tokenrequest",
    type=TokenRequest,
    defaults=defaults,
    validate=validate,
)
"""Answered by the subresource ``token`` of service accounts, and found nowhere else."""
