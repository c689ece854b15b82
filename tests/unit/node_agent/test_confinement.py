"""What Docker is told of what a container may do, and of its devices."""

import pytest

from node_agent.confining import Confiner, Unfit
from node_agent.core import configs, confinement
from node_agent.core.actions import ContainerConfig
from node_agent.core.configs import Host
from node_agent.core.confinement import Refused
from node_agent.core.contents import Absent, Awaited, Sources
from node_agent.core.devices import Declared, Stock, parse
from node_agent.core.downward import Room
from node_agent.core.naming import DEVICES
from node_agent.core.observed import State
from node_agent.engine.inspection import LOG_LIMITS, created_config
from proto.kinds.resources import ResourceRequirements
from proto.kinds.security import (
    AppArmorProfile,
    Capabilities,
    PodSecurityContext,
    SeccompProfile,
    SecurityContext,
)
from proto.messages import AssignedPod
from tests.unit.node_agent import given

GIB = 1 << 30
NO_UNITS: dict[str, tuple[int, ...]] = {}
RESOURCES = (Declared("example.com/widget", 2, ("/dev/widget{}", "/dev/shared")),)


def a_pod(own: SecurityContext | None = None, pods: PodSecurityContext | None = None, **fields):
    spec = given.spec(security_context=own, **fields.pop("container", {}))
    return given.pod("web", spec, security_context=pods, **fields)


def told(pod: AssignedPod, *, units=None, is_seccomp_default: bool = True) -> dict:
    """The body that Docker gets for the pod's container."""
    host = Host(
        given.NODE,
        room=Room(2000, GIB),
        resources=(*RESOURCES, Declared("nvidia.com/gpu", 4)),
        is_seccomp_default=is_seccomp_default,
    )
    return created_config(made(pod, host, units or {}), {}, LOG_LIMITS)


def made(pod: AssignedPod, host: Host, units=NO_UNITS) -> ContainerConfig:
    """The first attempt at the pod's container."""
    spec, sources = pod.spec.containers[0], Sources(pod, {}, {})
    return configs.container_config(
        host, pod, spec, given.sandbox(), sources, attempt=0, backoff=0, units=units
    )


def test_a_container_that_says_nothing_gets_what_docker_gives():
    body = told(a_pod())
    assert "User" not in body
    host = body["HostConfig"]
    assert (host["SecurityOpt"], host["CapAdd"], host["CapDrop"]) == ([], [], [])
    assert (host["Privileged"], host["ReadonlyRootfs"], host["PidMode"]) == (False, False, "")


def test_a_cluster_may_leave_seccomp_off_as_kubernetes_does_by_default():
    body = told(a_pod(), is_seccomp_default=False)
    assert body["HostConfig"]["SecurityOpt"] == ["seccomp=unconfined"]
    profile = SeccompProfile(type="RuntimeDefault")
    body = told(a_pod(pods=PodSecurityContext(seccomp_profile=profile)), is_seccomp_default=False)
    assert body["HostConfig"]["SecurityOpt"] == []


def test_a_container_gets_the_rights_that_it_asks_for():
    own = SecurityContext(
        privileged=True,
        capabilities=Capabilities(add=("ALL",), drop=("NET_RAW",)),
        app_armor_profile=AppArmorProfile(type="Unconfined"),
    )
    host = told(a_pod(own, host_pid=True, host_ipc=True))["HostConfig"]
    assert (host["Privileged"], host["CapAdd"], host["CapDrop"]) == (True, ["ALL"], ["NET_RAW"])
    assert host["SecurityOpt"] == ["apparmor=unconfined"]
    assert (host["PidMode"], host["IpcMode"]) == ("host", "host")


def test_a_containers_word_counts_before_its_pods():
    pods = PodSecurityContext(run_as_user=1, run_as_group=2, supplemental_groups=(7, 8), fs_group=8)
    body = told(a_pod(SecurityContext(run_as_user=0), pods))
    assert body["User"] == "0:2"
    assert body["HostConfig"]["GroupAdd"] == ["7", "8"]


def test_root_is_no_user_of_a_container_that_must_not_be_root():
    pods = PodSecurityContext(run_as_non_root=True, run_as_user=0)
    with pytest.raises(Absent, match="container's runAsUser breaks non-root policy \\(pod: \"web_"):
        told(a_pod(pods=pods))
    assert told(a_pod(SecurityContext(run_as_user=5), pods))["User"] == "5"


