"""Who asks: tokens of service accounts, and questions about them."""

import jwt
import pytest

from proto.kinds.access import SERVICE_ACCOUNTS
from tests.unit.api.server import clock, running
from tests.unit.api.test_verbs import PODS, pod

ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
IDENTITY = "/apis/authentication.k8s.io/v1"
ACCESS = "/apis/authorization.k8s.io/v1"


def request(**spec):
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}


async def create(api, name="ci"):
    body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
    status, made = await api.ask("POST", ACCOUNTS, body)
    assert status == 201
    return made


async def token(api, **spec) -> str:
    status, made = await api.ask("POST", f"{ACCOUNTS}/ci/token", request(**spec))
    assert status == 201, made
    return made["status"]["token"]


async def review(api, found, **spec):
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}
    status, said = await api.ask(
        "POST", f"{IDENTITY}/tokenreviews", body | {"spec": {"token": found, **spec}}
    )
    assert status == 201, said
    return said["status"]


def bearing(found):
    return {"Authorization": f"Bearer {found}"}


async def test_whoever_brings_no_token_is_the_administrator():
    async with running() as api:
        _, found = await api.ask("POST", f"{IDENTITY}/selfsubjectreviews", {})
        assert found["status"]["userInfo"] == {
            "username": "longshore-admin",
            "groups": ["system:masters", "system:authenticated"],
        }
        assert (await api.ask("GET", f"{IDENTITY}/selfsubjectreviews"))[0] == 405


async def test_a_token_makes_its_bearer_the_account():
    async with running() as api:
        account = await create(api)
        status, made = await api.ask("POST", f"{ACCOUNTS}/ci/token", request(expirationSeconds=700))
        assert status == 201
        assert (made["kind"], made["metadata"]["name"]) == ("TokenRequest", "ci")
        assert made["spec"]["expirationSeconds"] == 700
        found = made["status"]["token"]
        said = jwt.decode(found, options={"verify_signature": False})
        assert said["exp"] - said["iat"] == 700
        _, who = await api.ask("POST", f"{IDENTITY}/selfsubjectreviews", {}, headers=bearing(found))
        assert who["status"]["userInfo"] == {
            "username": "system:serviceaccount:default:ci",
            "uid": account["metadata"]["uid"],
            "groups": [
                "system:serviceaccounts",
                "system:serviceaccounts:default",
                "system:authenticated",
            ],
            "extra": {"authentication.kubernetes.io/credential-id": [f"JTI={said['jti']}"]},
        }
        assert (await api.ask("GET", PODS, headers=bearing(found)))[0] == 200


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer x", "bearer a.b.c"])
async def test_a_bad_token_is_refused_whatever_it_asks_for(header):
    async with running() as api:
        await create(api)
        for path in (PODS, "/version", "/apis", f"{PODS}?watch=true"):
            status, found = await api.ask("GET", path, headers={"Authorization": header})
            assert (status, found["reason"], found["message"]) == (
                401, "Unauthorized", "Unauthorized",
            )  # fmt: skip


async def test_a_token_ends_with_its_account():
    async with running() as api:
        await create(api)
        found = await token(api)
        assert (await api.ask("GET", PODS, headers=bearing(found)))[0] == 200
        await api.ask("DELETE", f"{ACCOUNTS}/ci")
        assert (await api.ask("GET", PODS, headers=bearing(found)))[0] == 401
        assert "not found" in (await review(api, found))["error"]
        await create(api)
        assert (await api.ask("GET", PODS, headers=bearing(found)))[0] == 401
        assert "does not match claim" in (await review(api, found))["error"]


async def test_a_review_says_whose_token_it_is_and_for_whom():
    async with running() as api:
        await create(api)
        found = await token(api, audiences=["vault"])
        said = await review(api, found, audiences=["vault", "other"])
        assert (said["authenticated"], said["audiences"]) == (True, ["vault"])
        assert said["user"]["username"] == "system:serviceaccount:default:ci"
        said = await review(api, found)
        assert said["authenticated"] is False
        assert "audiences" in said["error"]
        assert (await api.ask("GET", PODS, headers=bearing(found)))[0] == 401
        status, _ = await api.ask("POST", f"{IDENTITY}/tokenreviews", {"spec": {}})
        assert status == 400


