"""Kinds that users declare, over HTTP."""

from contextlib import asynccontextmanager

from orchestrator.core.custom import definitions
from orchestrator.core.decisions import UpdateStatus
from orchestrator.runtime.writer import Op
from orchestrator.store.memory import MemoryServer, MemoryStore
from proto.kinds.definition import DEFINITIONS
from tests.unit.api.server import Running, clock, running
from tests.unit.api.test_watch import watching

DECLARED = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAME = "boats.example.com"
MERGE = {"Content-Type": "application/merge-patch+json"}
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


def at(version: str, name: str = "") -> str:
    """The path of boats, or of one."""
    return f"/apis/example.com/{version}/namespaces/default/boats" + (f"/{name}" if name else "")


def version(name: str, *, storage: bool = False, spec: dict | None = None, **more) -> dict:
    """One version of a definition; its spec is open unless it is given."""
    open_ = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    status = {"type": "object", "properties": {"phase": {"type": "string"}}}
    schema = {"type": "object", "properties": {"spec": spec or open_, "status": status}}
    return {
        "name": name,
        "served": True,
        "storage": storage,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    } | more


def definition(*versions: dict) -> dict:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": NAME},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "boats", "kind": "Boat"},
            "versions": list(versions),
        },
    }


def fields(*required: str, **properties: dict) -> dict:
    """The schema of an object."""
    return {"type": "object", "properties": properties, "required": list(required)}


def boat(version: str, name: str = "b", **spec) -> dict:
    return {
        "apiVersion": f"example.com/{version}",
        "kind": "Boat",
        "metadata": {"name": name},
        "spec": spec,
    }


async def establish(api: Running) -> None:
    """What the controller of definitions does."""
    found = api.world.get(DEFINITIONS, "", NAME)
    for decision in definitions.plan(found, (), (), clock()).decisions:
        assert isinstance(decision, UpdateStatus)
        await api.writer.write(Op(DEFINITIONS, "", NAME, decision.object))


async def declare(api: Running, *versions: dict) -> None:
    status, said = await api.ask("POST", DECLARED, definition(*versions))
    assert status == 201, said
    await establish(api)


@asynccontextmanager
async def declaring(*versions: dict):
    """An API that serves boats."""
    async with running() as api:
        await declare(api, *versions)
        yield api


SIZE = fields(size={"type": "integer"}, colour={"type": "string", "default": "red"})
LENGTH = fields(size={"type": "integer"}, length={"type": "integer", "default": 7})


async def test_an_object_is_seen_in_every_version_that_is_served():
    old = version("v1beta1", spec=LENGTH)
    unserved = version("v1alpha1", served=False)
    async with declaring(version("v1", storage=True, spec=SIZE), old, unserved) as api:
        status, made = await api.ask("POST", at("v1beta1"), boat("v1beta1", size=1, length=2))
        assert (status, made["apiVersion"]) == (201, "example.com/v1beta1")
        assert made["spec"] == {"size": 1, "length": 7}  # what is kept has no length
        _, seen = await api.ask("GET", at("v1", "b"))
        assert (seen["apiVersion"], seen["spec"]) == (
            "example.com/v1",
            {"size": 1, "colour": "red"},
        )
        assert seen["metadata"]["uid"] == made["metadata"]["uid"]
        _, listed = await api.ask("GET", at("v1beta1"))
        assert listed["apiVersion"] == "example.com/v1beta1"
        assert [item["apiVersion"] for item in listed["items"]] == ["example.com/v1beta1"]
        assert (await api.ask("GET", at("v1alpha1", "b")))[0] == 404
        status, said = await api.ask("POST", at("v1"), boat("v1beta1", name="c"))
        assert (status, said["reason"]) == (400, "BadRequest")


async def test_an_object_is_changed_in_any_version():
    async with declaring(version("v1", storage=True), version("v1beta1")) as api:
        _, made = await api.ask("POST", at("v1"), boat("v1", size=1))
        patch = {"spec": {"size": 2}, "metadata": {"labels": {"a": "b"}}}
        status, changed = await api.ask("PATCH", at("v1beta1", "b"), patch, headers=MERGE)
        assert (status, changed["apiVersion"]) == (200, "example.com/v1beta1")
        assert changed["metadata"]["generation"] == 2
        body = {"status": {"phase": "afloat"}}
        _, told = await api.ask("PATCH", at("v1beta1", "b/status"), body, headers=MERGE)
        assert (told["status"], told["spec"]) == ({"phase": "afloat"}, {"size": 2})
        status, said = await api.ask("PUT", at("v1beta1", "b"), boat("v1beta1") | made_at(made))
        assert (status, said["reason"]) == (409, "Conflict")
        _, seen = await api.ask("GET", at("v1", "b"))
        assert (seen["apiVersion"], seen["spec"]["size"]) == ("example.com/v1", 2)
        _, dry = await api.ask("POST", f"{at('v1beta1')}?dryRun=All", boat("v1beta1", name="d"))
        assert dry["apiVersion"] == "example.com/v1beta1"
        assert (await api.ask("DELETE", at("v1beta1", "b")))[0] == 200
        assert (await api.ask("GET", at("v1", "b")))[0] == 404


