"""Volumes and contents: what is planned for them, and what containers get of them."""

import pytest
from msgspec.structs import replace

from node_agent.core import mounting, naming
from node_agent.core.actions import CreateContainer, CreateSandbox, render
from node_agent.core.contents import Absent, Held, SourceKey, Sources
from node_agent.core.downward import Room, amount
from node_agent.core.env import Surroundings, environment
from node_agent.core.observed import Failure, Observed, State, Volumes
from node_agent.core.volume_actions import FilesConfig, Mount, PrepareVolumes, TmpfsConfig
from proto.kinds.container import Container, EnvVar, EnvVarSource, ResourceRequirements
from proto.kinds.references import Reference, referenced
from proto.kinds.source import (
    ConfigMapEnvSource,
    ConfigMapKeySelector,
    EnvFromSource,
    ObjectFieldSelector,
    ResourceFieldSelector,
    SecretEnvSource,
    SecretKeySelector,
)
from proto.kinds.volume import (
    ConfigMapProjection,
    ConfigMapVolumeSource,
    DownwardAPIProjection,
    DownwardAPIVolumeFile,
    EmptyDirVolumeSource,
    HostPathVolumeSource,
    KeyToPath,
    ProjectedVolumeSource,
    SecretProjection,
    SecretVolumeSource,
    Volume,
    VolumeMount,
    VolumeProjection,
)
from proto.messages import (
    AssignedPod,
    AssignedSource,
    Content,
)
from tests.unit.node_agent.given import (
    HOST,
    NOW_MS,
    container,
    key,
    observed,
    planned,
    pod,
    sandbox,
    spec,
)

SETTINGS = SourceKey("ConfigMap", "default", "settings")
KEYS = SourceKey("Secret", "default", "keys")
ROOM = Volume(name="room", empty_dir=EmptyDirVolumeSource())
CACHE = Volume(name="cache", empty_dir=EmptyDirVolumeSource(medium="Memory", size_limit="1Mi"))
FILES = Volume(name="files", config_map=ConfigMapVolumeSource(name="settings"))
HIDDEN = Volume(name="hidden", secret=SecretVolumeSource(secret_name="keys"))


def a_pod(
    *volumes: Volume, settings: str = "5", keys: str = "6", of: Container | None = None, **fields
) -> AssignedPod:
    """A pod that knows of both objects in these versions."""
    mounts = tuple(VolumeMount(name=v.name, mount_path=f"/{v.name}") for v in volumes)
    made = pod("web", of or spec(volume_mounts=mounts), volumes=volumes, **fields)
    sources = (
        AssignedSource(kind="ConfigMap", name="settings", version=settings),
        AssignedSource(kind="Secret", name="keys", version=keys),
    )
    return replace(made, sources=sources)


def held(version: str = "5", **text: str) -> Held:
    return Held(Content(text=text or {"level": "low"}), version, version)


def secret(version: str = "6", **data: bytes) -> Held:
    return Held(Content(data=data or {"password": b"hush"}), version, version)


def seen(*found, volumes: dict[str, str] | None = None, **fields: object) -> Observed:
    """A node that holds both contents, and perhaps volumes of the pod with their marks."""
    contents = fields.pop("contents", {SETTINGS: held(), KEYS: secret()})
    there = {} if volumes is None else {key(): Volumes(volumes)}
    return replace(observed(*found, **fields), volumes=there, contents=contents)


def steps(assigned: AssignedPod, at: Observed) -> str:
    return render(planned([assigned], at))


def prepared(assigned: AssignedPod, at: Observed) -> PrepareVolumes:
    (found,) = [a for a in planned([assigned], at).actions if isinstance(a, PrepareVolumes)]
    return found


def marks(assigned: AssignedPod, at: Observed | None = None) -> dict[str, str]:
    """Of its volumes, once they are as they should be."""
    action = prepared(assigned, at or seen())
    return {v.name: v.mark if isinstance(v, FilesConfig) else "" for v in action.volumes}


