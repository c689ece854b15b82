"""Bytes and structs: what comes from outside is a struct or a clear refusal."""

import pytest

from proto import codec
from proto.errors import BadRequest
from proto.kinds.pod import Pod
from proto.messages import Assignment, DeployOutcome, Heartbeat

BEAT = Heartbeat(node="n1", incarnation=1, epoch=2, generation=3, report_version=4)


def test_a_struct_survives_the_way_there_and_back():
    assert codec.decode(codec.encode(BEAT), Heartbeat) == BEAT
    assert codec.decode(codec.encode(Pod()), Pod) == Pod()


def test_fields_of_a_newer_peer_are_ignored():
    newer = codec.encode(codec.to_plain(BEAT) | {"mood": "good"})
    assert codec.decode(newer, Heartbeat) == BEAT


def test_fields_that_an_older_peer_does_not_send_have_their_defaults():
    found = codec.decode(b'{"outcome": "created"}', DeployOutcome)
    assert found == DeployOutcome(outcome="created")


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "truncated"),
        (b"\xff\xfe", "not a Heartbeat"),
        (b"[]", "Expected `object`"),
        (b"{}", "missing required field `node`"),
        (codec.encode(codec.to_plain(BEAT) | {"epoch": "2"}), r"\$.epoch"),
        (b'{"node":' * 10_000, "not a Heartbeat"),
        (b'{"node": "\xff"}', "not a Heartbeat"),
    ],
)
def test_other_bytes_are_refused_and_the_text_says_why(payload: bytes, said: str):
    with pytest.raises(BadRequest, match=said):
        codec.decode(payload, Heartbeat)


def test_bytes_that_nest_without_end_are_refused():
    with pytest.raises(BadRequest):
        codec.decode_any(b"[" * 100_000)
    with pytest.raises(BadRequest):
        codec.decode(b'{"pods":' + b"[" * 100_000, Assignment)


def test_absent_fields_are_not_written():
    assert codec.encode(Pod()) == b"{}"
    assert codec.encode(DeployOutcome(outcome="created")) == b'{"outcome":"created"}'
