import pytest

from orchestrator.api import logs
from proto.errors import BadRequest
from proto.kinds.container import (
    Container,
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
)
from proto.kinds.pod import Pod, PodSpec, PodStatus
from proto.meta import ObjectMeta

RUNNING = ContainerState(running=ContainerStateRunning())
ENDED = ContainerState(terminated=ContainerStateTerminated(exit_code=1))


def waiting(reason):
    return ContainerState(waiting=ContainerStateWaiting(reason=reason))


def pod(*names, state=RUNNING, last=None):
    statuses = tuple(
        ContainerStatus(name=name, state=state, last_state=last or ContainerState())
        for name in names
    )
    return Pod(
        metadata=ObjectMeta(name="p", uid="u"),
        spec=PodSpec(containers=tuple(Container(name=name) for name in names)),
        status=PodStatus(container_statuses=statuses),
    )


def refusal(found, **query):
    with pytest.raises(BadRequest) as raised:
        logs.request_for(found, query, now_ms=0)
    return str(raised.value)


def test_what_is_asked_is_passed_on():
    query = {
        "container": "b",
        "follow": "true",
        "timestamps": "1",
        "tailLines": "0",
        "sinceSeconds": "5",
        "limitBytes": "9",
    }
    asked = logs.request_for(pod("a", "b"), query, now_ms=60_000)
    assert (asked.pod_uid, asked.container, asked.follow, asked.timestamps) == (
        "u",
        "b",
        True,
        True,
    )
    assert (asked.tail_lines, asked.since_ms, asked.limit_bytes) == (0, 55_000, 9)
    assert not asked.previous


def test_a_time_counts_more_than_seconds():
    query = {"sinceTime": "1970-01-01T00:00:01Z", "sinceSeconds": "5"}
    assert logs.request_for(pod("a"), query, now_ms=60_000).since_ms == 1000


def test_one_of_several_containers_must_be_named():
    assert refusal(pod("a", "b")) == (
        "a container name must be specified for pod p, choose one of: [a b]"
    )


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("", "ContainerCreating"),
        ("ContainerCreating", "ContainerCreating"),
        ("ErrImagePull", "image can't be pulled"),
        ("ImagePullBackOff", "trying and failing to pull image"),
    ],
)
def test_a_container_that_waits_to_start_has_no_log(reason, said):
    found = pod("a", state=waiting(reason))
    assert refusal(found) == f'container "a" in pod "p" is waiting to start: {said}'


def test_a_container_that_waits_to_start_again_has_one():
    found = pod("a", state=waiting("CrashLoopBackOff"), last=ENDED)
    assert logs.request_for(found, {}, now_ms=0).container == "a"
    assert logs.request_for(found, {"previous": "true"}, now_ms=0).previous


def test_a_container_that_never_ended_has_no_previous_log():
    assert "not found" in refusal(pod("a"), previous="true")


@pytest.mark.parametrize("query", [{"tailLines": "x"}, {"limitBytes": "-1"}, {"sinceTime": "noon"}])
def test_impossible_values_are_named(query):
    assert next(iter(query)) in refusal(pod("a"), **query)