def made_at(found: dict) -> dict:
    """The metadata of an update that insists on a version."""
    return {"metadata": {"name": "b", "resourceVersion": found["metadata"]["resourceVersion"]}}


async def test_a_watch_shows_objects_in_the_version_it_asks_for():
    async with declaring(version("v1", storage=True), version("v1beta1")) as api:
        await api.ask("POST", at("v1"), boat("v1"))
        async with (
            watching(api, path=at("v1")) as new,
            watching(api, path=at("v1beta1")) as old,
        ):
            await api.ask("DELETE", at("v1", "b"))
            for events, seen in ((new, "example.com/v1"), (old, "example.com/v1beta1")):
                found = [await events.next() for _ in range(2)]
                assert [event["type"] for event in found] == ["ADDED", "DELETED"]
                assert {event["object"]["apiVersion"] for event in found} == {seen}


async def test_discovery_prefers_the_most_stable_version_and_names_them_all():
    beta = version("v1beta1", storage=True)
    async with declaring(beta, version("v2alpha1"), version("v1")) as api:
        _, group = await api.ask("GET", "/apis/example.com")
        names = [found["version"] for found in group["versions"]]
        assert names == ["v1", "v1beta1", "v2alpha1"]
        assert group["preferredVersion"]["version"] == "v1"
        _, document = await api.ask("GET", "/openapi/v3/apis/example.com/v2alpha1")
        assert "com.example.v2alpha1.Boat" in document["components"]["schemas"]


async def test_a_version_that_is_deprecated_says_so_with_every_answer():
    old = version("v1beta1", deprecated=True)
    older = version("v1alpha1", deprecated=True, deprecationWarning="leave it")
    async with declaring(version("v1", storage=True), old, older) as api:
        said = {}
        for name in ("v1", "v1beta1", "v1alpha1"):
            async with api.http.get(api.url + at(name)) as response:
                said[name] = response.headers.get("Warning")
        assert said == {
            "v1": None,
            "v1beta1": '299 - "example.com/v1beta1 Boat is deprecated"',
            "v1alpha1": '299 - "leave it"',
        }


async def test_objects_outlive_a_move_to_another_version_and_a_restart():
    store = MemoryStore(MemoryServer())
    async with running(store) as api:
        await declare(api, version("v1", storage=True))
        _, made = await api.ask("POST", at("v1"), boat("v1", size=1))
        patch = {"spec": {"versions": [version("v1", served=False), version("v2", storage=True)]}}
        async with watching(api, path=at("v1")) as events:
            assert await events.some(1) == [("ADDED", "b")]
            assert (await api.ask("PATCH", f"{DECLARED}/{NAME}", patch, headers=MERGE))[0] == 200
            assert await events.next() is None
        await establish(api)
        assert (await api.ask("GET", at("v1", "b")))[0] == 404
        _, seen = await api.ask("GET", at("v2", "b"))
        assert seen == made | {"apiVersion": "example.com/v2"}
        _, declared = await api.ask("GET", f"{DECLARED}/{NAME}")
        assert declared["status"]["storedVersions"] == ["v1", "v2"]
    async with running(store) as api:
        assert (await api.ask("GET", at("v2", "b")))[1] == seen


async def test_objects_may_be_kept_in_a_version_that_is_not_served():
    kept = version("v1", storage=True, served=False)
    async with declaring(kept, version("v2")) as api:
        assert (await api.ask("POST", at("v2"), boat("v2", size=1)))[0] == 201
        assert (await api.ask("GET", at("v2", "b")))[1]["spec"] == {"size": 1}
        assert (await api.ask("GET", at("v1", "b")))[0] == 404
        _, group = await api.ask("GET", "/apis/example.com")
        assert [found["version"] for found in group["versions"]] == ["v2"]


