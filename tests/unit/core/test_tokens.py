"""What a token says, and when it holds."""

import pytest
from msgspec.structs import replace

from orchestrator.core.tokens import ISSUER, LEEWAY_S, UntrustedError, check, claims
from proto import codec
from proto.kinds.access import ServiceAccount
from proto.kinds.configuration import Secret
from proto.meta import ObjectMeta
from tests.unit.core.making import NOW_MS, pod

ACCOUNT = ServiceAccount(metadata=ObjectMeta(name="ci", namespace="team", uid="u1"))
REMADE = replace(ACCOUNT, metadata=replace(ACCOUNT.metadata, uid="u2"))
SECRET = Secret(metadata=ObjectMeta(name="s", namespace="team", uid="u3"))
POD = pod("p")


def made(bound=None, audiences=(), seconds=600):
    return claims(ACCOUNT, bound, audiences, seconds=seconds, now_ms=NOW_MS, id="j")


def refused(found, *, audiences=(), account=ACCOUNT, bound=None, now_ms=NOW_MS):
    with pytest.raises(UntrustedError) as error:
        check(found, audiences, account, bound, now_ms)
    return str(error.value)


def test_a_token_says_what_kubernetes_tokens_say():
    now_s = NOW_MS // 1000
    assert codec.decode_any(codec.encode(made(POD))) == {
        "iss": ISSUER,
        "sub": "system:serviceaccount:team:ci",
        "aud": [ISSUER],
        "iat": now_s,
        "nbf": now_s,
        "exp": now_s + 600,
        "jti": "j",
        "kubernetes.io": {
            "namespace": "team",
            "serviceaccount": {"name": "ci", "uid": "u1"},
            "pod": {"name": "p", "uid": "uid-p"},
        },
    }


def test_it_holds_for_the_audiences_it_is_meant_for():
    assert check(made(), (), ACCOUNT, None, NOW_MS) == (ISSUER,)
    found = made(audiences=("vault", "other"))
    assert check(found, ("x", "vault"), ACCOUNT, None, NOW_MS) == ("vault",)
    assert refused(found) == (
        f'token audiences ["vault" "other"] is invalid for the target audiences ["{ISSUER}"]'
    )


def test_it_holds_while_it_lasts_give_or_take_what_clocks_may_differ():
    end_ms = NOW_MS + 600_000
    leeway_ms = LEEWAY_S * 1000
    assert check(made(), (), ACCOUNT, None, end_ms + leeway_ms)
    assert refused(made(), now_ms=end_ms + leeway_ms + 1) == "service account token has expired"
    early = "service account token is not valid yet"
    assert refused(made(), now_ms=NOW_MS - leeway_ms - 1) == early
    future = replace(made(), nbf=0)
    assert "issued in the future" in refused(future, now_ms=NOW_MS - leeway_ms - 1)


def test_it_ends_with_its_account_even_if_another_one_takes_its_name():
    assert refused(made(), account=None) == 'serviceaccounts "ci" not found'
    assert refused(made(), account=REMADE) == "service account UID (u2) does not match claim (u1)"


def test_it_ends_with_what_it_is_bound_to():
    assert check(made(SECRET), (), ACCOUNT, SECRET, NOW_MS)
    assert refused(made(SECRET)) == "service account token has been invalidated"
    other = replace(POD, metadata=replace(POD.metadata, uid="u9"))
    assert refused(made(POD), bound=other) == (
        "pod UID (u9) does not match service account pod ref claim (uid-p)"
    )


def test_it_must_be_ours():
    assert refused(replace(made(), iss="https://elsewhere")) == "it was issued by somebody else"
