import json

import pytest

from orchestrator.api import discovery, openapi, routes
from orchestrator.world import Registry
from proto import kinds
from proto.kinds import ALL, MEASURED

SERVED = Registry().served

V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
V2BETA1 = V2.replace("v=v2", "v=v2beta1")


def legacy(*parts):
    answer = discovery.answer(list(parts), "application/json", ALL)
    assert answer is not None
    return answer[0]


def test_a_client_gets_the_first_aggregated_form_it_knows():
    body, content_type = discovery.answer(["apis"], f"{V2},{V2BETA1},application/json", ALL)
    assert content_type == V2
    assert body["apiVersion"] == "apidiscovery.k8s.io/v2"
    assert discovery.answer(["apis"], f"{V2BETA1},application/json", ALL)[1] == V2BETA1


@pytest.mark.parametrize("accept", ["", "*/*", "application/json", "application/json, " + V2])
def test_a_client_that_knows_no_aggregated_form_gets_the_legacy_one(accept):
    body, content_type = discovery.answer(["apis"], accept, ALL)
    assert body["kind"] == "APIGroupList"
    assert content_type == "application/json"


def test_both_forms_name_the_same_resources():
    aggregated = set()
    for root in ("api", "apis"):
        for group in discovery.answer([root], V2, ALL)[0]["items"]:
            for version in group["versions"]:
                for found in version["resources"]:
                    where = (group["metadata"].get("name", ""), version["version"])
                    aggregated.add((*where, found["resource"]))
                    aggregated |= {
                        (*where, f"{found['resource']}/{part['subresource']}")
                        for part in found["subresources"]
                    }
    plain = {("", "v1", found["name"]) for found in legacy("api", "v1")["resources"]}
    for group in legacy("apis")["groups"]:
        for version in group["versions"]:
            resources = legacy("apis", group["name"], version["version"])["resources"]
            plain |= {(group["name"], version["version"], found["name"]) for found in resources}
    assert aggregated == plain
    assert ("apps", "v1", "deployments/scale") in plain


def test_the_core_group_is_not_among_the_named_ones():
    assert "" not in [group["name"] for group in legacy("apis")["groups"]]
    assert [item["metadata"] for item in discovery.answer(["api"], V2, ALL)[0]["items"]] == [{}]


def test_a_drain_finds_evictions():
    parts = {found["name"]: found for found in legacy("api", "v1")["resources"]}
    assert parts["pods/eviction"]["kind"] == "Eviction"
    assert parts["pods/eviction"]["group"] == "policy"


@pytest.mark.parametrize(
    "parts", [["api", "v2"], ["apis", "nope"], ["apis", "apps", "v2"], ["apis", ""], ["x"]]
)
def test_what_is_not_there_is_not_discovered(parts):
    assert discovery.answer(parts, "", ALL) is None


@pytest.mark.parametrize("kind", kinds.ALL, ids=lambda kind: kind.plural)
def test_every_kind_has_a_schema_and_takes_field_validation(kind):
    group_version = f"apis/{kind.api_version}" if kind.group else f"api/{kind.version}"
    document = json.loads(openapi.document(group_version, ALL))
    wanted = {"group": kind.group, "version": kind.version, "kind": kind.name}
    schemas = document["components"]["schemas"].values()
    assert [s for s in schemas if wanted in s.get("x-kubernetes-group-version-kind", ())]
    patches = [
        path["patch"]
        for path in document["paths"].values()
        if "patch" in path and path["patch"]["x-kubernetes-group-version-kind"] == wanted
    ]
    assert {"fieldValidation", "dryRun"} <= {p["name"] for p in patches[0]["parameters"]}


def test_what_is_measured_comes_last_and_can_only_be_read():
    """It shares names with stored kinds: clients take the first of a name."""
    for accept in (V2, ""):
        body, _ = discovery.answer(["apis"], accept, SERVED)
        groups = body["items"] if accept else body["groups"]
        names = [group.get("name") or group["metadata"]["name"] for group in groups]
        assert names[-1] == "metrics.k8s.io"
    found = discovery.answer(["apis", "metrics.k8s.io", "v1beta1"], "", SERVED)[0]["resources"]
    assert [(r["name"], r["kind"], r["namespaced"], r["verbs"]) for r in found] == [
        ("nodes", "NodeMetrics", False, ("get", "list")),
        ("pods", "PodMetrics", True, ("get", "list")),
    ]


