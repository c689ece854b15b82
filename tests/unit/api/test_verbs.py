"""Requests of a client, over HTTP."""

import asyncio
import gzip
import io
import json

import aiohttp
import pytest

from proto import codec, kinds
from tests.unit.api.server import running

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
PODS = "/api/v1/namespaces/default/pods"
MERGE = {"Content-Type": "application/merge-patch+json"}
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}
JSON = {"Content-Type": "application/json-patch+json"}
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


def deployment(name="web", **spec):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "containers": [
                        {"name": "c", "image": "i:1", "env": [{"name": "A", "value": "1"}]}
                    ]
                },
            },
            **spec,
        },
    }


def pod(name="p", **spec):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": "i:1"}], **spec},
    }


async def test_what_was_created_is_read_listed_and_shown_as_a_table():
    async with running() as api:
        status, made = await api.ask("POST", DEPLOYMENTS, deployment())
        assert status == 201
        assert made["metadata"]["generation"] == 1
        assert made["spec"]["replicas"] == 1
        assert await api.ask("GET", f"{DEPLOYMENTS}/web") == (200, made)
        _, listed = await api.ask("GET", "/apis/apps/v1/deployments")
        assert listed["kind"] == "DeploymentList"
        assert listed["items"] == [made]
        assert int(listed["metadata"]["resourceVersion"]) >= int(
            made["metadata"]["resourceVersion"]
        )
        _, table = await api.ask("GET", DEPLOYMENTS, headers=TABLE)
        assert table["kind"] == "Table"
        assert table["rows"][0]["cells"][:2] == ["web", "0/1"]
        _, one = await api.ask("GET", f"{DEPLOYMENTS}/web", headers=TABLE)
        assert one["rows"][0]["cells"][0] == "web"


async def test_a_table_with_an_unknown_kind_of_row_is_a_bad_request():
    async with running() as api:
        for query in ("", "&watch=true"):
            path = f"{PODS}?includeObject=All{query}"
            assert (await api.ask("GET", path, headers=TABLE))[0] == 400


async def test_metadata_alone_can_be_asked_for():
    async with running() as api:
        await api.ask("POST", PODS, pod())
        accept = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
        _, found = await api.ask("GET", PODS, headers=accept)
        assert found["kind"] == "PartialObjectMetadataList"
        assert found["items"][0]["metadata"]["name"] == "p"
        assert "spec" not in found["items"][0]


async def test_a_form_nobody_has_is_not_acceptable():
    async with running() as api:
        status, found = await api.ask("GET", PODS, headers={"Accept": "image/png"})
        assert (status, found["reason"]) == (406, "NotAcceptable")


async def test_selectors_choose_from_a_list():
    async with running() as api:
        for name in ("a", "b"):
            await api.ask("POST", PODS, pod(name))

        async def names(query):
            _, found = await api.ask("GET", f"{PODS}?{query}")
            return [item["metadata"]["name"] for item in found["items"]]

        assert await names("labelSelector=app%3Da") == ["a"]
        assert await names("labelSelector=app+notin+(a)") == ["b"]
        assert await names("fieldSelector=metadata.name%3Db") == ["b"]
        assert await names("fieldSelector=metadata.name%3Db,status.phase!%3DPending") == []
        assert await names("fieldSelector=spec.nodeName%3D") == ["a", "b"]
        status, found = await api.ask("GET", f"{PODS}?fieldSelector=spec.x%3D1")
        assert (status, found["message"]) == (400, "field label not supported: spec.x")


