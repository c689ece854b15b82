"""Images: who may have them, when they are asked for, and what is said of it."""

import asyncio
import base64
import json

import pytest
from msgspec.structs import replace

from node_agent.core import credentials
from node_agent.core.actions import PullImage, render
from node_agent.core.contents import Held, SourceKey
from node_agent.core.credentials import matching, of_secret, parse
from node_agent.core.images import invalid, pullable
from node_agent.core.observed import Credential, Failure, Observed, Pull, PullKey, by_pod
from node_agent.core.status import pod_status
from node_agent.engine import EngineFailure
from node_agent.engine.pulling import Layers
from proto.errors import NotFound
from proto.kinds.references import Reference, referenced
from proto.kinds.source import LocalObjectReference
from proto.messages import AssignedPod, AssignedSource, Content
from tests.unit.node_agent.given import (
    IMAGE,
    NOW_MS,
    container,
    key,
    observed,
    planned,
    pod as given_pod,
    sandbox,
    spec,
)
from tests.unit.node_agent.node import pod, state_reason
from tests.unit.node_agent.test_loop import a_node, on_virtual_time

JOE = Credential("joe", "hush")
ANN = Credential("ann", "sssh")


def config(**auths: Credential) -> bytes:
    """As ``docker login`` writes it."""
    entries = {
        name: {"auth": base64.b64encode(f"{c.username}:{c.password}".encode()).decode()}
        for name, c in auths.items()
    }
    return json.dumps({"auths": entries, "credsStore": "none"}).encode()


def with_secret(name: str, secret: str = "keys", image: str = IMAGE) -> AssignedPod:
    found = given_pod(
        name,
        spec(image=image),
        image_pull_secrets=(LocalObjectReference(name=secret),),
    )
    source = AssignedSource(kind="Secret", name=secret, version="1")
    return replace(found, sources=(source,))


def knowing(seen: Observed, **secrets: bytes) -> Observed:
    contents = {
        SourceKey("Secret", "default", name): Held(
            Content(data={".dockerconfigjson": text}), "1", "1"
        )
        for name, text in secrets.items()
    }
    return replace(seen, contents=contents)


def pull_of(plan: object) -> PullImage:
    (found,) = [a for a in plan.actions if isinstance(a, PullImage)]
    return found


# ------------------------------------------------------------------ credentials


@pytest.mark.parametrize(
    ("registry", "image"),
    [
        ("reg.example.com", "reg.example.com/team/web:1"),
        ("https://reg.example.com/v2/", "reg.example.com/team/web:1"),
        ("reg.example.com/team", "reg.example.com/team/web@sha256:12"),
        ("reg.example.com:5000", "reg.example.com:5000/web"),
        ("*.example.com", "reg.example.com/web"),
        ("https://index.docker.io/v1/", "busybox"),
        ("https://index.docker.io/v1/", "joe/web:1"),
        ("https://index.docker.io/v1/", "docker.io/joe/web:1"),
    ],
)
def test_a_registry_is_told_what_it_should_be(registry: str, image: str):
    assert matching(image, parse(config(**{registry: JOE}))) == (JOE,)


@pytest.mark.parametrize(
    ("registry", "image"),
    [
        ("reg.example.com", "other.example.com/web"),
        ("reg.example.com:5000", "reg.example.com/web"),
        ("reg.example.com/team", "reg.example.com/others/web"),
        ("*.example.com", "a.b.example.com/web"),
        ("reg.example.com", "joe/web:1"),
        ("https://index.docker.io/v1/", "reg.example.com/joe/web:1"),
    ],
)
def test_no_registry_is_told_what_is_for_another(registry: str, image: str):
    assert matching(image, parse(config(**{registry: JOE}))) == ()


def test_what_fits_best_is_tried_first_and_each_once():
    entries = parse(config(**{"reg.io": JOE, "reg.io/team": ANN, "https://reg.io": JOE}))
    assert matching("reg.io/team/web", entries) == (ANN, JOE)


def test_credentials_are_read_in_every_way_that_docker_writes_them():
    plain = json.dumps({"reg.io": {"username": "joe", "password": "hush"}}).encode()
    assert of_secret(Content(data={".dockercfg": plain}))[0].credential == JOE
    token = json.dumps({"auths": {"reg.io": {"identitytoken": "abc"}}}).encode()
    assert parse(token)[0].credential == Credential(identity_token="abc")


