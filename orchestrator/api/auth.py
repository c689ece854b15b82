"""Who asks: the service account whose token comes along, or else the administrator.

Whoever reaches the port and says nothing of themselves is the administrator: what listens on
loopback only is guarded by the host.
"""

from collections.abc import Mapping

import structlog
from aiohttp import web
from msgspec import Struct

from orchestrator.api.call import Services
from orchestrator.api.errors import unauthorized
from orchestrator.core.tokens import Claims, UntrustedError

log = structlog.get_logger()

AUTHENTICATED = "system:authenticated"
"""The group of everybody who is known."""

_EXTRA = "authentication.kubernetes.io"


class User(Struct, frozen=True, omit_defaults=True):
    """Somebody, as reviews and the audit log say it (authentication.k8s.io/v1, UserInfo).

    Attributes:
        groups: Whom they belong to.
        uid: Tells them apart from an earlier user of that name; empty for none.
        extra: What else is known of them.
    """

    username: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = {}


ADMIN = User("longshore-admin", groups=("system:masters", AUTHENTICATED))

USER = web.RequestKey("user", User)
"""Of a request whose user has been identified."""


async def identify(request: web.Request, services: Services) -> User:
    """Whose request it is.

    Raises:
        HttpError: 401 for a token that does not hold.
        Unavailable: It cannot be checked at present.
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return ADMIN
    try:
        believed = await services.tokens.check(token.strip())
    except UntrustedError as error:
        log.info("api.unauthenticated", path=request.path, why=str(error))
        raise unauthorized() from error
    return bearer(believed.claims)


def bearer(claims: Claims) -> User:
    """Who has a token that says this. Source: Kubernetes, pkg/serviceaccount, UserInfo."""
    subject = claims.subject
    extra = {f"{_EXTRA}/credential-id": (f"JTI={claims.jti}",)}
    if subject.pod is not None:
        extra |= {
            f"{_EXTRA}/pod-name": (subject.pod.name,),
            f"{_EXTRA}/pod-uid": (subject.pod.uid,),
        }
    groups = (
        "system:serviceaccounts",
        f"system:serviceaccounts:{subject.namespace}",
        AUTHENTICATED,
    )
    return User(claims.sub, groups, subject.serviceaccount.uid, extra)
