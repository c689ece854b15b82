import base64

import pytest
from hypothesis import given, strategies as st

from orchestrator.api import protobuf
from proto.errors import BadRequest


def varint(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def body(api_version, kind, raw):
    return protobuf.MAGIC + field(1, field(1, api_version) + field(2, kind)) + field(2, raw)


def test_a_namespace_is_read():
    meta = (
        field(1, "foo")
        + field(2, "")
        + field(8, field(1, 0))
        + field(11, field(1, "a") + field(2, "b"))
    )
    found = protobuf.decode(body("v1", "Namespace", field(1, meta) + field(2, b"") + field(3, b"")))
    assert found == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "foo", "labels": {"a": "b"}},
        "spec": {},
        "status": {},
    }


def test_a_deployment_is_read_with_its_counts_and_templates():
    port = field(1, "") + field(2, 0) + field(3, 80) + field(4, "") + field(5, "")
    limits = field(1, field(1, "cpu") + field(2, field(1, "500m")))
    container = (
        field(1, "c")
        + field(2, "nginx")
        + field(3, "sleep")
        + field(3, "9")
        + field(6, port)
        + field(8, limits)
    )
    template = field(1, field(1, "")) + field(2, field(2, container) + field(4, 0))
    rolling = field(1, field(1, 1) + field(2, 0) + field(3, "25%")) + field(
        2, field(1, 0) + field(2, 3) + field(3, "")
    )
    spec = (
        field(1, 0)
        + field(2, field(1, field(1, "app") + field(2, "web")))
        + field(3, template)
        + field(4, field(1, "") + field(2, rolling))
        + field(5, 0)
        + field(7, 0)
    )
    found = protobuf.decode(
        body("apps/v1", "Deployment", field(1, field(1, "web")) + field(2, spec))
    )
    assert found["spec"] == {
        "replicas": 0,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {},
            "spec": {
                "containers": [
                    {
                        "name": "c",
                        "image": "nginx",
                        "command": ["sleep", "9"],
                        "ports": [{"containerPort": 80}],
                        "resources": {"limits": {"cpu": "500m"}},
                    }
                ],
                "terminationGracePeriodSeconds": 0,
            },
        },
        "strategy": {"rollingUpdate": {"maxUnavailable": "25%", "maxSurge": 3}},
    }


def test_embedded_structs_are_part_of_their_parent():
    volume = field(1, "v") + field(2, field(2, b""))
    found = protobuf.decode(body("v1", "Pod", field(2, field(1, volume))))
    assert found["spec"]["volumes"] == [{"name": "v", "emptyDir": {}}]


def test_bytes_become_base64_and_times_text():
    secret = field(1, field(8, field(1, 1_700_000_000))) + field(
        2, field(1, "k") + field(2, b"\x00\xff")
    )
    found = protobuf.decode(body("v1", "Secret", secret))
    assert found["data"] == {"k": base64.b64encode(b"\x00\xff").decode()}
    assert found["metadata"]["creationTimestamp"] == "2023-11-14T22:13:20Z"


def test_negative_numbers_are_read():
    spec = field(2, field(1, 2**64 - 1))
    assert protobuf.decode(body("apps/v1", "Deployment", spec))["spec"]["replicas"] == -1


def test_delete_options_are_read_in_any_group():
    found = protobuf.decode(body("policy/v1", "DeleteOptions", field(1, 0) + field(4, "Orphan")))
    assert found["gracePeriodSeconds"] == 0
    assert found["propagationPolicy"] == "Orphan"


def test_fields_of_a_newer_client_are_skipped():
    raw = field(1, field(1, "x") + field(99, "new")) + field(77, 1)
    assert protobuf.decode(body("v1", "Namespace", raw))["metadata"] == {"name": "x"}


def test_a_kind_without_known_fields_is_refused_by_name():
    with pytest.raises(BadRequest, match=r'"v9", Kind=Whale|"v9, Kind=Whale"'):
        protobuf.decode(body("v9", "Whale", b""))


@given(st.binary(max_size=200))
def test_random_bytes_are_a_bad_request_or_an_object(raw):
    for payload in (
        raw,
        protobuf.MAGIC + raw,
        body("v1", "Pod", raw),
        body("apps/v1", "Deployment", raw),
    ):
        try:
            assert isinstance(protobuf.decode(payload), dict)
        except BadRequest:
            pass


def test_no_message_holds_itself_so_that_nesting_is_bounded():
    messages = protobuf._messages()

    def depth(name):
        inner = {field.type for field in messages[name].values()} & messages.keys()
        return 1 + max(map(depth, inner), default=0)

    assert max(map(depth, messages)) < 30
