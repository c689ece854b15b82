import pytest

from orchestrator.api import tables
from orchestrator.world import Entry
from proto import codec, kinds
from proto.kinds.container import Container
from proto.kinds.event import EVENTS, Event
from proto.kinds.pod import PODS, Pod, PodSpec
from proto.meta import ObjectMeta

POD = Entry(
    PODS,
    Pod(
        metadata=ObjectMeta(name="p", namespace="d", creation_timestamp="1970-01-01T00:00:00Z"),
        spec=PodSpec(containers=(Container(name="c"),)),
    ),
    7,
)


def make(kind, entry, include="Metadata"):
    return tables.table(kind, (entry,), metadata={}, now_ms=90_000, include=include, version="v1")


def test_a_row_has_a_cell_for_every_column():
    found = make(PODS, POD)
    assert [c["name"] for c in found["columnDefinitions"]][:5] == [
        "Name", "Ready", "Status", "Restarts", "Age",
    ]  # fmt: skip
    assert found["rows"][0]["cells"][:5] == ["p", "0/1", "", "0", "90s"]
    assert len(found["rows"][0]["cells"]) == len(found["columnDefinitions"])


@pytest.mark.parametrize("kind", kinds.ALL, ids=lambda kind: kind.plural)
def test_an_object_with_nothing_in_it_has_a_row(kind):
    found = make(kind, Entry(kind, kind.type(metadata=ObjectMeta(name="x")), 1))
    assert len(found["rows"][0]["cells"]) == len(found["columnDefinitions"])
    codec.encode(found)


def test_rows_carry_metadata_or_the_object_or_nothing():
    assert make(PODS, POD)["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert make(PODS, POD)["rows"][0]["object"]["metadata"].namespace == "d"
    assert b"containers" in bytes(make(PODS, POD, "Object")["rows"][0]["object"])
    assert "object" not in make(PODS, POD, "None")["rows"][0]


def test_events_place_their_name_last():
    names = [column["name"] for column in tables.column_definitions(EVENTS)]
    assert names[0] == "Last Seen"
    assert names[-1] == "Name"
    assert names.count("Name") == 1


def test_a_time_that_is_none_costs_its_cell_only():
    broken = Event(metadata=ObjectMeta(name="e"), last_timestamp="yesterday", reason="r")
    assert make(EVENTS, Entry(EVENTS, broken, 1))["rows"][0]["cells"][:3] == ["<invalid>", "", "r"]