async def test_a_review_says_that_a_token_has_expired():
    async with running() as api:
        await create(api)
        account = api.world.get(SERVICE_ACCOUNTS, "default", "ci")
        old = await api.tokens.issue(account, None, (), 600, clock() - 3_600_000)
        said = await review(api, old)
        assert (said["authenticated"], said["error"]) == (
            False,
            "invalid bearer token: service account token has expired",
        )


async def test_a_bound_token_ends_with_what_it_is_bound_to():
    async with running() as api:
        await create(api)
        _, made = await api.ask("POST", PODS, pod())
        reference = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": made["metadata"]["uid"]}
        found = await token(api, boundObjectRef=reference)
        said = await review(api, found)
        assert said["user"]["extra"]["authentication.kubernetes.io/pod-name"] == ["p"]
        await api.ask("DELETE", f"{PODS}/p")
        assert "invalidated" in (await review(api, found))["error"]
        for wrong, status in (
            (reference, 404),
            (reference | {"kind": "Node"}, 400),
            (reference | {"apiVersion": "apps/v1"}, 400),
        ):
            body = request(boundObjectRef=wrong)
            assert (await api.ask("POST", f"{ACCOUNTS}/ci/token", body))[0] == status
        await api.ask("POST", PODS, pod())
        body = request(boundObjectRef=reference)
        assert (await api.ask("POST", f"{ACCOUNTS}/ci/token", body))[0] == 409


async def test_a_token_lasts_neither_minutes_nor_for_ever():
    async with running() as api:
        await create(api)
        for seconds in (0, 599, (1 << 32) + 1):
            body = request(expirationSeconds=seconds)
            status, said = await api.ask("POST", f"{ACCOUNTS}/ci/token", body)
            assert status == 422
            assert said["details"]["causes"][0]["field"] == "spec.expirationSeconds"
        body = request(expirationSeconds=1 << 32)
        async with api.http.post(f"{api.url}{ACCOUNTS}/ci/token", json=body) as response:
            assert "shortened to 31536000 seconds" in response.headers["Warning"]
            assert (await response.json())["spec"]["expirationSeconds"] == 31_536_000
        assert (await api.ask("POST", f"{ACCOUNTS}/none/token", request()))[0] == 404
        other = request() | {"metadata": {"name": "other"}}
        assert (await api.ask("POST", f"{ACCOUNTS}/ci/token", other))[0] == 400
        assert (await api.ask("POST", f"{ACCOUNTS}/ci/token", {"kind": "Pod"}))[0] == 400


async def test_what_somebody_may_is_answered_for_oneself_and_for_others():
    attributes = {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}
    local = f"{ACCESS}/namespaces/default/localsubjectaccessreviews"
    async with running() as api:
        for path, spec, status in (
            (f"{ACCESS}/selfsubjectaccessreviews", attributes, 201),
            (f"{ACCESS}/selfsubjectaccessreviews", {}, 422),
            (f"{ACCESS}/subjectaccessreviews", attributes | {"user": "u"}, 201),
            (f"{ACCESS}/subjectaccessreviews", attributes | {"groups": ["g"]}, 201),
            (f"{ACCESS}/subjectaccessreviews", attributes, 422),
            (f"{ACCESS}/subjectaccessreviews", {"user": "u"}, 422),
            (f"{ACCESS}/subjectaccessreviews", {"user": 7}, 400),
            (local, attributes | {"user": "u"}, 201),
            (local.replace("default", "other"), attributes | {"user": "u"}, 422),
            (local, {"user": "u", "nonResourceAttributes": {"path": "/x"}}, 422),
        ):
            found = await api.ask("POST", path, {"spec": spec})
            assert found[0] == status, (path, spec, found)
            if status == 201:
                assert found[1]["status"] == {"allowed": True}
