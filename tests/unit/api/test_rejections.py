"""Whatever comes in, the server answers in Kubernetes' words, and what it refuses leaves no trace."""

import asyncio
import string

import pytest
from hypothesis import given, settings, strategies as st

from proto import codec, kinds
from proto.kinds.namespace import NAMESPACES
from tests.unit.api.server import running

PATHS = [
    "/", "/api", "/apis", "/version", "/healthz", "/openapi/v3", "/openapi/v3/api/v1", "/api/v1/namespaces",
    "/api/v1/namespaces/default", "/api/v1/namespaces/default/finalize", "/api/v1/pods",
    "/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/pods/p",
    "/api/v1/namespaces/default/pods/p/log", "/api/v1/namespaces/default/pods/p/binding",
    "/api/v1/namespaces/default/pods/p/eviction", "/api/v1/namespaces/default/pods/p/status",
    "/api/v1/nodes/n", "/api/v1/namespaces/default/events",
    "/apis/apps/v1/namespaces/default/deployments", "/apis/apps/v1/namespaces/default/deployments/d",
    "/apis/apps/v1/namespaces/default/deployments/d/scale",
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
]  # fmt: skip
CONTENT_TYPES = [
    "application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "text/html",
    "application/json-patch+json", "application/merge-patch+json",
    "application/strategic-merge-patch+json", "application/apply-patch+yaml", "x", "",
]  # fmt: skip
QUERIES = [
    "limit", "continue", "labelSelector", "fieldSelector", "resourceVersion", "dryRun",
    "fieldValidation", "gracePeriodSeconds", "propagationPolicy", "includeObject", "container",
    "tailLines", "sinceTime", "sinceSeconds", "previous", "pretty",
]  # fmt: skip

keys = st.sampled_from(
    ["apiVersion", "kind", "metadata", "spec", "status", "name", "namespace", "replicas", "template",
     "containers", "selector", "matchLabels", "labels", "uid", "resourceVersion", "$patch", "op", "path",
     "value", "target", "deleteOptions", "preconditions", "finalizers", "image"]
)  # fmt: skip
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8) | st.sampled_from(["v1", "apps/v1", "Pod", "Deployment", "p", "default", "add"])
)  # fmt: skip
json_values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=12,
)
bodies = st.binary(max_size=60) | json_values.map(codec.encode)
requests = st.tuples(
    st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]),
    st.sampled_from(PATHS)
    | st.text(alphabet=string.printable + "é\x00", max_size=30).map("/".__add__)
    | st.tuples(st.sampled_from(PATHS), st.text(max_size=6)).map("/".join),
    st.sampled_from(CONTENT_TYPES),
    st.dictionaries(
        st.sampled_from(QUERIES), st.text(max_size=8) | st.sampled_from(["1", "All"]), max_size=2
    ),
    bodies,
)


def contents(world):
    return {
        (kind.plural, entry.namespace, entry.name): entry.version
        for kind in kinds.ALL
        for entry in world.entries(kind)
    }


async def send(api, request):
    method, path, content_type, query, body = request
    before = contents(api.world)
    url = api.url + path.translate({ord(sign): None for sign in "#?\\"})
    async with api.http.request(
        method, url, params=query, data=body, headers={"Content-Type": content_type}
    ) as response:
        text = await response.read()
    assert response.status < 500, text
    if response.status >= 400:
        assert contents(api.world) == before
        if method != "HEAD":
            status = codec.decode_any(text)
            assert (status["kind"], status["code"]) == ("Status", response.status)


def test_random_requests_are_refused_politely_and_change_nothing():
    with asyncio.Runner() as runner:
        server = running()
        api = runner.run(server.__aenter__())

        @settings(max_examples=200, deadline=None)
        @given(requests)
        def ask(request):
            runner.run(send(api, request))

        try:
            ask()
        finally:
            runner.run(server.__aexit__(None, None, None))


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /%ff%fe/\xc3\x28 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /api/v1/namespaces/%ed%a0%80 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /api/v1/namespaces/default/pods?labelSelector=%ff HTTP/1.1\r\nHost: x\r\n\r\n",
        (
            b"POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"
        ),
        b"POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x00\x01\x02\x03\r\n\r\n",
        b"WHALE / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_bytes_that_are_hardly_http_are_refused(raw):
    async with running() as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(api.url.rpartition(":")[2]))
        writer.write(raw)
        async with asyncio.timeout(5):
            status = await reader.readline()
        writer.close()
        await writer.wait_closed()
        assert status.split()[1].startswith(b"4"), status


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"[" * 100_000),
        ("application/json", b'{"a":' * 100_000),
        ("application/json", b'{"metadata":{"name":"\\ud800"}}'),
        ("application/yaml", b"[" * 10_000),
        ("application/yaml", b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
            b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(9)
        )),
        ("application/yaml", b"!!python/object/apply:os.system [true]"),
        ("application/yaml", b"a: 1\na: 2\n"),
        ("application/yaml", b"--- {}\n--- {}\n"),
        ("application/vnd.kubernetes.protobuf", b"k8s\x00" + b"\xff" * 100),
    ],
    ids=range(9),
)  # fmt: skip
async def test_hostile_bodies_are_bad_requests(content_type, body):
    async with running() as api:
        status, found = await api.ask(
            "POST", "/api/v1/namespaces", data=body, headers={"Content-Type": content_type}
        )
        assert (status, found["reason"]) == (400, "BadRequest")


