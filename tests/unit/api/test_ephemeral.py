"""``pods/NAME/ephemeralcontainers``: what ``kubectl debug`` writes."""

import pytest

from tests.unit.api.server import running
from tests.unit.api.test_verbs import PODS, STRATEGIC, deployment, pod

DEBUGGED = f"{PODS}/p/ephemeralcontainers"
DEBUGGER = {"name": "debugger", "image": "busybox:1", "targetContainerName": "c", "tty": True}


def added(*containers):
    return {"spec": {"ephemeralContainers": list(containers)}}


async def test_containers_are_added_to_a_pod_one_after_another():
    async with running() as api:
        _, made = await api.ask("POST", PODS, pod())
        status, found = await api.ask("PATCH", DEBUGGED, added(DEBUGGER), headers=STRATEGIC)
        assert status == 200
        assert found["spec"]["containers"] == made["spec"]["containers"]
        assert found["spec"]["ephemeralContainers"] == [
            DEBUGGER | {"imagePullPolicy": "IfNotPresent", "resources": {}}
        ]
        other = {"name": "other", "image": "busybox:1"}
        status, found = await api.ask("PATCH", DEBUGGED, added(other), headers=STRATEGIC)
        names = [container["name"] for container in found["spec"]["ephemeralContainers"]]
        assert (status, sorted(names)) == (200, ["debugger", "other"])
        found["metadata"]["labels"] = {"not": "of this part"}
        status, replaced = await api.ask("PUT", DEBUGGED, found)
        assert (status, replaced["metadata"]["labels"]) == (200, {"app": "p"})
        assert await api.ask("GET", DEBUGGED) == await api.ask("GET", f"{PODS}/p")


async def test_what_was_added_stays_as_it_is():
    async with running() as api:
        await api.ask("POST", PODS, pod())
        _, found = await api.ask("PATCH", DEBUGGED, added(DEBUGGER), headers=STRATEGIC)
        status, refused = await api.ask(
            "PATCH", DEBUGGED, added(DEBUGGER | {"image": "other:1"}), headers=STRATEGIC
        )
        assert status == 422
        assert refused["message"] == (
            'Pod "p" is invalid: spec.ephemeralContainers: Forbidden: existing ephemeral '
            'containers "debugger" may not be changed'
        )
        found["spec"]["ephemeralContainers"] = []
        status, refused = await api.ask("PUT", DEBUGGED, found)
        assert (status, "may not be removed" in refused["message"]) == (422, True)
        status, refused = await api.ask("PUT", f"{PODS}/p", found)
        assert (status, "pod updates may not change" in refused["message"]) == (422, True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ports": [{"containerPort": 80}]}, "ports: Forbidden: cannot be set for an Ephemeral"),
        ({"resources": {"limits": {"cpu": "1"}}}, "resources: Forbidden: cannot be set for an"),
        ({"livenessProbe": {"exec": {"command": ["true"]}}}, "livenessProbe: Forbidden"),
        ({"name": "c"}, 'name: Duplicate value: "c"'),
        ({"targetContainerName": "x"}, 'targetContainerName: Not found: "x"'),
        ({"image": ""}, "image: Required value"),
    ],
)
async def test_what_such_a_container_cannot_be_is_said(change, said):
    async with running() as api:
        await api.ask("POST", PODS, pod())
        body = added(DEBUGGER | change)
        status, refused = await api.ask("PATCH", DEBUGGED, body, headers=STRATEGIC)
        assert (status, said in refused["message"]) == (422, True), refused


async def test_they_come_by_no_other_way():
    async with running() as api:
        status, refused = await api.ask("POST", PODS, pod(ephemeralContainers=[DEBUGGER]))
        assert (status, "spec.ephemeralContainers: Forbidden" in refused["message"]) == (422, True)
        body = deployment()
        body["spec"]["template"]["spec"]["ephemeralContainers"] = [DEBUGGER]
        path = "/apis/apps/v1/namespaces/default/deployments"
        status, refused = await api.ask("POST", path, body)
        assert status == 422
        assert "spec.template.spec.ephemeralContainers: Forbidden" in refused["message"]