def test_documents_offer_no_more_than_the_verbs_of_a_kind():
    document = json.loads(openapi.document("apis/metrics.k8s.io/v1beta1", SERVED))
    methods = {m for path in document["paths"].values() for m in path if m != "parameters"}
    assert methods == {"get"}
    queries = {
        parameter["name"]
        for path in document["paths"].values()
        for parameter in path["get"]["parameters"]
    }
    assert {"labelSelector", "limit"} <= queries
    assert "watch" not in queries
    for kind in MEASURED:
        name = f"io.k8s.metrics.pkg.apis.metrics.v1beta1.{kind.name}"
        assert name in document["components"]["schemas"]


def references(value):
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


@pytest.mark.parametrize("group_version", openapi.group_versions(SERVED))
def test_every_reference_of_a_document_leads_somewhere(group_version):
    document = json.loads(openapi.document(group_version, SERVED))
    schemas = document["components"]["schemas"]
    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas


def test_schemas_are_named_by_the_group_they_belong_to():
    schemas = json.loads(openapi.document("apis/apps/v1", ALL))["components"]["schemas"]
    assert {
        "io.k8s.api.apps.v1.DeploymentSpec",
        "io.k8s.api.core.v1.PodSpec",
        "io.k8s.api.core.v1.Container",
        "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta",
    } <= schemas.keys()


def test_the_index_names_each_document_with_its_hash():
    paths = json.loads(openapi.index(ALL))["paths"]
    assert set(paths) == {f"apis/{kind.api_version}" if kind.group else "api/v1" for kind in ALL}
    assert openapi.etag("api/v1", ALL) in paths["api/v1"]["serverRelativeURL"]


@pytest.mark.parametrize(
    ("path", "plural", "namespace", "name", "part"),
    [
        ("/api/v1/pods", "pods", None, "", ""),
        ("/api/v1/namespaces/d/pods/", "pods", "d", "", ""),
        ("/api/v1/namespaces/d/pods/p/log", "pods", "d", "p", "log"),
        ("/api/v1/namespaces", "namespaces", "", "", ""),
        ("/api/v1/namespaces/d", "namespaces", "", "d", ""),
        ("/api/v1/namespaces/d/status", "namespaces", "", "d", "status"),
        ("/api/v1/namespaces/d/finalize", "namespaces", "", "d", "finalize"),
        ("/apis/apps/v1/namespaces/d/deployments/x/scale", "deployments", "d", "x", "scale"),
        ("/api/v1/nodes/n", "nodes", "", "n", ""),
        ("/apis/metrics.k8s.io/v1beta1/nodes", "nodes", "", "", ""),
        ("/apis/metrics.k8s.io/v1beta1/namespaces/d/pods/p", "pods", "d", "p", ""),
    ],
)
def test_paths_are_understood(path, plural, namespace, name, part):
    found = routes.parse(routes.segments(path), Registry())
    assert (found.kind.plural, found.namespace, found.name, found.subresource) == (
        plural, namespace, name, part,
    )  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [
        "/", "/api", "/api/v1", "/api/v2/pods", "/apis/apps/v1", "/apis/apps/v2/deployments",
        "/api/v1/pods/p", "/api/v1/namespaces//pods", "/api/v1/namespaces/d/nodes/n",
        "/api/v1/namespaces/d/pods/p/nope", "/api/v1/namespaces/d/pods/p/log/more", "/api/v1/whales",
        "/api/v1/namespaces/d/whales", "/api/v1//pods", "/apis//v1/pods",
    ],
)  # fmt: skip
def test_other_paths_are_not(path):
    assert routes.parse(routes.segments(path), Registry()) is None
