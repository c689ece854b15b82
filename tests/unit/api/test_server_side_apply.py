"""Server-side apply and managed fields, through the API."""

import pytest

from tests.unit.api.server import running

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
WEB = f"{DEPLOYMENTS}/web"
YAML = {"Content-Type": "application/apply-patch+yaml"}
MERGE = {"Content-Type": "application/merge-patch+json"}


def manifest(**spec):
    pod = {"containers": [{"name": "main", "image": "nginx"}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod},
        }
        | spec,
    }


async def apply(server, body, manager="me", path=WEB, **query):
    given = "&".join(f"{name}={value}" for name, value in query.items())
    path = f"{path}?fieldManager={manager}&{given}"
    return await server.ask("PATCH", path, body, headers=YAML)


def managers(found):
    entries = found["metadata"].get("managedFields", ())
    return {(e["manager"], e["operation"], e.get("subresource", "")) for e in entries}


async def test_apply_makes_and_changes_and_leaves_alone():
    async with running() as server:
        code, made = await apply(server, manifest(replicas=2))
        assert (code, made["spec"]["replicas"], managers(made)) == (201, 2, {("me", "Apply", "")})
        code, same = await apply(server, manifest(replicas=2))
        assert (code, same) == (200, made)
        code, found = await apply(server, manifest())
        assert (code, found["spec"]["replicas"]) == (200, 1)  # the default: nobody wants another
        assert found["metadata"]["generation"] == 2


async def test_conflicts_name_the_owner_and_force_overrules():
    async with running() as server:
        await server.ask("POST", f"{DEPLOYMENTS}?fieldManager=maker", manifest(replicas=2))
        code, said = await apply(server, manifest(replicas=3))
        assert (code, said["reason"]) == (409, "Conflict")
        assert said["message"] == (
            'Apply failed with 1 conflict: conflict with "maker" using apps/v1: .spec.replicas'
        )
        assert said["details"]["causes"] == [
            {
                "reason": "FieldManagerConflict",
                "message": 'conflict with "maker" using apps/v1',
                "field": ".spec.replicas",
            }
        ]
        code, found = await apply(server, manifest(replicas=3), force="true")
        assert (code, found["spec"]["replicas"]) == (200, 3)


async def test_writes_are_tracked_by_user_agent_and_subresource():
    async with running() as server:
        agent = {"User-Agent": "tool/1.2 (linux)"}
        _, made = await server.ask("POST", DEPLOYMENTS, manifest(), headers=agent)
        assert managers(made) == {("tool", "Update", "")}
        scale = {"spec": {"replicas": 4}}
        path = f"{WEB}/scale?fieldManager=scaler"
        assert (await server.ask("PATCH", path, scale, headers=MERGE))[0] == 200
        status = {"status": {"replicas": 4}}
        path = f"{WEB}/status?fieldManager=watcher"
        _, found = await server.ask("PATCH", path, status, headers=MERGE)
        assert managers(found) == {
            ("tool", "Update", ""),
            ("scaler", "Update", "scale"),
            ("watcher", "Update", "status"),
        }
        code, said = await apply(server, manifest(replicas=2))
        assert code == 409
        assert said["message"].endswith(
            'conflict with "scaler" with subresource "scale" using apps/v1: .spec.replicas'
        )


async def test_managed_fields_can_be_replaced_and_forgotten_but_not_lost():
    async with running() as server:
        _, made = await apply(server, manifest(replicas=2))
        for owners in ([], None):
            body = {"metadata": {"managedFields": owners}}
            _, found = await server.ask("PATCH", WEB, body, headers=MERGE)
            assert found == made
        entry = {**made["metadata"]["managedFields"][0], "manager": "other"}
        body = {"metadata": {"managedFields": [entry]}}
        _, found = await server.ask("PATCH", f"{WEB}?fieldManager=x", body, headers=MERGE)
        assert managers(found) == {("other", "Apply", "")}
        body = {"metadata": {"managedFields": [{}]}}
        _, found = await server.ask("PATCH", WEB, body, headers=MERGE)
        assert "managedFields" not in found["metadata"]
        _, found = await server.ask("PATCH", WEB, {"spec": {"replicas": 3}}, headers=MERGE)
        assert "managedFields" not in found["metadata"]
        _, said = await apply(server, manifest(replicas=2))
        assert '"before-first-apply" using apps/v1: .spec.replicas' in said["message"]


async def test_a_dry_run_applies_nothing():
    async with running() as server:
        code, found = await apply(server, manifest(replicas=2), dryRun="All")
        assert (code, found["spec"]["replicas"]) == (201, 2)
        assert (await server.ask("GET", WEB))[0] == 404
        await apply(server, manifest(replicas=2))
        _, found = await apply(server, manifest(replicas=5), dryRun="All")
        assert found["spec"]["replicas"] == 5
        assert (await server.ask("GET", WEB))[1]["spec"]["replicas"] == 2


async def test_apply_insists_on_the_version_it_names():
    async with running() as server:
        _, made = await apply(server, manifest(replicas=2))
        version = made["metadata"]["resourceVersion"]
        await apply(server, manifest(replicas=3))
        body = manifest(replicas=4)
        body["metadata"]["resourceVersion"] = version
        code, said = await apply(server, body)
        assert (code, said["reason"]) == (409, "Conflict")
        assert "the object has been modified" in said["message"]
        body["metadata"]["name"] = "new"
        assert (await apply(server, body, path=f"{DEPLOYMENTS}/new"))[0] == 409