async def test_a_list_in_parts_is_of_one_moment():
    async with running() as api:
        for index in range(5):
            await api.ask("POST", PODS, pod(f"p{index}"))
        _, first = await api.ask("GET", f"{PODS}?limit=2")
        assert first["metadata"]["remainingItemCount"] == 3
        await api.ask("DELETE", f"{PODS}/p4")
        await api.ask("POST", PODS, pod("p2x"))
        seen = [item["metadata"]["name"] for item in first["items"]]
        token = first["metadata"]["continue"]
        while token:
            _, part = await api.ask("GET", f"{PODS}?limit=2&continue={token}")
            assert part["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
            seen += [item["metadata"]["name"] for item in part["items"]]
            token = part["metadata"].get("continue")
        assert seen == ["p0", "p1", "p2", "p3", "p4"]


async def test_a_list_that_was_forgotten_has_expired():
    async with running() as api:
        token = "MS0xLjI="  # of a server that ran before
        status, found = await api.ask("GET", f"{PODS}?limit=2&continue={token}")
        assert (status, found["reason"]) == (410, "Expired")
        status, _ = await api.ask("GET", f"{PODS}?limit=2&continue=%25%25")
        assert status == 400


@pytest.mark.parametrize(
    ("headers", "patch"),
    [
        (MERGE, {"spec": {"replicas": 3}}),
        (STRATEGIC, {"spec": {"replicas": 3}}),
        (JSON, [{"op": "replace", "path": "/spec/replicas", "value": 3}]),
    ],
    ids=["merge", "strategic", "json"],
)
async def test_the_three_kinds_of_patch(headers, patch):
    async with running() as api:
        await api.ask("POST", DEPLOYMENTS, deployment())
        status, found = await api.ask(
            "PATCH", f"{DEPLOYMENTS}/web", data=codec.encode(patch), headers=headers
        )
        assert (status, found["spec"]["replicas"]) == (200, 3)
        assert found["metadata"]["generation"] == 2


async def test_a_strategic_patch_merges_by_name_in_what_is_stored():
    async with running() as api:
        await api.ask("POST", DEPLOYMENTS, deployment())
        change = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i:2"}]}}}}
        _, found = await api.ask(
            "PATCH", f"{DEPLOYMENTS}/web", data=codec.encode(change), headers=STRATEGIC
        )
        container = found["spec"]["template"]["spec"]["containers"][0]
        assert container["image"] == "i:2"
        assert container["env"] == [{"name": "A", "value": "1"}]


async def test_a_patch_that_changes_nothing_keeps_the_version():
    async with running() as api:
        _, made = await api.ask("POST", DEPLOYMENTS, deployment())
        _, found = await api.ask("PATCH", f"{DEPLOYMENTS}/web", data=b"{}", headers=MERGE)
        assert found == made


async def test_other_kinds_of_patch_are_refused():
    async with running() as api:
        await api.ask("POST", DEPLOYMENTS, deployment())
        for kind in ("application/apply-patch+cbor", "application/json"):
            status, found = await api.ask(
                "PATCH", f"{DEPLOYMENTS}/web", data=b"{}", headers={"Content-Type": kind}
            )
            assert (status, found["reason"]) == (415, "UnsupportedMediaType")


async def test_a_stale_update_is_a_conflict_and_one_without_a_version_is_not():
    async with running() as api:
        _, made = await api.ask("POST", DEPLOYMENTS, deployment())
        await api.ask("PATCH", f"{DEPLOYMENTS}/web", data=b'{"spec":{"replicas":2}}', headers=MERGE)
        made["spec"]["replicas"] = 7
        status, found = await api.ask("PUT", f"{DEPLOYMENTS}/web", made)
        assert (status, found["reason"]) == (409, "Conflict")
        del made["metadata"]["resourceVersion"]
        status, found = await api.ask("PUT", f"{DEPLOYMENTS}/web", made)
        assert (status, found["spec"]["replicas"]) == (200, 7)


async def test_patches_at_once_all_take_effect():
    async with running() as api:
        await api.ask("POST", DEPLOYMENTS, deployment())

        async def annotate(index):
            body = codec.encode({"metadata": {"annotations": {f"a{index}": "x"}}})
            status, _ = await api.ask("PATCH", f"{DEPLOYMENTS}/web", data=body, headers=MERGE)
            return status

        async with asyncio.TaskGroup() as tasks:
            done = [tasks.create_task(annotate(index)) for index in range(4)]
        assert {task.result() for task in done} == {200}
        _, found = await api.ask("GET", f"{DEPLOYMENTS}/web")
        assert len(found["metadata"]["annotations"]) == 4


async def test_the_status_is_written_through_its_own_door_only():
    async with running() as api:
        _, made = await api.ask("POST", PODS, pod() | {"status": {"phase": "Failed"}})
        assert made["status"]["phase"] == "Pending"
        change = b'{"status":{"phase":"Running"},"metadata":{"annotations":{"a":"b"}}}'
        _, found = await api.ask("PATCH", f"{PODS}/p", data=change, headers=MERGE)
        assert found["status"]["phase"] == "Pending"
        change = b'{"status":{"phase":"Running"},"spec":{"hostname":"x"}}'
        _, found = await api.ask("PATCH", f"{PODS}/p/status", data=change, headers=MERGE)
        assert found["status"]["phase"] == "Running"
        assert "hostname" not in found["spec"]


async def test_replicas_are_read_and_written_as_a_scale():
    async with running() as api:
        await api.ask("POST", DEPLOYMENTS, deployment())
        path = f"{DEPLOYMENTS}/web/scale"
        _, scale = await api.ask("GET", path)
        assert scale["kind"] == "Scale"
        assert scale["spec"] == {"replicas": 1}
        assert scale["status"] == {"replicas": 0, "selector": "app=web"}
        _, table = await api.ask("GET", path, headers=TABLE)
        assert [column["name"] for column in table["columnDefinitions"]] == [
            "Name", "Desired", "Available", "Age",
        ]  # fmt: skip
        assert table["rows"][0]["cells"][:3] == ["web", 1, 0]
        _, found = await api.ask("PATCH", path, data=b'{"spec":{"replicas":4}}', headers=MERGE)
        assert found["spec"]["replicas"] == 4
        scale["spec"]["replicas"] = 9
        status, _ = await api.ask("PUT", path, scale)
        assert status == 409
        status, _ = await api.ask("PATCH", path, data=b'{"spec":{"replicas":-1}}', headers=MERGE)
        assert status == 422
        _, whole = await api.ask("GET", f"{DEPLOYMENTS}/web")
        assert whole["spec"]["replicas"] == 4


async def test_a_dry_run_says_what_would_be_and_writes_nothing():
    async with running() as api:
        status, made = await api.ask("POST", f"{DEPLOYMENTS}?dryRun=All", deployment())
        assert (status, made["spec"]["replicas"]) == (201, 1)
        assert (await api.ask("GET", f"{DEPLOYMENTS}/web"))[0] == 404
        await api.ask("POST", DEPLOYMENTS, deployment())
        version = api.world.version
        change = b'{"spec":{"replicas":9}}'
        _, found = await api.ask(
            "PATCH", f"{DEPLOYMENTS}/web?dryRun=All", data=change, headers=MERGE
        )
        assert found["spec"]["replicas"] == 9
        assert (await api.ask("DELETE", f"{DEPLOYMENTS}/web?dryRun=All"))[0] == 200
        assert (await api.ask("POST", f"{DEPLOYMENTS}?dryRun=All", deployment()))[0] == 409
        assert api.world.version == version


@pytest.mark.parametrize(("validation", "code"), [("Strict", 400), ("Warn", 201), ("Ignore", 201)])
async def test_unknown_fields_are_refused_warned_of_or_ignored(validation, code):
    async with running() as api:
        body = deployment(replicaz=2)
        url = f"{api.url}{DEPLOYMENTS}?fieldValidation={validation}"
        async with api.http.post(url, json=body) as response:
            assert response.status == code
            warnings = response.headers.getall("Warning", [])
            found = await response.json()
        if validation == "Strict":
            assert found["message"] == (
                'Deployment in version "v1" cannot be handled as a Deployment: strict decoding '
                'error: unknown field "spec.replicaz"'
            )
        assert warnings == (
            ['299 - "unknown field \\"spec.replicaz\\""'] if validation == "Warn" else []
        )


async def test_a_warning_is_one_line_of_quoted_ascii():
    async with running() as api:
        body = deployment(**{'a\\b"\n\u00e9': 1})
        async with api.http.post(api.url + DEPLOYMENTS, json=body) as response:
            assert response.headers["Warning"] == ('299 - "unknown field \\"spec.a\\\\b\\"??\\""')


async def test_an_invalid_object_is_answered_with_every_wrong_field():
    async with running() as api:
        body = deployment(replicas=-1)
        body["spec"]["template"]["spec"]["containers"][0]["image"] = ""
        status, found = await api.ask("POST", DEPLOYMENTS, body)
        assert (status, found["reason"]) == (422, "Invalid")
        assert found["details"]["kind"] == "Deployment"
        assert [cause["field"] for cause in found["details"]["causes"]] == [
            "spec.replicas",
            "spec.template.spec.containers[0].image",
        ]


@pytest.mark.parametrize(
    ("path", "change", "said"),
    [
        (PODS, {"kind": "Deployment"}, "cannot be handled as a Pod"),
        (PODS, {"apiVersion": "v2"}, "cannot be handled as a Pod"),
        (PODS, {"metadata": {"name": "p", "namespace": "other"}}, "does not match the namespace"),
        (PODS, {"metadata": []}, "metadata is not an object"),
    ],
)
async def test_a_body_that_is_not_what_its_url_says_is_a_bad_request(path, change, said):
    async with running() as api:
        status, found = await api.ask("POST", path, pod() | change)
        assert (status, found["reason"]) == (400, "BadRequest")
        assert said in found["message"]


async def test_a_body_may_leave_out_what_its_url_says():
    async with running() as api:
        manifest = {key: value for key, value in pod().items() if key == "spec"}
        status, made = await api.ask("POST", PODS, manifest | {"metadata": {"name": "p"}})
        assert (status, made["kind"], made["apiVersion"]) == (201, "Pod", "v1")
        status, made = await api.ask("PUT", f"{PODS}/p", made | {"kind": "", "apiVersion": ""})
        assert (status, made["kind"], made["metadata"]["name"]) == (200, "Pod", "p")


async def test_an_update_under_another_name_is_a_bad_request():
    async with running() as api:
        await api.ask("POST", PODS, pod())
        status, found = await api.ask("PUT", f"{PODS}/p", pod("q"))
        assert status == 400
        assert (
            "the name of the object (q) does not match the name on the URL (p)" in found["message"]
        )


async def test_a_name_is_generated():
    async with running() as api:
        body = pod()
        body["metadata"] = {"generateName": "p-"}
        names = {(await api.ask("POST", PODS, body))[1]["metadata"]["name"] for _ in range(3)}
        assert len(names) == 3
        assert all(name.startswith("p-") and len(name) == 7 for name in names)


async def test_what_exists_is_not_created_again_and_what_does_not_is_not_found():
    async with running() as api:
        await api.ask("POST", PODS, pod())
        status, found = await api.ask("POST", PODS, pod())
        assert (status, found["reason"]) == (409, "AlreadyExists")
        status, found = await api.ask("GET", f"{PODS}/q")
        assert (status, found["message"]) == (404, 'pods "q" not found')
        assert found["details"] == {"name": "q", "kind": "pods"}
        status, found = await api.ask("POST", PODS.replace("default", "nope"), pod())
        assert (status, found["message"]) == (404, 'namespaces "nope" not found')


async def test_yaml_is_taken_where_json_is():
    async with running() as api:
        text = b"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: y\n  labels: {on: 'yes'}\n"
        async with api.http.post(
            f"{api.url}/api/v1/namespaces", data=text, headers={"Content-Type": "application/yaml"}
        ) as response:
            assert response.status == 201
            assert (await response.json())["metadata"]["labels"]["on"] == "yes"


async def test_an_unbound_pod_is_deleted_at_once_and_a_bound_one_waits_for_its_node():
    async with running() as api:
        await api.ask("POST", PODS, pod())
        _, found = await api.ask("DELETE", f"{PODS}/p", {"gracePeriodSeconds": 0})
        assert found["status"] == "Success"
        assert found["details"]["uid"]
        await api.ask("POST", PODS, pod("q", nodeName="n"))
        status, found = await api.ask("DELETE", f"{PODS}/q", {"gracePeriodSeconds": 5})
        assert (status, found["metadata"]["deletionGracePeriodSeconds"]) == (200, 5)
        assert (await api.ask("DELETE", f"{PODS}/q?gracePeriodSeconds=0"))[1]["status"] == "Success"
        assert (await api.ask("DELETE", f"{PODS}/q"))[0] == 404


async def test_a_delete_is_only_for_the_object_it_means():
    async with running() as api:
        _, made = await api.ask("POST", DEPLOYMENTS, deployment())
        wrong = {"preconditions": {"uid": "other"}}
        assert (await api.ask("DELETE", f"{DEPLOYMENTS}/web", wrong))[0] == 409
        right = {"preconditions": {"uid": made["metadata"]["uid"]}}
        assert (await api.ask("DELETE", f"{DEPLOYMENTS}/web", right))[0] == 200


async def test_a_finalizer_holds_an_object_until_it_is_taken_away():
    async with running() as api:
        body = deployment()
        body["metadata"]["finalizers"] = ["example.com/hold"]
        await api.ask("POST", DEPLOYMENTS, body)
        _, found = await api.ask("DELETE", f"{DEPLOYMENTS}/web")
        assert found["metadata"]["deletionTimestamp"]
        change = b'{"metadata":{"finalizers":null}}'
        status, _ = await api.ask("PATCH", f"{DEPLOYMENTS}/web", data=change, headers=MERGE)
        assert status == 200
        assert (await api.ask("GET", f"{DEPLOYMENTS}/web"))[0] == 404


async def test_a_selected_part_of_a_collection_is_deleted():
    async with running() as api:
        for name in ("a", "b"):
            await api.ask("POST", PODS, pod(name))
        status, found = await api.ask("DELETE", f"{PODS}?labelSelector=app%3Da")
        assert (status, [item["metadata"]["name"] for item in found["items"]]) == (200, ["a"])
        _, left = await api.ask("GET", PODS)
        assert [item["metadata"]["name"] for item in left["items"]] == ["b"]
        assert (await api.ask("DELETE", "/api/v1/pods"))[0] == 405


async def test_a_pod_is_bound_once():
    async with running() as api:
        await api.ask("POST", PODS, pod())
        binding = {"apiVersion": "v1", "kind": "Binding", "target": {"kind": "Node", "name": "n1"}}
        assert (await api.ask("POST", f"{PODS}/p/binding", binding))[0] == 201
        assert (await api.ask("GET", f"{PODS}/p"))[1]["spec"]["nodeName"] == "n1"
        assert (await api.ask("POST", f"{PODS}/p/binding", binding))[0] == 409
        assert (await api.ask("POST", f"{PODS}/p/binding", {}))[0] == 422


async def test_an_evicted_pod_is_deleted():
    async with running() as api:
        await api.ask("POST", PODS, pod())
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
        status, found = await api.ask("POST", f"{PODS}/p/eviction", body)
        assert (status, found["status"]) == (201, "Success")
        assert (await api.ask("GET", f"{PODS}/p"))[0] == 404


async def test_a_namespace_is_finalized_through_its_own_door():
    async with running() as api:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
        await api.ask("POST", "/api/v1/namespaces", body)
        _, found = await api.ask("DELETE", "/api/v1/namespaces/n")
        assert found["status"]["phase"] == "Terminating"
        status, found = await api.ask("POST", PODS.replace("default", "n"), pod())
        assert (status, found["reason"]) == (403, "Forbidden")
        found = (await api.ask("GET", "/api/v1/namespaces/n"))[1]
        found["spec"] = {}
        assert (await api.ask("PUT", "/api/v1/namespaces/n/finalize", found))[0] == 200
        assert (await api.ask("GET", "/api/v1/namespaces/n"))[0] == 404


async def test_logs_are_asked_of_the_pods_node():
    async with running() as api:
        await api.ask("POST", PODS, pod(nodeName="n1"))
        status, found = await api.ask("GET", f"{PODS}/p/log")
        assert status == 400
        assert found["message"] == 'container "c" in pod "p" is waiting to start: ContainerCreating'
        state = {"containerStatuses": [{"name": "c", "state": {"running": {}}}]}
        await api.ask(
            "PATCH", f"{PODS}/p/status", data=codec.encode({"status": state}), headers=MERGE
        )
        async with api.http.get(f"{api.url}{PODS}/p/log?tailLines=5&follow=true") as response:
            assert await response.text() == "one\ntwo\n"
        (asked,) = api.nodes["n1"].asked
        assert (asked.container, asked.tail_lines, asked.follow) == ("c", 5, True)
        for query, said in (
            ("container=x", "container x is not valid for pod p"),
            ("previous=true", 'previous terminated container "c" in pod "p" not found'),
            ("tailLines=-1", "tailLines"),
        ):
            status, found = await api.ask("GET", f"{PODS}/p/log?{query}")
            assert status == 400
            assert said in found["message"]


async def test_a_node_that_does_not_answer_makes_logs_unavailable():
    async with running() as api:
        await api.ask("POST", PODS, pod(nodeName="dead"))
        state = {"containerStatuses": [{"name": "c", "state": {"running": {}}}]}
        await api.ask(
            "PATCH", f"{PODS}/p/status", data=codec.encode({"status": state}), headers=MERGE
        )
        async with api.http.get(f"{api.url}{PODS}/p/log") as response:
            assert response.status == 503
            assert response.headers["Retry-After"] == "1"


async def test_a_log_that_breaks_off_is_cut_off_and_not_followed_by_another_answer():
    async with running() as api:
        await api.ask("POST", PODS, pod(nodeName="breaking"))
        state = {"containerStatuses": [{"name": "c", "state": {"running": {}}}]}
        await api.ask(
            "PATCH", f"{PODS}/p/status", data=codec.encode({"status": state}), headers=MERGE
        )
        async with api.http.get(f"{api.url}{PODS}/p/log") as response:
            assert response.status == 200
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()


async def test_large_answers_are_compressed_for_those_who_take_it():
    async with running() as api:
        body = deployment()
        body["metadata"]["annotations"] = {"a": "x" * 200_000}
        await api.ask("POST", DEPLOYMENTS, body)
        async with api.http.get(
            api.url + DEPLOYMENTS, headers={"Accept-Encoding": "gzip"}, auto_decompress=False
        ) as response:
            assert response.headers["Content-Encoding"] == "gzip"
            assert b"xxx" in gzip.decompress(await response.read())
        async with api.http.get(
            api.url + DEPLOYMENTS, headers={"Accept-Encoding": "identity"}
        ) as response:
            assert "Content-Encoding" not in response.headers


async def test_a_body_beyond_the_limit_is_too_large():
    async with running() as api:
        status, found = await api.ask("POST", PODS, data=io.BytesIO(b"x" * (3 * 1024 * 1024 + 1)))
        assert (status, found["reason"]) == (413, "RequestEntityTooLarge")


@pytest.mark.parametrize("path", ["/version", "/version/", "/api/", "/apis/", "/openapi/v3", "/"])
async def test_questions_about_the_server_are_answered_with_json(path):
    async with running() as api:
        assert (await api.ask("GET", path))[0] == 200
        assert (await api.ask("POST", path, {}))[0] == 405


async def test_a_document_is_kept_by_clients_for_good():
    async with running() as api:
        _, index = await api.ask("GET", "/openapi/v3")
        path = index["paths"]["apis/apps/v1"]["serverRelativeURL"]
        async with api.http.get(api.url + path) as response:
            assert response.headers["Cache-Control"] == "public, immutable"
            etag = response.headers["ETag"]
        async with api.http.get(api.url + path, headers={"If-None-Match": etag}) as response:
            assert response.status == 304


async def test_old_clients_get_the_smallest_document_they_accept():
    async with running() as api:
        accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
        async with api.http.get(f"{api.url}/openapi/v2", headers={"Accept": accept}) as response:
            assert response.status == 200
            assert "@" not in response.headers["Content-Type"]


async def test_version_2_documents_what_version_3_does():
    async with running() as api:
        status, found = await api.ask("GET", "/openapi/v2")
    assert status == 200
    [operation] = [
        path["patch"]
        for name, path in found["paths"].items()
        if name == "/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
    ]
    assert operation["operationId"] == "patchAppsV1NamespacedDeployment"
    assert {"dryRun", "fieldManager", "body"} <= {one["name"] for one in operation["parameters"]}
    assert "application/merge-patch+json" in operation["consumes"]
    schema = operation["responses"]["200"]["schema"]["$ref"]
    assert schema.removeprefix("#/definitions/") in found["definitions"]
    assert "#/components" not in json.dumps(found)
    assert "oneOf" not in json.dumps(found)


async def test_a_number_or_a_text_has_a_name_to_explain_it_by():
    async with running() as api:
        _, found = await api.ask("GET", "/openapi/v3/apis/apps/v1")
    schemas = found["components"]["schemas"]
    rolling = schemas["io.k8s.api.apps.v1.RollingUpdateDeployment"]["properties"]
    [pointed] = rolling["maxSurge"]["allOf"]
    assert pointed["$ref"].endswith(".IntOrString")
    named = schemas[pointed["$ref"].removeprefix("#/components/schemas/")]
    assert [one["type"] for one in named["oneOf"]] == ["integer", "string"]


@pytest.mark.parametrize("kind", kinds.ALL, ids=lambda kind: kind.plural)
async def test_every_kind_is_listed_when_there_is_none(kind):
    root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
    async with running() as api:
        status, found = await api.ask("GET", f"{root}/{kind.plural}?labelSelector=no%3Dsuch")
        assert (status, found["items"]) == (200, [])
