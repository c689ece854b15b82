"""Frames and credit: what is lost is noticed, and nobody is sent more than was asked for."""

import pytest
from hypothesis import given, strategies as st

from proto import frames
from proto.errors import BadRequest, Unavailable
from proto.frames import FRAME_COST_BYTES, WINDOW_BYTES, Channel, Credit, Frame


@given(
    st.sampled_from(Channel),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.booleans(),
    st.binary(max_size=100),
)
def test_a_frame_comes_back_as_it_was(channel, offset, granted, is_last, data):
    frame = Frame(channel, offset, granted, is_last, data)
    assert frames.decode(frame.encode()) == frame


@pytest.mark.parametrize("payload", [b"", b"\x00", b"\x63" + bytes(17)])
def test_what_is_no_frame_is_refused(payload):
    with pytest.raises(BadRequest):
        frames.decode(payload)


def test_a_lost_frame_is_noticed_by_the_next_even_if_that_is_only_a_sign_of_life():
    sender, receiver = Credit(), Credit()
    assert receiver.receive(sender.stamp(Channel.STDOUT, b"one"))
    sender.stamp(Channel.STDOUT, b"two")  # lost
    with pytest.raises(Unavailable, match=f"{3 + FRAME_COST_BYTES} bytes of the stream were lost"):
        receiver.receive(sender.stamp(Channel.NOTHING))


def test_a_frame_that_comes_twice_counts_once():
    sender, receiver = Credit(), Credit()
    frame = sender.stamp(Channel.STDOUT, b"one")
    assert receiver.receive(frame)
    assert not receiver.receive(frame)
    assert receiver.receive(sender.stamp(Channel.STDOUT, b"two"))


def test_a_sender_stops_at_the_window_and_goes_on_once_the_reader_has_taken():
    sender, receiver = Credit(), Credit()
    sent = []
    while room := sender.room:
        sent.append(sender.stamp(Channel.STDOUT, bytes(room)))
        receiver.receive(sent[-1])
    assert sum(frame.cost for frame in sent) <= WINDOW_BYTES
    assert not receiver.is_grant_due
    for frame in sent:
        receiver.take(frame)
    assert receiver.is_grant_due
    sender.receive(receiver.stamp(Channel.NOTHING))
    assert sender.room > WINDOW_BYTES // 8


@given(st.lists(st.tuples(st.integers(0, 70_000), st.booleans()), max_size=60))
def test_whatever_is_sent_and_taken_a_reader_that_took_all_leaves_room(steps):
    sender, receiver = Credit(), Credit()
    waiting = []
    for size, is_taken in steps:
        if room := sender.room:
            waiting.append(sender.stamp(Channel.STDOUT, bytes(min(size, room))))
            receiver.receive(waiting[-1])
        if is_taken and waiting:
            receiver.take(waiting.pop(0))
            if receiver.is_grant_due:
                sender.receive(receiver.stamp(Channel.NOTHING))
        assert sum(frame.cost for frame in waiting) <= WINDOW_BYTES
    for frame in waiting:
        receiver.take(frame)
        if receiver.is_grant_due:
            sender.receive(receiver.stamp(Channel.NOTHING))
    assert sender.room > 0


def test_a_lost_grant_is_healed_by_the_next():
    sender, receiver = Credit(), Credit()
    for _ in range(3):
        frame = sender.stamp(Channel.STDOUT, bytes(sender.room))
        receiver.receive(frame)
        receiver.take(frame)
        receiver.stamp(Channel.NOTHING)  # lost
    before = sender.room
    sender.receive(receiver.stamp(Channel.NOTHING))
    assert sender.room >= before


def test_empty_frames_are_bounded_as_well():
    sender = Credit()
    count = 0
    while sender.room:
        sender.stamp(Channel.STDIN)
        count += 1
    assert count <= WINDOW_BYTES // FRAME_COST_BYTES


def test_who_sends_more_than_was_granted_is_cut_off():
    sender, receiver = Credit(), Credit()
    with pytest.raises(BadRequest, match="more than it was granted"):
        for _ in range(5):
            receiver.receive(sender.stamp(Channel.STDOUT, bytes(WINDOW_BYTES // 4)))
