"""``pods/eviction`` as a drain asks for it."""

from tests.unit.api.server import running
from tests.unit.api.test_verbs import PODS, pod

BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
EVICTION = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}


def budget(name="b"):
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "p"}}},
    }


async def guard(api, **status) -> None:
    """A pod that runs, and a budget whose controller has counted."""
    _, made = await api.ask("POST", PODS, pod())
    condition = {"type": "Ready", "status": "True"}
    made["status"] |= {"phase": "Running", "conditions": [condition]}
    assert (await api.ask("PUT", f"{PODS}/p/status", made))[0] == 200
    status, made = await api.ask("POST", BUDGETS, budget())
    assert status == 201
    made["status"] = {"observedGeneration": 1, "desiredHealthy": 1, "currentHealthy": 1}
    assert (await api.ask("PUT", f"{BUDGETS}/b/status", made))[0] == 200


async def allow(api, count) -> None:
    _, found = await api.ask("GET", f"{BUDGETS}/b")
    found["status"]["disruptionsAllowed"] = count
    assert (await api.ask("PUT", f"{BUDGETS}/b/status", found))[0] == 200


async def test_a_budget_that_allows_nothing_refuses_and_names_no_time_to_try_again():
    async with running() as api:
        await guard(api)
        async with api.http.post(f"{api.url}{PODS}/p/eviction", json=EVICTION) as response:
            assert response.status == 429
            assert "Retry-After" not in response.headers
            found = await response.json()
        assert found["message"] == (
            "Cannot evict pod as it would violate the pod's disruption budget."
        )
        assert found["reason"] == "TooManyRequests"
        (cause,) = found["details"]["causes"]
        assert cause["reason"] == "DisruptionBudget"
        assert "needs 1 healthy pods and has 1 currently" in cause["message"]
        assert (await api.ask("GET", f"{PODS}/p"))[1]["metadata"].get("deletionTimestamp") is None


async def test_what_a_budget_allows_is_counted_down_with_the_eviction():
    async with running() as api:
        await guard(api)
        await allow(api, 1)
        dry = EVICTION | {"deleteOptions": {"dryRun": ["All"]}}
        assert (await api.ask("POST", f"{PODS}/p/eviction", dry))[0] == 201
        assert (await api.ask("GET", f"{BUDGETS}/b"))[1]["status"]["disruptionsAllowed"] == 1
        status, done = await api.ask("POST", f"{PODS}/p/eviction", EVICTION)
        assert (status, done["status"]) == (201, "Success")
        found = (await api.ask("GET", f"{BUDGETS}/b"))[1]["status"]
        assert found["disruptionsAllowed"] == 0
        assert list(found["disruptedPods"]) == ["p"]
        assert (await api.ask("GET", f"{PODS}/p"))[0] == 404


async def test_two_budgets_of_one_pod_are_a_fault_that_somebody_must_mend():
    async with running() as api:
        await guard(api)
        await api.ask("POST", BUDGETS, budget("other"))
        status, found = await api.ask("POST", f"{PODS}/p/eviction", EVICTION)
        assert status == 500
        assert found["message"] == (
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does "
            "not support."
        )


async def test_an_eviction_must_be_of_the_pod_in_its_url():
    async with running() as api:
        await api.ask("POST", PODS, pod())
        wrong = EVICTION | {"metadata": {"name": "q"}}
        assert (await api.ask("POST", f"{PODS}/p/eviction", wrong))[0] == 400
        assert (await api.ask("POST", f"{PODS}/q/eviction", wrong))[0] == 404