# ------------------------------------------------------------------- the road


def test_volumes_come_first_and_go_last():
    both = a_pod(ROOM, FILES)
    assert steps(both, seen()) == "prepare web's volumes room files: assigned"
    ready = marks(both)
    holder = "create sandbox longshore_POD_web_default_uid-web: assigned"
    assert steps(both, seen(volumes=ready)) == holder
    assert steps(both, seen(sandbox(), volumes=ready)).startswith("create longshore_c_web")
    leaving = replace(both, delete_grace_s=0)
    ended = container(state=State.EXITED)
    assert "volumes" not in steps(leaving, seen(sandbox(), ended, volumes=ready))
    assert "volumes" not in steps(leaving, seen(sandbox(), volumes=ready))
    assert steps(leaving, seen(volumes=ready)) == "remove web's volumes: deleted"
    assert steps(leaving, seen(volumes={})) == "remove web's volumes: deleted"
    assert steps(leaving, seen()) == ""


def test_volumes_of_pods_that_are_not_assigned_are_removed():
    at = replace(seen(volumes={"room": ""}), contents={})
    assert render(planned([], at)) == "remove web's volumes: not assigned"


def test_a_pod_without_volumes_has_no_step_more():
    assert steps(pod(), seen(contents={})).startswith("create sandbox")


def test_only_what_is_missing_is_made():
    both = a_pod(ROOM, FILES)
    at = seen(volumes={"room": ""})
    assert steps(both, at) == "prepare web's volumes files: assigned"


def test_room_in_memory_is_held_by_a_sandbox_of_the_pods_own():
    assigned = a_pod(CACHE)
    (made,) = prepared(assigned, seen()).volumes
    name = naming.volume_name("uid-web", "cache")
    assert isinstance(made, TmpfsConfig)
    assert (made.engine_name, made.size_bytes) == (name, 1 << 20)
    stock = sandbox(None, name="longshore_pool_node-1_0")
    (action,) = planned([assigned], seen(stock, volumes={"cache": ""})).actions
    assert isinstance(action, CreateSandbox)
    assert action.config.tmpfs == (name,)
    mounted = mounts(assigned, seen(sandbox(), volumes={"cache": ""}))
    assert mounted == (Mount(name="cache", target="/cache", tmpfs=name),)


def mounts(assigned: AssignedPod, at: Observed) -> tuple[Mount, ...]:
    (action,) = [a for a in planned([assigned], at).actions if isinstance(a, CreateContainer)]
    return action.config.mounts


def test_what_containers_see_of_each_volume():
    host = Volume(name="host", host_path=HostPathVolumeSource(path="/srv", type=""))
    wanted = (
        VolumeMount(name="room", mount_path="/a", sub_path="part", read_only=True),
        VolumeMount(name="files", mount_path="b"),
        VolumeMount(name="hidden", mount_path="/c", sub_path="password"),
        VolumeMount(name="host", mount_path="/d", sub_path_expr="logs/$(POD)"),
    )
    name = EnvVarSource(field_ref=ObjectFieldSelector(field_path="metadata.name"))
    of = spec(volume_mounts=wanted, env=(EnvVar(name="POD", value_from=name),))
    assigned = a_pod(ROOM, FILES, HIDDEN, host, of=of)
    disk, secrets = HOST.places.disk, HOST.places.secrets
    at = seen(sandbox(), volumes=marks(assigned))
    a, b, c, d = mounts(assigned, at)
    assert (a.source, a.sub_path, a.is_read_only) == (f"{disk}/uid-web/rooms/room", "part", True)
    assert (b.source, b.target, b.is_read_only) == (f"{disk}/uid-web/files/files", "/b", True)
    assert (c.source, c.sub_path) == (f"{secrets}/uid-web/files/hidden", "password")
    assert (d.source, d.sub_path, d.is_read_only) == ("/srv", "logs/web", False)


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("$(NO)", 'missing value for "NO"'),
        ("$(UP)/x", "unable to provision SubPath `../x`: must not contain '..'"),
        ("$(ROOT)", "error SubPath `/` must not be an absolute path"),
    ],
)
def test_a_container_waits_for_a_path_that_makes_sense(expression: str, says: str):
    wanted = (VolumeMount(name="room", mount_path="/a", sub_path_expr=expression),)
    of = spec(
        volume_mounts=wanted, env=(EnvVar(name="UP", value=".."), EnvVar(name="ROOT", value="/"))
    )
    (wait,) = planned([a_pod(ROOM, of=of)], seen(sandbox(), volumes={"room": ""})).waits
    assert (wait.reason, wait.message) == ("CreateContainerConfigError", says)


