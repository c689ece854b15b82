"""SPDY/3.1's frames."""

import struct
import zlib

import pytest
from hypothesis import given, strategies as st

from orchestrator.api.spdy import FRAME_BYTES_MAX, PING, Data, Opened, Ping, Reset, Session
from orchestrator.api.spdy_dictionary import DICTIONARY
from proto.errors import BadRequest
from tests.unit.api.spdy_client import Client, control


def test_the_dictionary_is_the_one_that_clients_have():
    assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)


@given(st.integers(1, 40))
def test_frames_are_understood_however_they_are_cut(size):
    client, session = Client(), Session()
    sent = client.open(1, streamtype="error", port="80") + client.open(3, streamtype="data")
    sent += client.data(3, b"hello") + client.data(3, is_last=True) + control(6, b"\0\0\0\x07")
    sent += control(3, struct.pack(">II", 3, 5)) + control(9, bytes(8)) + control(7, bytes(8))
    events = []
    for at in range(0, len(sent), size):
        events += session.feed(sent[at : at + size])
    assert events == [
        Opened(1, {"streamtype": "error", "port": "80"}),
        Opened(3, {"streamtype": "data"}),
        Data(3, b"hello"),
        Data(3, b"", is_last=True),
        Ping(7),
        Reset(3),
    ]


def test_answers_are_what_a_client_reads():
    session, client = Session(), Client()
    answer = session.accept(1) + session.data(3, b"hi") + session.data(3, is_last=True)
    assert list(client.feed(answer)) == [(3, b"hi", False), (3, b"", True)]
    assert session.pong(Ping(7)) == control(6, b"\0\0\0\x07")


def test_headers_of_a_reply_are_compressed_with_the_dictionary():
    session = Session()
    inflate = zlib.decompressobj(zdict=DICTIONARY)
    for stream in (1, 3):
        reply = session.accept(stream)
        assert struct.unpack(">HHII", reply[:12]) == (0x8003, 2, len(reply) - 8, stream)
        assert inflate.decompress(reply[12:]) == bytes(4)


def test_the_answer_to_our_own_ping_is_not_answered():
    assert list(Session().feed(PING)) == []


@pytest.mark.parametrize(
    "frame",
    [
        control(1, bytes(10) + b"no zlib"),
        control(1, b""),
        control(6, b""),
        control(1, bytes(10), version=2),
        struct.pack(">II", 1, FRAME_BYTES_MAX + 1),
    ],
)
def test_what_is_no_spdy_is_refused(frame):
    with pytest.raises(BadRequest):
        list(Session().feed(frame))


def test_a_small_frame_cannot_become_a_large_memory():
    deflate = zlib.compressobj(zdict=DICTIONARY)
    block = deflate.compress(struct.pack(">II", 1, 1 << 24) + bytes(1 << 24)) + deflate.flush()
    with pytest.raises(BadRequest, match="too large"):
        list(Session().feed(control(1, bytes(10) + block)))


@given(st.binary(max_size=400))
def test_random_bytes_are_refused_or_wait_for_more(noise):
    try:
        list(Session().feed(noise))
    except BadRequest:
        pass