async def test_a_deeply_nested_patch_is_a_bad_request():
    async with running() as api:
        for kind in ("merge-patch", "strategic-merge-patch"):
            body = b'{"metadata":{"labels":' + b'{"a":' * 900 + b"1" + b"}" * 902
            status, found = await api.ask(
                "PATCH",
                "/api/v1/namespaces/default",
                data=body,
                headers={"Content-Type": f"application/{kind}+json"},
            )
            assert (status, found["reason"]) == (400, "BadRequest")


async def test_nothing_is_answered_about_kinds_before_the_state_is_loaded():
    async with running() as api:
        api.world.revision = 0  # as before the first listing
        for method, path in (
            ("GET", "/api/v1/pods"),
            ("GET", "/readyz"),
            ("GET", "/api/v1/pods?watch=1"),
        ):
            async with api.http.request(method, api.url + path) as response:
                assert response.status == 503
                assert response.headers["Retry-After"] == "1"
        assert (await api.ask("GET", "/version"))[0] == 200


async def test_while_the_bus_is_away_reads_are_served_and_writes_put_off():
    room = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "room"}}
    async with running() as api:
        api.network.cut("orchestrator")
        assert (await api.ask("GET", "/api/v1/namespaces/default"))[0] == 200
        for method, path in (
            ("POST", "/api/v1/namespaces"),
            ("PATCH", "/api/v1/namespaces/default"),
            ("DELETE", "/api/v1/namespaces/default"),
        ):
            async with api.http.request(method, api.url + path, json=room) as response:
                assert response.status == 503
                assert response.headers["Retry-After"] == "1"
        assert api.world.get(NAMESPACES, "", "room") is None
        api.network.heal("orchestrator")
        assert (await api.ask("POST", "/api/v1/namespaces", room))[0] == 201


async def test_a_write_that_takes_too_long_may_have_been_made(monkeypatch):
    monkeypatch.setattr("orchestrator.api.limits.REQUEST_TIMEOUT_S", 0.0)
    async with running() as api:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
        status, found = await api.ask("POST", "/api/v1/namespaces", body)
        assert (status, found["reason"]) == (504, "Timeout")


REFUSALS = [
    ("GET", "/api/v1/namespaces/nope", None, 404, "NotFound", {"name": "nope", "kind": "namespaces"}),
    ("GET", "/api/v1/whales", None, 404, "NotFound", {}),
    ("GET", "/api/v1/namespaces/default/nope", None, 404, "NotFound", {}),
    ("GET", "/api/v1/namespaces?limit=x", None, 400, "BadRequest", {"kind": "namespaces"}),
    ("PUT", "/healthz", {}, 405, "MethodNotAllowed", {}),
    (
        "POST", "/api/v1/namespaces", {"metadata": {"name": "default"}},
        409, "AlreadyExists", {"name": "default", "kind": "namespaces"},
    ),
    (
        "PUT", "/api/v1/namespaces/default",
        {"metadata": {"name": "default", "resourceVersion": "1"}},
        409, "Conflict", {"name": "default", "kind": "namespaces"},
    ),
    (
        "POST", "/api/v1/namespaces", {"metadata": {"name": "A"}},
        422, "Invalid", {"name": "A", "kind": "Namespace", "causes": 1},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "change", "code", "reason", "details"), REFUSALS)
async def test_every_refusal_is_a_status_that_says_what_and_about_what(
    method, path, change, code, reason, details
):
    body = None if change is None else {"apiVersion": "v1", "kind": "Namespace", **change}
    async with running() as api:
        status, found = await api.ask(method, path, body)
    assert status == found["code"] == code
    assert (found["kind"], found["apiVersion"], found["status"]) == ("Status", "v1", "Failure")
    assert (found["reason"], found["metadata"]) == (reason, {})
    assert found["message"]
    said = found.get("details", {})
    if causes := said.get("causes"):
        assert all(cause.keys() == {"reason", "field", "message"} for cause in causes)
        said["causes"] = len(causes)
    assert said == details
