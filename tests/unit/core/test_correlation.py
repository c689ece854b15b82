"""What becomes of events that repeat themselves."""

from orchestrator.core.correlation import (
    BURST,
    COMBINED,
    DIFFERENT_MAX,
    REFILL_MS,
    REMEMBERED_MAX,
    WITHIN_MS,
    Correlator,
)
from proto.kinds.event import Event, EventSource, ObjectReference

NOW_MS = 1_700_000_000_000


def event(message="it happened", *, name="a", reason="Happened", host=""):
    return Event(
        involved_object=ObjectReference(kind="Pod", namespace="default", name=name, uid=name),
        type="Normal",
        reason=reason,
        message=message,
        source=EventSource(component="longshore", host=host),
    )


def told(correlator, *events, at_ms=NOW_MS):
    found = [correlator.correlated(one, at_ms) for one in events]
    return [one.message for one in found if one is not None]


def test_a_few_different_messages_are_left_as_they_are():
    messages = [f"m{number}" for number in range(DIFFERENT_MAX - 1)]
    assert told(Correlator(), *(event(message) for message in messages)) == messages


def test_from_the_tenth_on_they_are_combined():
    correlator = Correlator()
    messages = [f"m{number}" for number in range(DIFFERENT_MAX + 2)]
    found = told(correlator, *(event(message) for message in messages))
    assert found[-3:] == [f"{COMBINED}m9", f"{COMBINED}m10", f"{COMBINED}m11"]
    assert not any(message.startswith(COMBINED) for message in found[:-3])


def test_the_same_message_is_never_combined_but_held_back_in_the_end():
    assert told(Correlator(), *[event()] * (BURST + 5)) == ["it happened"] * BURST


def test_what_was_held_back_comes_again_by_and_by():
    correlator = Correlator()
    told(correlator, *[event()] * BURST)
    assert told(correlator, event(), at_ms=NOW_MS + REFILL_MS - 1) == []
    assert told(correlator, event(), event(), at_ms=NOW_MS + REFILL_MS) == ["it happened"]


def test_after_ten_quiet_minutes_they_are_told_apart_again():
    correlator = Correlator()
    told(correlator, *(event(f"m{number}") for number in range(DIFFERENT_MAX)))
    assert told(correlator, event("x"), at_ms=NOW_MS + WITHIN_MS) == [f"{COMBINED}x"]
    assert told(correlator, event("y"), at_ms=NOW_MS + 2 * WITHIN_MS + 1) == ["y"]


def test_other_objects_reasons_and_hosts_have_their_own_count():
    correlator = Correlator()
    told(correlator, *[event()] * BURST)
    others = [event(name="b"), event(reason="Other"), event(host="node-1")]
    assert len(told(correlator, *others)) == len(others)


def test_what_is_remembered_is_bounded():
    correlator = Correlator()
    told(correlator, *[event()] * BURST)
    told(correlator, *(event(name=f"p{number}") for number in range(REMEMBERED_MAX)))
    assert told(correlator, event()) == ["it happened"], "it was forgotten"