@pytest.mark.parametrize(
    ("query", "body", "code", "said"),
    [
        ("", manifest(), 422, "fieldManager: Required value: is required for apply patch"),
        ("fieldManager=" + "m" * 129, manifest(), 422, "may not be more than 128 bytes"),
        ("fieldManager=me", [1], 400, ""),
        ("fieldManager=me", {"kind": "Pod", "apiVersion": "v1"}, 400, "cannot be handled"),
        (
            "fieldManager=me",
            manifest() | {"metadata": {"name": "web", "managedFields": []}},
            400,
            "metadata.managedFields must be nil",
        ),
        (
            "fieldManager=me&fieldValidation=Strict",
            manifest(replica=1),
            400,
            'unknown field "spec.replica"',
        ),
        ("fieldManager=me", manifest(replicas="two"), 400, "spec.replicas"),
    ],
)
async def test_what_cannot_be_applied_is_refused(query, body, code, said):
    async with running() as server:
        found, status = await server.ask("PATCH", f"{WEB}?{query}", body, headers=YAML)
        assert (found, status["code"]) == (code, code)
        assert said in status["message"]


async def test_only_apply_can_be_forced_and_only_in_yaml():
    async with running() as server:
        await apply(server, manifest())
        code, said = await server.ask("PATCH", f"{WEB}?force=true", {}, headers=MERGE)
        assert (code, "may not be specified for non-apply" in said["message"]) == (422, True)
        cbor = {"Content-Type": "application/apply-patch+cbor"}
        assert (await server.ask("PATCH", f"{WEB}?fieldManager=a", {}, headers=cbor))[0] == 415


async def test_status_is_applied_through_its_own_part():
    async with running() as server:
        await apply(server, manifest() | {"status": {"replicas": 7}})
        body = manifest() | {"status": {"replicas": 7}}
        code, found = await apply(server, body, "watcher", f"{WEB}/status")
        assert (code, found["status"]["replicas"]) == (200, 7)
        assert managers(found) == {("me", "Apply", ""), ("watcher", "Apply", "status")}
        owned = found["metadata"]["managedFields"][0]["fieldsV1"]
        assert "f:status" not in owned


async def test_a_number_of_replicas_is_applied_through_its_own_part():
    async with running() as server:
        await apply(server, manifest())
        body = {"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": 3}}
        code, scale = await apply(server, body, "scaler", f"{WEB}/scale")
        assert (code, scale["kind"], scale["spec"]) == (200, "Scale", {"replicas": 3})
        _, found = await server.ask("GET", WEB)
        assert managers(found) == {("me", "Apply", ""), ("scaler", "Apply", "scale")}
        code, said = await apply(server, manifest(replicas=2))
        assert code == 409
        assert 'conflict with "scaler" with subresource "scale": .spec' in said["message"]
        assert (await apply(server, manifest(), "x", f"{WEB}/scale"))[0] == 400
        missing = f"{DEPLOYMENTS}/none/scale"
        assert (await apply(server, body, "scaler", missing))[0] == 404


async def test_tables_do_without_owners_and_lists_and_metadata_have_them():
    partial = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    table = "application/json;as=Table;g=meta.k8s.io;v=v1"
    async with running() as server:
        _, made = await apply(server, manifest())
        owners = made["metadata"]["managedFields"]
        _, listed = await server.ask("GET", DEPLOYMENTS)
        assert listed["items"][0]["metadata"]["managedFields"] == owners
        _, found = await server.ask("GET", WEB, headers={"Accept": partial})
        assert found["metadata"]["managedFields"] == owners
        _, found = await server.ask("GET", WEB, headers={"Accept": table})
        assert "managedFields" not in found["rows"][0]["object"]["metadata"]


async def test_owners_inside_a_template_do_no_harm():
    async with running() as server:
        body = manifest()
        body["spec"]["template"]["metadata"]["managedFields"] = [
            {"manager": "x", "fieldsV1": {"f:a": {}}}
        ]
        assert (await apply(server, body))[0] == 201
        assert (await server.ask("PUT", WEB, body))[0] == 200


async def test_a_delete_takes_delete_options_only_and_minds_the_uid():
    async with running() as server:
        await apply(server, manifest())
        code, said = await server.ask("DELETE", WEB, {"kind": "Pod", "apiVersion": "v1"})
        assert (code, "must be DeleteOptions" in said["message"]) == (400, True)
        other = {"kind": "DeleteOptions", "preconditions": {"uid": "another"}}
        assert (await server.ask("DELETE", DEPLOYMENTS, other))[0] == 409
        assert (await server.ask("GET", WEB))[0] == 200


async def test_an_object_with_doubled_items_can_still_be_made_and_changed():
    async with running() as server:
        body = manifest()
        (container,) = body["spec"]["template"]["spec"]["containers"]
        container["env"] = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
        assert (await server.ask("POST", DEPLOYMENTS, body))[0] == 201
        assert (await server.ask("PATCH", WEB, {"spec": {"replicas": 2}}, headers=MERGE))[0] == 200
        code, said = await apply(server, body)
        assert (code, "duplicate entries for key" in said["message"]) == (400, True)
