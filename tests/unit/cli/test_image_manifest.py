"""What `longshore deploy IMAGE` applies, over a real API's record of who owns which field."""

import pytest

from orchestrator.cli.extraction import owned
from orchestrator.cli.image_manifest import ImageOptions, manifest, name_of
from orchestrator.cli.refused import Refused
from tests.unit.api.server import running

WEB = "/apis/apps/v1/namespaces/default/deployments/web"
KIND = {"Content-Type": "application/apply-patch+yaml"}


async def applied(api, body, manager="longshore"):
    path = f"{WEB}?fieldManager={manager}&force=true"
    code, found = await api.ask("PATCH", path, body, headers=KIND)
    assert code in (200, 201), found
    return found


def container(found, index=0):
    return found["spec"]["template"]["spec"]["containers"][index]


async def test_a_second_image_keeps_what_the_first_deploy_said():
    async with running() as api:
        first = ImageOptions(
            image="web:1", replicas=3, port=80, env=("A=1", "B=2"), command=("serve",)
        )
        live = await applied(api, manifest(first, None, "longshore"))
        assert live["spec"]["selector"] == {"matchLabels": {"app": "web"}}
        second = ImageOptions(image="web:2", env=("B=3",))
        live = await applied(api, manifest(second, live, "longshore"))
        assert live["spec"]["replicas"] == 3
        assert container(live)["image"] == "web:2"
        assert container(live)["command"] == ["serve"]
        assert container(live)["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
        assert container(live)["env"] == [
            {"name": "A", "value": "1"},
            {"name": "B", "value": "3"},
        ]


async def test_what_others_own_is_left_to_them():
    async with running() as api:
        theirs = manifest(ImageOptions(image="web:1", replicas=5), None, "other")
        live = await applied(api, theirs, "other")
        mine = manifest(ImageOptions(image="web:2"), live, "longshore")
        assert mine["spec"] == {
            "template": {"spec": {"containers": [{"name": "web", "image": "web:2"}]}}
        }
        live = await applied(api, mine)
        assert (live["spec"]["replicas"], container(live)["image"]) == (5, "web:2")
        assert owned(live, "longshore")["spec"] == mine["spec"]
        assert "replicas" in owned(live, "other")["spec"]


async def test_the_only_container_is_meant_whatever_its_name():
    async with running() as api:
        body = manifest(ImageOptions(image="web:1"), None, "other")
        container(body)["name"] = "main"
        live = await applied(api, body, "other")
        mine = manifest(ImageOptions(image="web:2"), live, "longshore")
        assert container(mine) == {"name": "main", "image": "web:2"}


def test_of_several_containers_none_is_guessed():
    containers = [{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}]
    live = {"metadata": {}, "spec": {"template": {"spec": {"containers": containers}}}}
    with pytest.raises(Refused, match="several containers: a, b") as refused:
        manifest(ImageOptions(image="web:2"), live, "longshore")
    assert refused.value.hint == "longshore set image deploy/web a=IMAGE"


def test_owned_values_of_sets_and_whole_maps_are_kept():
    found = {
        "metadata": {
            "finalizers": ["a", "b"],
            "managedFields": [
                {
                    "manager": "longshore",
                    "operation": "Apply",
                    "fieldsV1": {
                        "f:metadata": {"f:finalizers": {'v:"a"': {}}},
                        "f:spec": {"f:selector": {}},
                    },
                }
            ],
        },
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "replicas": 3},
    }
    assert owned(found, "longshore") == {
        "metadata": {"finalizers": ["a"]},
        "spec": {"selector": {"matchLabels": {"app": "web"}}},
    }
    assert owned(found, "other") == {}


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("web", "web"),
        ("web:1.2", "web"),
        ("registry.local:5000/shop/Web_Front:2", "web-front"),
        ("registry.local:5000/web@sha256:" + "0" * 64, "web"),
        ("x/" + "a" * 80, "a" * 63),
    ],
)
def test_a_name_is_made_from_the_image(image, name):
    assert name_of(image) == name


@pytest.mark.parametrize("image", ["", "___", "registry/:1"])
def test_where_no_name_can_be_made_one_is_asked_for(image):
    with pytest.raises(Refused) as refused:
        name_of(image)
    assert "--name" in refused.value.hint


def test_a_variable_without_a_value_is_refused():
    with pytest.raises(Refused, match="NAME=VALUE"):
        manifest(ImageOptions(image="web:1", env=("A",)), None, "longshore")