@pytest.mark.parametrize(
    "text", [b"hush", b"[]", b'{"auths": 3}', b'{"auths": {"a": {"auth": "hush!"}}}', b"\xff"]
)
def test_what_is_no_configuration_is_refused_without_repeating_it(text: bytes):
    with pytest.raises(ValueError, match="not a Docker configuration") as caught:
        parse(text)
    assert "hush" not in repr(caught.value)


def test_passwords_do_not_show():
    action = PullImage("web", (), "needed", (JOE, Credential(identity_token="hush")))
    assert "hush" not in f"{action!r} {action.key} {credentials.Entry('r', JOE)}"


def test_secrets_to_pull_with_are_among_what_a_pod_takes_values_from():
    assert referenced(with_secret("web").spec) == (Reference("Secret", "keys"),)


# ------------------------------------------------------------------------ plans


def test_a_pull_waits_for_the_secrets_that_are_on_their_way():
    lone = replace(knowing(observed(sandbox(), images=())), contents={})
    plan = planned([with_secret("web")], lone)
    assert "pull" not in render(plan)
    seen = knowing(observed(sandbox(), images=()), keys=config(demo=JOE))
    assert pull_of(planned([with_secret("web", image="demo.io/web")], seen)).credentials == ()
    seen = knowing(observed(sandbox(), images=()), keys=config(**{"demo.io": JOE}))
    assert pull_of(planned([with_secret("web", image="demo.io/web")], seen)).credentials == (JOE,)


def test_a_secret_that_is_missing_or_wrong_is_told_of_and_does_not_keep_from_trying():
    lost = with_secret("web")
    lost = replace(lost, sources=(AssignedSource(kind="Secret", name="keys"),))
    assert pull_of(planned([lost], observed(sandbox(), images=()))).lacking == (
        (key("web"), ("keys",)),
    )
    seen = knowing(observed(sandbox(), images=()), keys=b"not json")
    assert pull_of(planned([with_secret("web")], seen)).lacking == ((key("web"), ("keys",)),)


def test_one_image_is_pulled_once_at_a_time_whoever_asks_with_what():
    image = "demo.io/web"
    pods = [
        with_secret("a", "as", image),
        with_secret("b", "bs", image),
        given_pod("c", spec(image=image)),
    ]
    secrets = {"as": config(**{"demo.io": JOE}), "bs": config(**{"demo.io": ANN})}
    boxes = [sandbox(name) for name in "abc"]
    seen = knowing(observed(*boxes, images=()), **secrets)
    first = pull_of(planned(pods, seen))
    assert (first.credentials, first.wanted_by) == ((JOE,), ((key("a"), "c"),))
    busy = knowing(observed(*boxes, images=(), pulling=frozenset({first.key})), **secrets)
    assert "pull" not in render(planned(pods, busy))
    failed = {first.key: Pull(0, Failure("ErrImagePull", "denied", 1, NOW_MS))}
    after = knowing(observed(*boxes, images=(), pulls=failed), **secrets)
    assert pull_of(planned(pods, after)).credentials == (ANN,)


def test_what_one_pods_secret_opened_is_not_open_to_a_pod_that_always_asks():
    image = "demo.io/web:latest"
    pulled = {PullKey(image, (JOE,)): Pull(NOW_MS)}
    always, content = (
        given_pod("web", spec(image=image)),
        given_pod("web", spec(image="demo.io/web:1")),
    )
    seen = observed(sandbox(), images=(image, "demo.io/web:1"), pulls=pulled)
    assert pull_of(planned([always], seen)).key == PullKey(image)
    assert "create" in render(planned([content], seen))


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ("Web:1", "repository name must be lowercase"),
        ("web:", "invalid reference format"),
        ("we b", "invalid reference format"),
        ("-web", "invalid reference format"),
        ("web@sha256:12", "invalid reference format"),
        ("a" * 256, "more than 255 characters"),
    ],
)
def test_a_name_that_is_none_is_not_asked_for(image: str, says: str):
    plan = planned([given_pod("web", spec(image=image))], observed(sandbox(), images=()))
    (wait,) = plan.waits
    assert (wait.reason, plan.actions) == ("InvalidImageName", ())
    assert says in wait.message