# ------------------------------------------------------------------- contents


def test_contents_are_asked_for_when_they_are_needed_and_when_they_change():
    assigned = a_pod(FILES)
    lines = steps(assigned, seen(contents={})).splitlines()
    assert lines == [
        "fetch configmap default/settings: a pod needs it",
        "fetch secret default/keys: a pod needs it",
    ]
    changed = a_pod(FILES, settings="9")
    assert "fetch configmap default/settings: it changed" in steps(changed, seen())
    newer = {SETTINGS: Held(Content(), "10", "9"), KEYS: secret()}
    assert "fetch" not in steps(changed, seen(contents=newer)), "an answer may be of a newer one"


def test_nothing_is_asked_for_twice_at_once_nor_at_once_after_a_failure():
    assigned = a_pod(FILES)
    busy = seen(contents={KEYS: secret()}, fetching=frozenset({SETTINGS}))
    assert steps(assigned, busy) == ""
    failed = seen(
        contents={KEYS: secret()},
        unfetched={SETTINGS: Failure("", "nobody answers", 1, NOW_MS - 100)},
    )
    plan = planned([assigned], failed)
    assert plan.wake_at_ms == NOW_MS + 400
    text = 'files: configmap "settings" cannot be had: nobody answers'
    assert render(plan) == f"tell of web's volumes: {text}"


def test_contents_that_no_pod_uses_are_dropped():
    assert render(planned([], seen())).splitlines() == [
        "drop configmap default/settings: no pod uses it",
        "drop secret default/keys: no pod uses it",
    ]
    gone = a_pod(ROOM, keys="")
    assert "drop secret default/keys" in steps(gone, seen(volumes={"room": ""}))


def test_an_older_version_serves_while_the_control_plane_is_away():
    of = spec(env_from=(EnvFromSource(config_map_ref=ConfigMapEnvSource(name="settings")),))
    newer = a_pod(settings="9", of=of)
    assert "create longshore" not in steps(newer, seen(sandbox()))
    away = seen(sandbox(), unfetched={SETTINGS: Failure("", "", 1, NOW_MS)})
    assert "create longshore_c_web_default_uid-web_0: assigned" in steps(newer, away)


def test_what_is_not_there_is_told_and_the_pod_goes_on_once_it_is():
    without = a_pod(HIDDEN, keys="")
    at = seen(contents={SETTINGS: held()})
    said = 'tell of web\'s volumes: hidden: secret "keys" not found'
    assert steps(without, at) == said
    failure = Failure("", 'hidden: secret "keys" not found', 1, NOW_MS)
    told = replace(at, memory=replace(at.memory, failures={("uid-web", mounting.MISSING): failure}))
    assert planned([without], told).actions == ()
    later = planned([without], told, now_ms=NOW_MS + 1000)
    assert render(later) == said, "it is told again, at longer and longer intervals"
    there = replace(told, contents=seen().contents)
    assert steps(a_pod(HIDDEN), there) == "prepare web's volumes hidden: assigned"


