"""The resourceVersion that a read asks for."""

import pytest

from tests.unit.api.server import running

MAPS = "/api/v1/namespaces/default/configmaps"


def config_map(name):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


def names(listed):
    return [item["metadata"]["name"] for item in listed["items"]]


async def test_any_version_that_is_not_of_the_future_is_fresh_enough():
    async with running() as api:
        _, made = await api.ask("POST", MAPS, config_map("a"))
        version = made["metadata"]["resourceVersion"]
        for query in ("resourceVersion=0", "resourceVersion=1", f"resourceVersion={version}"):
            for match in ("", "&resourceVersionMatch=NotOlderThan"):
                status, listed = await api.ask("GET", f"{MAPS}?{query}{match}")
                assert (status, names(listed)) == (200, ["a"])
                assert int(listed["metadata"]["resourceVersion"]) >= int(version)
            assert (await api.ask("GET", f"{MAPS}/a?{query}"))[0] == 200


@pytest.mark.parametrize("path", [MAPS, f"{MAPS}/a"])
async def test_a_version_of_the_future_is_to_be_asked_for_later(path):
    async with running() as api:
        await api.ask("POST", MAPS, config_map("a"))
        ahead = api.world.version + 1
        async with api.http.get(f"{api.url}{path}?resourceVersion={ahead}") as response:
            said = await response.json()
            assert (response.status, response.headers["Retry-After"]) == (504, "1")
        assert said["reason"] == "Timeout"
        assert said["message"] == f"Too large resource version: {ahead}, current: {ahead - 1}"
        (cause,) = said["details"]["causes"]
        assert cause["reason"] == "ResourceVersionTooLarge"


async def test_a_list_is_of_exactly_the_version_it_asks_for_or_gone():
    async with running() as api:
        await api.ask("POST", MAPS, config_map("a"))
        _, listed = await api.ask("GET", MAPS)
        version = listed["metadata"]["resourceVersion"]
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        await api.ask("POST", "/api/v1/namespaces/default/pods", pod)
        exact = f"{MAPS}?resourceVersion={version}&resourceVersionMatch=Exact"
        assert await api.ask("GET", exact) == (200, listed)  # no map has changed since
        await api.ask("POST", MAPS, config_map("b"))
        status, said = await api.ask("GET", exact)
        assert (status, said["reason"]) == (410, "Expired")
        status, said = await api.ask("GET", exact.replace(version, "1"))
        assert (status, said["reason"]) == (410, "Expired")


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("resourceVersionMatch=Exact", 422, "forbidden unless resourceVersion is provided"),
        ("resourceVersion=0&resourceVersionMatch=Exact", 422, 'forbidden for resourceVersion "0"'),
        ("resourceVersion=1&resourceVersionMatch=Maybe", 422, 'Unsupported value: "Maybe"'),
        ("continue=x&resourceVersionMatch=Exact", 422, "forbidden when continue is provided"),
        ("continue=x&resourceVersion=1", 400, "not allowed when using continue"),
    ],
)
async def test_a_list_that_contradicts_itself_is_refused(query, status, said):
    async with running() as api:
        found, answer = await api.ask("GET", f"{MAPS}?{query}")
        assert found == status
        assert said in answer["message"]
