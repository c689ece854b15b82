"""A kind that is stored in one version and served in two, and requests for certificates."""

import asyncio
import json

from proto.kinds.autoscaler import AUTOSCALERS
from proto.kinds.autoscaler_v1 import AUTOSCALERS_V1
from tests.unit.api.server import running
from tests.unit.api.test_kinds import SIGNING, TARGET, manifest

V1 = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"
V2 = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
MERGE = {"Content-Type": "application/merge-patch+json"}
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


def v1(percent=70, **spec):
    spec = {"scaleTargetRef": TARGET, "maxReplicas": 3, **spec}
    if percent:
        spec["targetCPUUtilizationPercentage"] = percent
    return {
        "apiVersion": "autoscaling/v1",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "x"},
        "spec": spec,
    }


def percent_of(found):
    (metric,) = found["spec"]["metrics"]
    return metric["resource"]["target"]["averageUtilization"]


async def test_what_is_written_in_one_version_is_read_in_both():
    async with running() as api:
        status, made = await api.ask("POST", V1, v1())
        assert (status, made["apiVersion"]) == (201, "autoscaling/v1")
        assert made["spec"]["targetCPUUtilizationPercentage"] == 70
        _, other = await api.ask("GET", f"{V2}/x")
        assert other["apiVersion"] == "autoscaling/v2"
        assert percent_of(other) == 70
        assert other["metadata"]["uid"] == made["metadata"]["uid"]
        assert other["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
        _, listed = await api.ask("GET", V1)
        assert (listed["apiVersion"], listed["items"]) == ("autoscaling/v1", [made])
        _, table = await api.ask("GET", V1, headers=TABLE)
        assert table["rows"][0]["cells"][:3] == ["x", "Deployment/web", "cpu: <unknown>/70%"]
        assert (await api.ask("POST", V2, v1()))[0] == 400  # the wrong version for its URL
        assert (await api.ask("POST", V1, v1()))[0] == 409


async def test_a_change_in_one_version_leaves_alone_what_only_the_other_shows():
    async with running() as api:
        memory = {"type": "Utilization", "averageUtilization": 60}
        await api.ask("POST", V1, v1())
        patch = [
            {"op": "add", "path": "/spec/metrics/-", "value": {
                "type": "Resource", "resource": {"name": "memory", "target": memory}}},
        ]  # fmt: skip
        headers = {"Content-Type": "application/json-patch+json"}
        status, found = await api.ask("PATCH", f"{V2}/x", patch, headers=headers)
        assert status == 200, found
        for headers in (MERGE, STRATEGIC):
            patch = {"spec": {"targetCPUUtilizationPercentage": 40, "minReplicas": 2}}
            status, found = await api.ask("PATCH", f"{V1}/x", patch, headers=headers)
            assert (status, found["spec"]["targetCPUUtilizationPercentage"]) == (200, 40)
        _, found = await api.ask("GET", f"{V2}/x")
        names = [metric["resource"]["name"] for metric in found["spec"]["metrics"]]
        assert (names, found["spec"]["minReplicas"]) == (["cpu", "memory"], 2)
        assert found["metadata"].get("annotations") is None
        stale = (await api.ask("GET", f"{V1}/x"))[1]
        stale["metadata"]["resourceVersion"] = "1"
        assert (await api.ask("PUT", f"{V1}/x", stale))[0] == 409


async def test_a_wrong_field_or_annotation_is_refused_in_either_version():
    async with running() as api:
        status, said = await api.ask("POST", V1, v1(maxReplicas=0))
        assert (status, said["details"]["causes"][0]["field"]) == (422, "spec.maxReplicas")
        body = v1()
        body["metadata"]["annotations"] = {"autoscaling.alpha.kubernetes.io/metrics": "{"}
        assert (await api.ask("POST", V1, body))[0] == 400
        assert (await api.ask("GET", V2))[1]["items"] == []


async def test_a_status_is_written_in_the_older_version_too():
    async with running() as api:
        _, made = await api.ask("POST", V1, v1())
        made["status"] = {"currentReplicas": 2, "desiredReplicas": 3}
        assert (await api.ask("PUT", f"{V1}/x/status", made))[0] == 200
        _, found = await api.ask("GET", f"{V2}/x")
        assert found["status"] == {"currentReplicas": 2, "desiredReplicas": 3}


async def test_each_version_has_watches_of_its_own():
    async with running() as api:
        _, listed = await api.ask("GET", V1)
        since = listed["metadata"]["resourceVersion"]

        async def three(path: str) -> list[tuple[str, str]]:
            url = f"{api.url}{path}?watch=true&resourceVersion={since}"
            async with api.http.get(url) as response:
                events = [json.loads(await response.content.readline()) for _ in range(3)]
            return [(event["type"], event["object"]["apiVersion"]) for event in events]

        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            watching = [tasks.create_task(three(path)) for path in (V1, V2)]
            await api.ask("POST", V1, v1())
            patch = {"spec": {"maxReplicas": 9}}
            await api.ask("PATCH", f"{V2}/x", patch, headers=MERGE)
            status, gone = await api.ask("DELETE", f"{V1}/x")
            assert (status, gone["status"]) == (200, "Success")
        kinds = ["ADDED", "MODIFIED", "DELETED"]
        for task, version in zip(watching, ("autoscaling/v1", "autoscaling/v2"), strict=True):
            assert task.result() == [(kind, version) for kind in kinds]
        assert api.world.objects(AUTOSCALERS) == api.world.objects(AUTOSCALERS_V1) == []


async def test_fields_are_owned_in_the_version_that_is_stored():
    query = "?fieldManager=me"
    async with running() as api:
        body = v1()
        status, made = await api.ask("PATCH", f"{V1}/x{query}", body, headers=APPLY)
        assert (status, made["apiVersion"]) == (201, "autoscaling/v1")
        status, found = await api.ask("PATCH", f"{V1}/x{query}", v1(55), headers=APPLY)
        assert (status, found["spec"]["targetCPUUtilizationPercentage"]) == (200, 55)
        _, found = await api.ask("GET", f"{V2}/x")
        (owner,) = found["metadata"]["managedFields"]
        assert (owner["manager"], owner["apiVersion"]) == ("me", "autoscaling/v2")
        assert "f:metrics" in owner["fieldsV1"]["f:spec"]
        other = {**v1(20), "metadata": {"name": "x"}}
        status, said = await api.ask("PATCH", f"{V1}/x?fieldManager=you", other, headers=APPLY)
        assert (status, said["details"]["causes"][0]["field"]) == (409, ".spec.metrics")


async def test_a_request_for_a_certificate_says_who_asks_and_is_approved_or_denied():
    path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    async with running() as api:
        lie = {"spec": SIGNING | {"username": "root", "groups": ["system:masters"]}}
        body = manifest("CertificateSigningRequest", lie)
        status, made = await api.ask("POST", path, body)
        assert (status, made["spec"]["username"]) == (201, "longshore-admin")
        _, table = await api.ask("GET", path, headers=TABLE)
        assert table["rows"][0]["cells"][2:] == [
            "example.com/signer", "longshore-admin", "<none>", "Pending",
        ]  # fmt: skip
        approved = {"type": "Approved", "status": "True", "reason": "R", "message": "m"}
        made["status"] = {"conditions": [approved]}
        status, said = await api.ask("PUT", f"{path}/x/status", made)
        assert (status, said["details"]["causes"][0]["field"]) == (422, "status.conditions")
        assert (await api.ask("PUT", f"{path}/x/approval", made))[0] == 200
        made["metadata"].pop("resourceVersion")
        made["status"] = {"conditions": [approved, approved | {"type": "Denied"}]}
        assert (await api.ask("PUT", f"{path}/x/approval", made))[0] == 422
        made["status"] = {"conditions": []}
        status, said = await api.ask("PUT", f"{path}/x/approval", made)
        assert "may not remove a condition" in said["message"]
        made["status"] = {"conditions": [approved], "certificate": "eA=="}
        assert (await api.ask("PUT", f"{path}/x/status", made))[0] == 200
        _, table = await api.ask("GET", path, headers=TABLE)
        assert table["rows"][0]["cells"][-1] == "Approved,Issued"
