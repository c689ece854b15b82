import pytest

from orchestrator.cli import formats
from orchestrator.cli.refused import Refused
from orchestrator.cli.templates import Template, find

PODS = {
    "apiVersion": "v1",
    "kind": "List",
    "items": [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "a", "labels": {"app.kubernetes.io/name": "web", "x-y": "z"}},
            "spec": {"nodeName": "node-1"},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "b", "managedFields": [{}]},
            "spec": {"nodeName": "node-2"},
        },
    ],
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{.items[*].metadata.name}", "a b"),
        ("{.items[0].metadata.name}", "a"),
        ("{.items[-1].metadata.name}", "b"),
        ("{.items[-1:].metadata.name}", "b"),
        ("{$.items[0].kind}", "Pod"),
        ("{..nodeName}", "node-1 node-2"),
        ("names: {.items[*].metadata.name}!", "names: a b!"),
        (r"{.items[0].metadata.labels.app\.kubernetes\.io/name}", "web"),
        ("{.items[0].metadata.labels['app.kubernetes.io/name']}", "web"),
        ("{.items[0].metadata.labels.x-y}", "z"),
        (
            '{range .items[*]}{.metadata.name}{"\\t"}{.spec.nodeName}{"\\n"}{end}',
            "a\tnode-1\nb\tnode-2\n",
        ),
        ('{.items[?(@.metadata.name=="b")].spec.nodeName}', "node-2"),
        ("{.items[0].spec}", '{"nodeName":"node-1"}'),
        ("{.nothing}", ""),
        ("", ""),
    ],
)
def test_templates_are_filled_in_as_kubectl_does(template: str, text: str) -> None:
    assert Template(template).render(PODS) == text


@pytest.mark.parametrize(
    "template", ["{.items", "{range .items[*]}x", "x{end}", "{.items[}", "{.items[?(}"]
)
def test_a_template_that_is_none_is_told(template: str) -> None:
    with pytest.raises(Refused):
        Template(template).render(PODS)


def test_paths_may_be_written_without_braces_and_dots() -> None:
    assert (
        find("metadata.name", PODS["items"][0])
        == find("{.metadata.name}", PODS["items"][0])
        == ["a"]
    )


def test_objects_are_named_with_their_kind_and_group() -> None:
    web = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}
    assert formats.printer("name")(web) == "deployment.apps/web\n"
    assert formats.printer("name")(PODS) == "pod/a\npod/b\n"


def test_custom_columns_line_up() -> None:
    text = formats.printer("custom-columns=NAME:.metadata.name,LABEL:.metadata.labels.x-y")(PODS)
    assert text == "NAME   LABEL\na      z\nb      <none>\n"


@pytest.mark.parametrize("output", ["jsn", "json=x", "jsonpath", "jsonpath=", "custom-columns="])
def test_a_format_that_there_is_not_is_told_with_those_there_are(output: str) -> None:
    with pytest.raises(Refused, match="unable to match a printer") as told:
        formats.check(output)
    assert "yaml" in told.value.hint


def test_yaml_keeps_text_text_and_writes_lines_as_a_block() -> None:
    assert formats.to_yaml({"a": "yes", "b": "1\n2\n", "c": [1]}) == (
        "a: 'yes'\nb: |\n  1\n  2\nc:\n- 1\n"
    )


def test_who_owns_which_field_is_left_out() -> None:
    plain = formats.without_managed_fields(PODS)
    assert "managedFields" not in plain["items"][1]["metadata"]
    assert "managedFields" in PODS["items"][1]["metadata"]