@pytest.mark.parametrize(
    "image",
    [
        "web",
        "REG.example.com:5000/team/web_1:Rc.2",
        "localhost/web",
        "[::1]:5000/web",
        "a/b/c-d__e:1",
    ],
)
def test_names_that_docker_takes_are_right(image: str):
    assert invalid(image) == invalid(f"{image.partition(':R')[0]}@sha256:{'ab' * 32}") == ""


def test_a_status_names_the_image_as_its_registry_does():
    ran = container(image="demo/web:1", image_id="sha256:12")
    names = {"sha256:12": ("demo/web:1", "other/web@sha256:ab", "demo/web@sha256:cd")}
    for known, says in (
        (names, "docker-pullable://demo/web@sha256:cd"),
        ({}, "docker://sha256:12"),
    ):
        status = pod_status(
            given_pod(),
            by_pod(observed(sandbox(), ran))[key()],
            {},
            host_ip="10.0.0.1",
            accepted_at_ms=NOW_MS,
            images=known,
        )
        assert status.container_statuses[0].image_id == says
    assert pullable("web", ("web:latest",)) == ""


# ----------------------------------------------------------------------- pulling


def test_progress_is_what_all_layers_are_at():
    layers = Layers()
    for told in (
        {"status": "Pulling from web", "id": "1"},
        {"status": "Downloading", "progressDetail": {"current": 5, "total": 10}, "id": "a"},
        {"status": "Downloading", "progressDetail": {"current": 1, "total": 30}, "id": "b"},
        {"status": "Download complete", "progressDetail": {}, "id": "a"},
        {"status": "Already exists", "id": "c"},
    ):
        layers.take(json.dumps(told).encode())
    assert (layers.progress.done_bytes, layers.progress.total_bytes) == (11, 40)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("manifest for web:2 not found: manifest unknown", NotFound),
        ("unauthorized: authentication required", NotFound),
        ("dial tcp 127.0.0.1:1: connect: connection refused", EngineFailure),
    ],
)
def test_a_registry_that_refuses_is_told_from_one_that_cannot_be_asked(text, error):
    with pytest.raises(error, match=text[:20]):
        Layers().take(json.dumps({"error": text}).encode())


@on_virtual_time
async def test_a_pull_that_hangs_is_given_up_and_others_go_on():
    async with a_node(image_pulls=1, image_pull_progress_deadline_s=30) as (node, engine):
        engine.registry |= {"demo/hangs:1", "demo/long:1"}
        engine.progress = {"demo/hangs:1": [1e6], "demo/long:1": [25.0] * 4}
        stuck, slow = (
            given_pod(n, spec(image=f"demo/{i}:1")) for n, i in (("a", "hangs"), ("b", "long"))
        )
        await node.assign(stuck)
        async with asyncio.timeout(10):
            while not engine.pulls:
                await asyncio.sleep(0.1)
        await node.assign(stuck, slow)
        report = await node.until(lambda r: state_reason(pod(r, "a")) == "ImagePullBackOff", 60)
        waiting = pod(report, "a").status.container_statuses[0].state.waiting
        assert "given up: no progress for 30 s" in waiting.message
        await node.running("b", within_s=400)  # though it takes 100 s in all
        await asyncio.sleep(1)
        (*progress,) = [e for e in node.events if " MiB" in e.message]
        assert {e.series for e in progress} == {"demo/long:1"}
        assert progress[0].message == 'Pulling image "demo/long:1": 1.0 of 2.0 MiB'
        assert len(progress) == 4
        (pulled,) = [e.message for e in node.events if e.message.startswith("Successfully")]
        assert "including waiting). Image size: 1048576 bytes." in pulled


async def test_one_credential_after_another_is_tried_the_nodes_own_too(tmp_path):
    own = tmp_path / "config.json"
    own.write_bytes(config(**{"demo.io/web": ANN, "demo.io": JOE}))
    async with a_node(docker_config=str(own)) as (node, engine):
        engine.registry.add("demo.io/web:1")
        engine.private["demo.io/web:1"] = JOE
        await node.assign(given_pod("a", spec(image="demo.io/web:1")))
        await node.running("a")
        assert len(engine.pulls) == 2  # as ann and as joe
