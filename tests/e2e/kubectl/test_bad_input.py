"""What kubectl prints when it is asked for the impossible: Kubernetes' words, and its exit codes."""

import json
from typing import Any

import pytest

from tests.e2e.kubectl import needs
from tests.e2e.kubectl.binaries import Kubectl
from tests.e2e.kubectl.test_objects import one as one, server as server  # noqa: PLC0414

pytestmark = needs.KUBECTL

PODS = "/api/v1/namespaces/default/pods"
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p"},
    "spec": {"containers": [{"name": "c", "image": "web:1"}, {"name": "d", "image": "web:1"}]},
}


def named(name: str, **metadata: Any) -> str:
    return json.dumps(POD | {"metadata": {"name": name, **metadata}})


def owner(kind: str, **changed: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "name": kind.lower(), "uid": kind, **changed}


@pytest.fixture
def kubectl(one: Kubectl) -> Kubectl:
    """One that has made a pod."""
    one("create", "-f", "-", given=json.dumps(POD))
    return one


def test_an_impossible_jsonpath_is_kubectls_own_error(kubectl):
    said = kubectl.fails("get", "pod", "p", "-o", "jsonpath={.a[}")
    assert said == "error: error parsing jsonpath {.a[}, unterminated array\n"
    assert kubectl("get", "pod", "p", "-o", "jsonpath={.metadata.nope}") == ""


def test_an_impossible_jsonpath_of_a_column_is_refused_with_its_definition(kubectl):
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object"}},
        "additionalPrinterColumns": [
            {"name": "Fine", "type": "string", "jsonPath": ".spec.a"},
            {"name": "Wrong", "type": "string", "jsonPath": ".spec[a"},
        ],
    }
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [version],
        },
    }
    said = kubectl.fails("create", "-f", "-", given=json.dumps(definition))
    assert said.startswith(
        'The CustomResourceDefinition "things.example.com" is invalid: '
        "spec.versions[0].additionalPrinterColumns[1].jsonPath: "
        'Invalid value: ".spec[a": is no JSONPath: '
    )


def test_a_stale_version_is_a_conflict(kubectl):
    words = (
        'Operation cannot be fulfilled on pods "p": the object has been modified; please apply your '
        "changes to the latest version and try again\n"
    )
    stale = named("p", resourceVersion="1")
    assert kubectl.fails("replace", "-f", "-", given=stale) == (
        f'Error from server (Conflict): error when replacing "STDIN": {words}'
    )
    raw = ("--raw", f"{PODS}/p", "-f", "-")
    assert kubectl.fails("replace", *raw, given=stale) == f"Error from server (Conflict): {words}"


def test_two_controllers_or_a_nameless_owner_are_invalid(kubectl):
    two = [owner("A", controller=True), owner("B"), owner("C", controller=True)]
    said = kubectl.fails("create", "-f", "-", given=named("q", ownerReferences=two))
    assert said.startswith('The Pod "q" is invalid: metadata.ownerReferences: Invalid value: ')
    assert said.endswith(
        "Only one reference can have Controller set to true. "
        'Found "true" in references for A/a and C/c\n'
    )
    nameless = [owner("A", apiVersion="apps/", name="", uid="")]
    said = kubectl.fails("create", "-f", "-", given=named("q", ownerReferences=nameless))
    assert said == (
        'The Pod "q" is invalid: \n'
        '* metadata.ownerReferences.apiVersion: Invalid value: "apps/": version must not be empty\n'
        '* metadata.ownerReferences.name: Invalid value: "": must not be empty\n'
        '* metadata.ownerReferences.uid: Invalid value: "": must not be empty\n'
    )


def test_a_field_that_another_manager_owns_is_a_conflict_that_names_both(kubectl):
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    apply = ("apply", "--server-side", "-f", "-")
    kubectl(*apply, given=json.dumps(settings | {"data": {"a": "1"}}))
    said = kubectl.fails(
        *apply, "--field-manager=other", given=json.dumps(settings | {"data": {"a": "2"}})
    )
    assert said.startswith(
        'error: Apply failed with 1 conflict: conflict with "kubectl": .data.a\n'
    )


@pytest.mark.parametrize(
    ("verb", "path", "body", "said"),
    [
        (
            "create",
            "/api/v1/namespaces/default/configmaps",
            named("q"),
            'Pod in version "v1" cannot be handled as a ConfigMap: expected "v1, Kind=ConfigMap"',
        ),
        (
            "replace",
            f"{PODS}/other",
            named("p"),
            "the name of the object (p) does not match the name on the URL (other)",
        ),
        (
            "create",
            "/api/v1/namespaces/other/pods",
            named("q", namespace="default"),
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
    ],
)
def test_a_body_that_is_not_what_its_url_says_is_a_bad_request(kubectl, verb, path, body, said):
    assert kubectl.fails(verb, "--raw", path, "-f", "-", given=body) == (
        f"Error from server (BadRequest): {said}\n"
    )


@pytest.mark.parametrize(
    "path",
    [
        f"{PODS}/p/nope",
        f"{PODS}/p/scale",
        f"{PODS}/p/log/x",
        "/apis/apps/v1/whales",
        "/apis/no/v1/x",
    ],
)
def test_what_no_path_leads_to_is_not_found(kubectl, path):
    assert kubectl.fails("get", "--raw", path) == (
        "Error from server (NotFound): the server could not find the requested resource\n"
    )


def test_an_unknown_subresource_cannot_be_patched(kubectl):
    said = kubectl.fails("patch", "pod", "p", "--subresource=nope", "-p", "{}")
    assert (
        "the server could not find the requested resource" in said or "invalid subresource" in said
    )


def test_a_wrong_container_is_answered_with_the_list_of_valid_ones(kubectl):
    for part in ("log?container=x", "exec?command=a&stdout=1&container=x"):
        said = kubectl.fails("get", "--raw", f"{PODS}/p/{part}")
        assert "container x is not valid for pod p: valid containers are: c, d" in said
        assert said.startswith("Error from server (BadRequest): ")