@pytest.mark.parametrize(
    ("image_user", "why"),
    [
        ("", "image will run as root"),
        ("0:5", "image will run as root"),
        ("web", "image has non-numeric user (web), cannot verify user is non-root"),
    ],
)
def test_an_image_that_may_run_as_root_is_refused_where_that_must_not_be(image_user, why):
    found = confinement.Confinement(is_non_root=True)
    with pytest.raises(Refused) as refused:
        confinement.with_image_user(found, image_user, "WHO")
    assert str(refused.value) == f"container has runAsNonRoot and {why} (WHO)"


def test_a_group_alone_goes_with_the_images_own_user():
    found = confinement.Confinement(group=3000)
    assert confinement.with_image_user(found, "web:web", "").user == "web:3000"
    assert confinement.with_image_user(found, "", "").user == "0:3000"
    own = confinement.Confinement(is_non_root=True)
    assert confinement.with_image_user(own, "1000:5", "") == own


@pytest.mark.parametrize(
    ("requests", "limits", "score"),
    [
        ({}, {}, 1000),
        ({"cpu": "1"}, {}, 999),
        ({"memory": "512Mi"}, {}, 500),
        ({"memory": "2Gi"}, {}, 3),
        ({}, {"cpu": "1", "memory": "1Mi"}, -997),
    ],
)
def test_who_asked_for_more_of_the_memory_is_killed_later(requests, limits, score):
    asked = ResourceRequirements(requests=requests, limits=limits)
    body = told(a_pod(container={"resources": asked}))
    assert body["HostConfig"]["OomScoreAdj"] == score


async def test_a_profile_that_is_not_in_the_folder_stops_the_container(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "good.json").write_text("{}")
    (tmp_path / "out.json").write_text("{}")
    (tmp_path / "in" / "link.json").symlink_to(tmp_path / "out.json")
    confiner = Confiner(None, tmp_path / "in")  # an engine is asked for nothing here

    def config(name: str):
        profile = SeccompProfile(type="Localhost", localhost_profile=name)
        pod = a_pod(SecurityContext(seccomp_profile=profile))
        return made(pod, Host(given.NODE))

    found = await confiner.resolved(config("good.json"))
    assert created_config(found, {}, LOG_LIMITS)["HostConfig"]["SecurityOpt"] == ["seccomp={}"]
    for name, why in (("none.json", "No such file"), ("link.json", "not within the folder")):
        with pytest.raises(Unfit, match=f'cannot load seccomp profile ".*/{name}": .*{why}'):
            await confiner.resolved(config(name))


# ------------------------------------------------------------------ devices


def asking(count: int, name: str = "example.com/widget"):
    return given.spec(resources=ResourceRequirements(limits={name: str(count), "cpu": "1"}))


def test_units_are_devices_by_their_paths_and_gpus_by_their_numbers():
    body = told(a_pod(), units={"example.com/widget": (1,), "nvidia.com/gpu": (0, 3)})
    host = body["HostConfig"]
    assert [(d["PathOnHost"], d["PathInContainer"]) for d in host["Devices"]] == [
        ("/dev/widget1", "/dev/widget1"),
        ("/dev/shared", "/dev/shared"),
    ]
    assert host["DeviceRequests"] == [
        {"Driver": "nvidia", "DeviceIDs": ["0", "3"], "Capabilities": [["gpu"]]}
    ]
    assert body["Labels"][DEVICES] == "example.com/widget=1;nvidia.com/gpu=0,3"


def test_a_unit_is_given_once_until_its_container_has_ended():
    running = given.container(devices="example.com/widget=0")
    stock = Stock(RESOURCES, [running], [])
    assert stock.take(asking(1)) == {"example.com/widget": (1,)}
    with pytest.raises(Awaited):
        stock.take(asking(1))
    ended = given.container(devices="example.com/widget=0", state=State.EXITED)
    assert Stock(RESOURCES, [ended], []).take(asking(2)) == {"example.com/widget": (0, 1)}


def test_nobody_gets_a_unit_while_another_pod_is_being_given_some():
    busy = given.pod("other", asking(1))
    with pytest.raises(Awaited):
        Stock(RESOURCES, [], [busy]).take(asking(1))
    assert Stock(RESOURCES, [], [busy]).take(given.spec()) == {}


def test_a_node_without_a_resource_says_so():
    with pytest.raises(Absent, match=r"Insufficient a.b/c: this node has none"):
        Stock(RESOURCES, [], []).take(asking(1, "a.b/c"))


@pytest.mark.parametrize(
    ("declared", "wrong"),
    [
        ({"widget": "1"}, "needs a name such as"),
        ({"a.b/c": "many"}, "is not COUNT"),
        ({"a.b/c": "99999"}, "at most 10000"),
        ({"a.b/c": "1:dev"}, "is not COUNT"),
    ],
)
def test_what_is_no_resource_is_refused_when_the_agent_starts(declared, wrong):
    with pytest.raises(ValueError, match=wrong):
        parse(declared)