async def test_unknown_fields_are_pruned_and_defaults_filled_in_at_every_depth():
    crew = fields(name={"type": "string"}, rank={"type": "string", "default": "mate"})
    spec = fields(
        crew={"type": "array", "items": crew},
        open={"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        port={"x-kubernetes-int-or-string": True},
        note={"type": "string", "nullable": True, "default": "none"},
        flag={"type": "string", "default": "white"},
        mast={"type": "integer"},
        holds={"type": "object", "additionalProperties": {"type": "integer"}},
    )
    async with declaring(version("v1", storage=True, spec=spec)) as api:
        given = {
            "crew": [{"name": "ann", "age": 3}],
            "open": {"any": {"thing": [1]}},
            "port": "http",
            "note": None,
            "flag": None,
            "mast": None,
            "holds": {"aft": 1, "fore": None},
            "unknown": 1,
        }
        async with api.http.post(api.url + at("v1"), json=boat("v1", **given)) as response:
            made = await response.json()
            assert response.headers.getall("Warning") == [
                '299 - "unknown field \\"spec.crew[0].age\\""',
                '299 - "unknown field \\"spec.unknown\\""',
            ]
        assert made["spec"] == {
            "crew": [{"name": "ann", "rank": "mate"}],
            "open": {"any": {"thing": [1]}},
            "port": "http",
            "note": None,
            "flag": "white",
            "holds": {"aft": 1},
        }
        strict = f"{at('v1')}?fieldValidation=Strict"
        status, said = await api.ask("POST", strict, boat("v1", "c", unknown=1))
        assert status == 400
        assert 'unknown field "spec.unknown"' in said["message"]


async def test_an_object_that_is_not_what_its_schema_says_is_refused_with_every_reason():
    spec = fields(
        "size",
        size={"type": "integer", "minimum": 1},
        colour={"type": "string", "enum": ["red", "blue"]},
        port={"x-kubernetes-int-or-string": True},
        note={"type": "string"},
        names={"type": "array", "items": {"type": "string"}},
        tags={"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
    )
    async with declaring(version("v1", storage=True, spec=spec)) as api:
        wrong = {"colour": "green", "port": True, "note": 1, "tags": ["a", "a"], "names": [None]}
        status, said = await api.ask("POST", at("v1"), boat("v1", **wrong))
        assert (status, said["reason"]) == (422, "Invalid")
        causes = {cause["field"]: cause["reason"] for cause in said["details"]["causes"]}
        assert causes == {
            "spec.size": "FieldValueRequired",
            "spec.colour": "FieldValueNotSupported",
            "spec.port": "FieldValueTypeInvalid",
            "spec.note": "FieldValueTypeInvalid",
            "spec.names[0]": "FieldValueTypeInvalid",
            "spec.tags[1]": "FieldValueDuplicate",
        }


async def test_a_definition_whose_defaults_its_own_schema_refuses_is_refused():
    crew = fields(rank={"type": "string", "enum": ["mate"], "default": "cook"})
    spec = fields(
        size={"type": "integer", "default": 0, "minimum": 1},
        crew={"type": "array", "items": crew},
        hold={**fields(cargo={"type": "string"}), "default": {"cargo": "coal", "crane": 1}},
        note={"type": "string", "nullable": True, "default": None},
    )
    async with running() as api:
        body = definition(version("v1", storage=True, spec=spec))
        status, said = await api.ask("POST", DECLARED, body)
        assert (status, said["reason"]) == (422, "Invalid")
        at = "spec.versions[0].schema.openAPIV3Schema.properties[spec].properties"
        assert [cause["field"] for cause in said["details"]["causes"]] == [
            f"{at}[size].default",
            f"{at}[crew].items.properties[rank].default",
            f"{at}[hold].default",
        ]


async def test_rules_that_nobody_evaluates_are_warned_of():
    spec = SIZE | {"x-kubernetes-validations": [{"rule": "self.size > 1"}]}
    async with running() as api:
        body = definition(version("v1", storage=True, spec=spec))
        async with api.http.post(api.url + DECLARED, json=body) as response:
            assert response.status == 201
            assert "does not evaluate CEL rules" in response.headers["Warning"]


async def test_a_custom_kind_says_its_name_itself():
    async with declaring(version("v1", storage=True)) as api:
        body = {"metadata": {"name": "b"}, "spec": {}}
        status, said = await api.ask("POST", at("v1"), body)
        assert (status, said["reason"]) == (400, "BadRequest")
        assert "'Kind' is missing" in said["message"]


async def test_columns_show_what_their_paths_find():
    columns = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Crew", "type": "string", "jsonPath": ".spec.crew[*].name", "priority": 1},
        {"name": "Since", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    async with declaring(version("v1", storage=True, additionalPrinterColumns=columns)) as api:
        await api.ask("POST", at("v1"), boat("v1", size=2, crew=[{"name": "ann"}]))
        _, table = await api.ask("GET", at("v1"), headers=TABLE)
        shown = [(c["name"], c["type"], c["priority"]) for c in table["columnDefinitions"]]
        assert shown == [
            ("Name", "string", 0),
            ("Size", "integer", 0),
            ("Crew", "string", 1),
            ("Since", "date", 0),
        ]
        assert table["rows"][0]["cells"][:3] == ["b", 2, "ann"]
