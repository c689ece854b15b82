"""Who asks.

Whoever reaches the port and says nothing of themselves is the administrator: what listens on
loopback only is guarded by the host.
"""

from collections.abc import Mapping

from aiohttp import web
from msgspec import Struct

from orchestrator.api.call import Services

AUTHENTICATED = "system:authenticated"
"""The group of everybody who is known."""


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


async def identify(_request: web.Request, _services: Services) -> User:
    """Whose request it is."""
    return ADMIN
