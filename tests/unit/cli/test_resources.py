import pytest

from orchestrator.cli.refused import Refused
from orchestrator.cli.resources import Selection, Types, joined, parse_discovery, select


def group(name: str, *versions: dict) -> dict:
    return {"metadata": {"name": name} if name else {}, "versions": list(versions)}


def resource(
    plural: str, kind: str, group: str = "", *short: str, categories=(), scope="Namespaced"
):
    return {
        "resource": plural,
        "singularResource": kind.lower(),
        "responseKind": {"group": group, "version": "v1", "kind": kind},
        "scope": scope,
        "verbs": ["get", "list"],
        "shortNames": list(short),
        "categories": list(categories),
        "subresources": [{"subresource": "status"}],
    }


@pytest.fixture
def types() -> Types:
    core = {
        "items": [
            group(
                "",
                {
                    "version": "v1",
                    "resources": [
                        resource("pods", "Pod", "", "po", categories=["all"]),
                        resource("nodes", "Node", "", "no", scope="Cluster"),
                        resource("events", "Event", "", "ev"),
                    ],
                },
            )
        ]
    }
    deployments = resource("deployments", "Deployment", "apps", "deploy", categories=["all"])
    scalers = resource("horizontalpodautoscalers", "HorizontalPodAutoscaler", "autoscaling", "hpa")
    named = {
        "items": [
            group("apps", {"version": "v1", "resources": [deployments]}),
            group("events.k8s.io", {"version": "v1", "resources": [resource("events", "Event")]}),
            group(
                "autoscaling",
                {"version": "v2", "resources": [scalers]},
                {"version": "v1", "resources": [scalers]},
            ),
        ]
    }
    return parse_discovery(core, named)


@pytest.mark.parametrize("word", ["pods", "pod", "po", "Pod", "PODS", "pods.v1", "pod."])
def test_a_kind_is_found_by_each_of_its_names(types: Types, word: str) -> None:
    assert types.named(word).plural == "pods"


@pytest.mark.parametrize(
    "word", ["deploy", "deployments.apps", "deployments.v1.apps", "Deployment"]
)
def test_a_kind_of_a_group_may_be_called_with_the_group(types: Types, word: str) -> None:
    assert types.named(word).path("n", "web", "scale") == (
        "/apis/apps/v1/namespaces/n/deployments/web/scale"
    )


def test_the_core_kind_is_meant_where_two_groups_have_the_name(types: Types) -> None:
    assert types.named("events").group == ""
    assert types.named("events.events.k8s.io").group == "events.k8s.io"


def test_a_cluster_wide_kind_has_no_namespace_in_its_path(types: Types) -> None:
    assert types.named("no").path("ignored", "node-1") == "/api/v1/nodes/node-1"


def test_the_preferred_version_is_meant_but_manifests_may_use_others(types: Types) -> None:
    assert types.named("hpa").version == "v2"
    assert types.of_kind("autoscaling/v1", "HorizontalPodAutoscaler").version == "v1"
    assert sum(type.kind == "HorizontalPodAutoscaler" for type in types) == 1


def test_an_unknown_kind_is_told_with_what_comes_close(types: Types) -> None:
    with pytest.raises(
        Refused, match='the server doesn\'t have a resource type "deploymnt"'
    ) as told:
        types.named("deploymnt")
    assert "deployment" in told.value.hint
    assert "api-resources" in told.value.hint


def test_a_kind_in_the_wrong_version_is_told_with_the_right_one(types: Types) -> None:
    with pytest.raises(Refused, match='no matches for kind "Deployment"') as told:
        types.of_kind("extensions/v1beta1", "Deployment")
    assert told.value.hint == "use apiVersion: apps/v1"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["pods"], [("pods", ())]),
        (["pod", "a", "b"], [("pods", ("a", "b"))]),
        (["po,deploy"], [("pods", ()), ("deployments", ())]),
        (["po,no", "x"], [("pods", ("x",)), ("nodes", ("x",))]),
        (["po/a", "pod/b", "deploy/c"], [("pods", ("a", "b")), ("deployments", ("c",))]),
        (["all"], [("pods", ()), ("deployments", ())]),
    ],
)
def test_words_select_objects_as_they_do_for_kubectl(types: Types, words, found) -> None:
    selections = select(words, types)
    assert [(one.type.plural, one.names) for one in selections] == found
    assert all(isinstance(one, Selection) for one in selections)


def test_neighbours_in_different_namespaces_stay_apart(types: Types) -> None:
    pods = types.named("pods")
    one, two, three = (Selection(pods, (name,), space) for name, space in ("am", "bm", "cn"))
    assert joined([one, two, three]) == [Selection(pods, ("a", "b"), "m"), three]


@pytest.mark.parametrize("words", [["po/a", "b"], ["pods", "po/a"], ["po/"], ["/a"], ["po/a/b"]])
def test_a_slash_in_one_word_wants_one_in_each(types: Types, words) -> None:
    with pytest.raises(Refused, match="is not TYPE/NAME"):
        select(words, types)


def test_all_takes_no_names(types: Types) -> None:
    with pytest.raises(Refused, match="takes no names"):
        select(["all", "web"], types)
