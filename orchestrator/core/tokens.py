"""Tokens of service accounts: what one says, and whether it holds.

Source of claims, rules and words: Kubernetes, pkg/serviceaccount/claims.go.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from proto.kinds.access import ServiceAccount
from proto.kinds.configuration import SECRETS
from proto.kinds.kind import Kind
from proto.kinds.pod import PODS, Pod
from proto.meta import Resource

ISSUER = "https://kubernetes.default.svc.cluster.local"
"""Also the audience that is the API itself. Source: kubeadm, --service-account-issuer."""

EXPIRATION_MAX_S = 365 * 24 * 3600
"""Longer wishes are cut: nothing takes a token back but the end of what it is bound to."""

LEEWAY_S = 60
"""For clocks that differ. Source: go-jose, DefaultLeeway."""


BINDABLE: Mapping[str, Kind[Any]] = {kind.name: kind for kind in (PODS, SECRETS)}
"""What a token can end with, by the name of its kind."""


class UntrustedError(Exception):
    """A token that does not hold; the text says why."""


class Reference(Struct, frozen=True):
    """An object, and no other one of its name."""

    name: str
    uid: str


class Subject(Struct, frozen=True, omit_defaults=True):
    """Whose token it is.

    Attributes:
        pod: What the token ends with, or `secret`.
    """

    namespace: str
    serviceaccount: Reference
    pod: Reference | None = None
    secret: Reference | None = None


class Claims(Struct, frozen=True):
    """What a token says; times in epoch seconds."""

    iss: str
    sub: str
    aud: tuple[str, ...]
    iat: int
    nbf: int
    exp: int
    jti: str
    subject: Subject = field(name="kubernetes.io")


def claims(
    account: ServiceAccount,
    bound: Resource | None,
    audiences: Sequence[str],
    *,
    seconds: int,
    now_ms: int,
    id: str,
) -> Claims:
    """What a new token says.

    Args:
        account: Whose it is.
        bound: A pod or a secret that it ends with.
        audiences: Who is to accept it; empty for the API.
        seconds: How long it holds.
        now_ms: Epoch milliseconds.
        id: Tells it apart from all others.
    """
    meta, now_s = account.metadata, now_ms // 1000
    return Claims(
        iss=ISSUER,
        sub=f"system:serviceaccount:{meta.namespace}:{meta.name}",
        aud=tuple(audiences) or (ISSUER,),
        iat=now_s,
        nbf=now_s,
        exp=now_s + seconds,
        jti=id,
        subject=Subject(
            namespace=meta.namespace,
            serviceaccount=_reference(account),
            pod=_reference(bound) if isinstance(bound, Pod) else None,
            secret=None if bound is None or isinstance(bound, Pod) else _reference(bound),
        ),
    )


def _reference(found: Resource) -> Reference:
    return Reference(found.metadata.name, found.metadata.uid)


def check(
    claims: Claims,
    audiences: Sequence[str],
    account: ServiceAccount | None,
    bound: Resource | None,
    now_ms: int,
) -> tuple[str, ...]:
    """Which of the audiences a token is for.

    Args:
        claims: Signed by us.
        audiences: Who asks whether it holds; empty for the API.
        account: The one of the name that it says, if there is one.
        bound: The object that it says it is bound to, if there is one.
        now_ms: Epoch milliseconds.

    Raises:
        UntrustedError: It holds for none of them.
    """
    _check_times(claims, now_ms)
    asked = tuple(audiences) or (ISSUER,)
    accepted = tuple(audience for audience in asked if audience in claims.aud)
    if not accepted:
        raise UntrustedError(
            f"token audiences {_listed(claims.aud)} is invalid for the target audiences "
            f"{_listed(asked)}"
        )
    subject = claims.subject
    named = subject.serviceaccount
    if account is None:
        raise UntrustedError(f'serviceaccounts "{named.name}" not found')
    if account.metadata.uid != named.uid:
        raise UntrustedError(
            f"service account UID ({account.metadata.uid}) does not match claim ({named.uid})"
        )
    if (wanted := bound_to(subject)) is not None:
        _check_bound(*wanted, bound)
    return accepted


def bound_to(subject: Subject) -> tuple[Kind[Any], Reference] | None:
    """What a token ends with."""
    if subject.pod is not None:
        return PODS, subject.pod
    return None if subject.secret is None else (SECRETS, subject.secret)


def _check_bound(kind: Kind[Any], wanted: Reference, found: Resource | None) -> None:
    if found is None:
        raise UntrustedError("service account token has been invalidated")
    if found.metadata.uid != wanted.uid:
        raise UntrustedError(
            f"{kind.singular} UID ({found.metadata.uid}) does not match service account "
            f"{kind.singular} ref claim ({wanted.uid})"
        )


def _check_times(claims: Claims, now_ms: int) -> None:
    now_s = now_ms / 1000
    if claims.iss != ISSUER:
        raise UntrustedError("it was issued by somebody else")
    if now_s > claims.exp + LEEWAY_S:
        raise UntrustedError("service account token has expired")
    if now_s < claims.nbf - LEEWAY_S:
        raise UntrustedError("service account token is not valid yet")
    if now_s < claims.iat - LEEWAY_S:
        raise UntrustedError("service account token is issued in the future")


def _listed(audiences: Sequence[str]) -> str:
    return "[" + " ".join(f'"{audience}"' for audience in audiences) + "]"