def test_optional_sources_may_be_absent_and_items_must_be_there_unless_they_are():
    one = KeyToPath(key="more", path="a/b")
    volume = Volume(name="v", config_map=ConfigMapVolumeSource(name="settings", items=(one,)))
    text = "configmap references non-existent config key: more"
    assert steps(a_pod(volume), seen()) == f"tell of web's volumes: v: {text}"
    optional = replace(volume, config_map=replace(volume.config_map, optional=True))
    for at, assigned in ((seen(), a_pod(optional)), (seen(), a_pod(optional, settings=""))):
        (made,) = prepared(assigned, at).volumes
        assert isinstance(made, FilesConfig)
        assert made.files == ()


def test_files_follow_what_they_are_made_of_and_stay_when_it_goes():
    assigned = a_pod(FILES)
    runs = (sandbox(), container(of=assigned.spec.containers[0]))
    ready = marks(assigned)
    assert steps(assigned, seen(*runs, volumes=ready)) == ""
    newer = {SETTINGS: held("9", level="high"), KEYS: secret()}
    changed = seen(*runs, volumes=ready, contents=newer)
    assert steps(a_pod(FILES, settings="9"), changed) == "prepare web's volumes files: changed"
    (made,) = prepared(a_pod(FILES, settings="9"), changed).volumes
    assert [(f.path, f.data, f.mode) for f in made.files] == [("level", b"high", 0o644)]
    gone = seen(*runs, volumes=ready, contents={KEYS: secret()})
    assert steps(a_pod(FILES, settings=""), gone) == ""


def test_labels_in_files_follow_the_pod():
    item = DownwardAPIVolumeFile(
        path="labels", field_ref=ObjectFieldSelector(field_path="metadata.labels"), mode=0o400
    )
    volume = Volume(
        name="v",
        projected=ProjectedVolumeSource(
            sources=(
                VolumeProjection(downward_api=DownwardAPIProjection(items=(item,))),
                VolumeProjection(config_map=ConfigMapProjection(name="settings")),
                VolumeProjection(secret=SecretProjection(name="keys")),
            ),
            default_mode=0o440,
        ),
    )
    assigned = replace(a_pod(volume), labels={"b": 'x"y', "a": "1"})
    (made,) = prepared(assigned, seen()).volumes
    assert made.is_secret, "one secret among the sources makes it one"
    assert [(f.path, f.data, f.mode) for f in made.files] == [
        ("labels", b'a="1"\nb="x\\"y"', 0o400),
        ("level", b"low", 0o440),
        ("password", b"hush", 0o440),
    ]
    relabelled = replace(assigned, labels={"a": "2"})
    assert prepared(relabelled, seen(volumes={"v": made.mark})).cause == "changed"


def test_secrets_are_in_no_plan_that_is_shown():
    assigned = a_pod(HIDDEN)
    action = prepared(assigned, seen())
    for shown in (repr(action), render(planned([assigned], seen())), action.volumes[0].mark):
        assert "hush" not in shown
    assert action.volumes[0].mark == marks(assigned, seen(contents={**seen().contents}))["hidden"]
    other = {SETTINGS: held(), KEYS: secret(password=b"else")}
    assert marks(assigned, seen(contents=other)) == marks(assigned), "marks are of versions alone"


# ------------------------------------------------------------------ variables


def variables(container_: Container, **versions: str) -> dict[str, str]:
    assigned = a_pod(of=container_, **versions)
    at = seen(
        contents={
            SETTINGS: Held(Content(text={"b": "2", "a": "1"}, data={"x": b"\0"}), "5", "5"),
            KEYS: secret(),
        }
    )
    sources = Sources(assigned, at.contents, {})
    around = Surroundings("10.1.0.2", "10.0.0.1", Room(4000, 1 << 30))
    found = environment(assigned, container_, sources, around)
    return {name: value for name, value in found.items() if name != "HOSTNAME"}


def from_key(kind: str, name: str, key: str, *, optional: bool | None = None) -> EnvVarSource:
    if kind == "ConfigMap":
        of = ConfigMapKeySelector(name=name, key=key, optional=optional)
        return EnvVarSource(config_map_key_ref=of)
    return EnvVarSource(secret_key_ref=SecretKeySelector(name=name, key=key, optional=optional))


def test_variables_come_by_the_dozen_and_one_by_one():
    many = (
        EnvFromSource(prefix="S_", config_map_ref=ConfigMapEnvSource(name="settings")),
        EnvFromSource(secret_ref=SecretEnvSource(name="keys")),
    )
    one = (
        EnvVar(name="S_b", value="own"),
        EnvVar(name="P", value_from=from_key("Secret", "keys", "password")),
        EnvVar(name="Q", value="$(P) $(S_a)"),
    )
    assert variables(spec(env_from=many, env=one)) == {
        "S_a": "1",
        "S_b": "own",
        "password": "hush",
        "P": "hush",
        "Q": "hush $(S_a)",
    }


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (from_key("ConfigMap", "none", "a"), 'configmap "none" not found'),
        (from_key("Secret", "none", "a"), 'secret "none" not found'),
        (
            from_key("ConfigMap", "settings", "z"),
            "couldn't find key z in ConfigMap default/settings",
        ),
        (
            from_key("ConfigMap", "settings", "x"),
            "couldn't find key x in ConfigMap default/settings",
        ),
        (from_key("Secret", "keys", "z"), "couldn't find key z in Secret default/keys"),
    ],
)
def test_a_variable_that_has_no_value_is_an_error_unless_it_is_optional(source, says):
    with pytest.raises(Absent) as caught:
        variables(spec(env=(EnvVar(name="A", value_from=source),)))
    assert str(caught.value) == says
    ref = source.config_map_key_ref or source.secret_key_ref
    optional = from_key(
        "ConfigMap" if source.config_map_key_ref else "Secret", ref.name, ref.key, optional=True
    )
    assert variables(spec(env=(EnvVar(name="A", value_from=optional),))) == {}


@pytest.mark.parametrize(
    ("resource", "divisor", "limits", "requests", "told"),
    [
        ("limits.cpu", "", {"cpu": "1500m"}, {}, "2"),
        ("limits.cpu", "1m", {"cpu": "1500m"}, {}, "1500"),
        ("limits.cpu", "0", {}, {}, "4"),
        ("limits.memory", "1Mi", {"memory": "100M"}, {}, "96"),
        ("limits.memory", "", {}, {}, str(1 << 30)),
        ("requests.cpu", "1m", {}, {"cpu": "0.1"}, "100"),
        ("requests.memory", "", {}, {}, "0"),
    ],
)
def test_amounts_are_told_in_multiples_rounded_up(resource, divisor, limits, requests, told):
    of = spec(resources=ResourceRequirements(limits=limits, requests=requests))
    selector = ResourceFieldSelector(resource=resource, divisor=divisor)
    room = Room(4000, 1 << 30)
    assert amount(pod("web", of), of, selector, room) == told
    named = replace(selector, container_name="c")
    assert amount(pod("web", of), None, named, room) == told


def test_everything_that_a_pod_refers_to_is_found():
    first = spec("first", env=(EnvVar(name="A", value_from=from_key("Secret", "a", "k")),))
    own = spec(
        env=(EnvVar(name="B", value_from=from_key("ConfigMap", "b", "k")),),
        env_from=(
            EnvFromSource(secret_ref=SecretEnvSource(name="c")),
            EnvFromSource(config_map_ref=ConfigMapEnvSource(name="d")),
        ),
    )
    projected = ProjectedVolumeSource(
        sources=(
            VolumeProjection(config_map=ConfigMapProjection(name="e")),
            VolumeProjection(secret=SecretProjection(name="f")),
        )
    )
    volumes = (FILES, HIDDEN, ROOM, Volume(name="p", projected=projected))
    found = replace(pod("web", own, volumes=volumes).spec, init_containers=(first,))
    assert referenced(found) == tuple(
        Reference(kind, name)
        for kind, names in (("ConfigMap", ["b", "d", "e", "settings"]), ("Secret", "acf"))
        for name in (*names, *(["keys"] if kind == "Secret" else []))
    )
