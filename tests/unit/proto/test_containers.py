"""Probes, init containers and what all containers of a pod need: rules, sums and words."""

import pytest

from proto.kinds.container import (
    Container,
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    ResourceRequirements,
)
from proto.kinds.handler import (
    ExecAction,
    GRPCAction,
    HTTPGetAction,
    HTTPHeader,
    SleepAction,
    TCPSocketAction,
)
from proto.kinds.lifecycle import Lifecycle, LifecycleHandler
from proto.kinds.pod import (
    PODS,
    Pod,
    PodSpec,
    PodStatus,
    default_spec,
    qos_class,
    requests,
    validate_spec,
)
from proto.kinds.probe import Probe
from proto.meta import Condition, ObjectMeta

EXEC = ExecAction(command=("true",))


def a_container(name: str = "c", **fields: object) -> Container:
    return Container(**{"name": name, "image": "web:1", **fields})


def errors(*first: Container, own: Container | None = None) -> dict[str, str]:
    """Field to message."""
    spec = default_spec(PodSpec(init_containers=first, containers=(own or a_container(),)))
    return {error.field: error.message for error in validate_spec("spec", spec)}


def test_a_probe_gets_the_defaults_of_kubernetes():
    given = a_container(liveness_probe=Probe(http_get=HTTPGetAction(port=80)))
    (found,) = default_spec(PodSpec(containers=(given,))).containers
    probe = found.liveness_probe
    assert probe.http_get == HTTPGetAction(port=80, path="/", scheme="HTTP")
    assert (probe.timeout_seconds, probe.period_seconds) == (1, 10)
    assert (probe.success_threshold, probe.failure_threshold) == (1, 3)


@pytest.mark.parametrize(
    ("kind", "probe", "field", "says"),
    [
        ("liveness", Probe(), "", "Required value: must specify a handler type"),
        (
            "liveness",
            Probe(exec=EXEC, tcp_socket=TCPSocketAction(port=1)),
            ".tcpSocket",
            "may not specify more than 1 handler type",
        ),
        ("readiness", Probe(exec=ExecAction()), ".exec.command", "Required value"),
        (
            "readiness",
            Probe(exec=EXEC, period_seconds=-1),
            ".periodSeconds",
            "greater than or equal",
        ),
        ("liveness", Probe(exec=EXEC, success_threshold=2), ".successThreshold", "must be 1"),
        ("startup", Probe(exec=EXEC, success_threshold=2), ".successThreshold", "must be 1"),
        (
            "readiness",
            Probe(exec=EXEC, termination_grace_period_seconds=1),
            ".terminationGracePeriodSeconds",
            "must not be set for readinessProbes",
        ),
        (
            "liveness",
            Probe(exec=EXEC, termination_grace_period_seconds=0),
            ".terminationGracePeriodSeconds",
            "must be greater than 0",
        ),
        ("liveness", Probe(tcp_socket=TCPSocketAction(port=0)), ".tcpSocket.port", "between 1 and"),
        ("liveness", Probe(grpc=GRPCAction(port=70_000)), ".grpc.port", "between 1 and 65535"),
        ("liveness", Probe(http_get=HTTPGetAction(port="Web")), ".httpGet.port", "port's name"),
        ("liveness", Probe(http_get=HTTPGetAction(port="80")), ".httpGet.port", "one letter"),
        (
            "liveness",
            Probe(http_get=HTTPGetAction(port=80, scheme="FTP")),
            ".httpGet.scheme",
            'supported values: "HTTP", "HTTPS"',
        ),
        (
            "liveness",
            Probe(http_get=HTTPGetAction(port=80, http_headers=(HTTPHeader(name="a b"),))),
            ".httpGet.httpHeaders[0].name",
            "valid HTTP header",
        ),
    ],
)
def test_a_wrong_probe_is_refused_by_its_field(kind, probe, field, says):
    found = errors(own=a_container(**{f"{kind}_probe": probe}))
    at = f"spec.containers[0].{kind}Probe{field}"
    assert list(found) == [at]
    assert says in found[at]


def test_a_readiness_probe_may_want_several_successes():
    assert errors(own=a_container(readiness_probe=Probe(exec=EXEC, success_threshold=3))) == {}


def test_init_containers_have_rules_of_their_own():
    probed = a_container("a", liveness_probe=Probe(exec=EXEC))
    assert errors(probed) == {
        "spec.initContainers[0].livenessProbe": (
            "Forbidden: may not be set for init containers without restartPolicy=Always"
        )
    }
    assert errors(a_container("a", liveness_probe=Probe(exec=EXEC), restart_policy="Always")) == {}
    (said,) = errors(a_container("a", restart_policy="Never")).values()
    assert said == 'Unsupported value: "Never": supported values: "Always"'
    assert errors(a_container("c")) == {"spec.containers[0].name": 'Duplicate value: "c"'}
    assert errors(own=a_container(restart_policy="Always")) == {
        "spec.containers[0].restartPolicy": "Forbidden: may not be set for non-init containers"
    }


@pytest.mark.parametrize(
    ("hook", "field", "says"),
    [
        (LifecycleHandler(), "", "must specify a handler type"),
        (LifecycleHandler(exec=EXEC, sleep=SleepAction(seconds=1)), ".sleep", "more than 1"),
        (
            LifecycleHandler(sleep=SleepAction(seconds=-1)),
            ".sleep.seconds",
            "greater than or equal",
        ),
        (LifecycleHandler(http_get=HTTPGetAction(port=0)), ".httpGet.port", "between 1 and 65535"),
    ],
)
def test_a_wrong_hook_is_refused_by_its_field(hook, field, says):
    found = errors(own=a_container(lifecycle=Lifecycle(pre_stop=hook)))
    at = f"spec.containers[0].lifecycle.preStop{field}"
    assert list(found) == [at]
    assert says in found[at]


def asking(name: str, cpu: str, **fields: object) -> Container:
    return a_container(name, resources=ResourceRequirements(requests={"cpu": cpu}), **fields)


@pytest.mark.parametrize(
    ("first", "milli"),
    [
        ((), 300),
        ((asking("i", "200m"),), 300),
        ((asking("i", "2"),), 2000),
        ((asking("s", "100m", restart_policy="Always"),), 400),
        ((asking("s", "100m", restart_policy="Always"), asking("i", "350m")), 450),
        ((asking("i", "350m"), asking("s", "100m", restart_policy="Always")), 400),
    ],
)
def test_a_pod_asks_for_what_it_needs_at_any_moment(first, milli):
    own = (asking("a", "100m"), asking("b", "200m"))
    assert requests(PodSpec(init_containers=first, containers=own)) == {"cpu": milli}


def test_init_containers_count_for_the_quality_of_service():
    plain = a_container()
    assert (
        qos_class(PodSpec(init_containers=(asking("i", "1"),), containers=(plain,))) == "Burstable"
    )


RUNNING = ContainerState(running=ContainerStateRunning())
DONE = ContainerState(terminated=ContainerStateTerminated(exit_code=0, reason="Completed"))
FAILED = ContainerState(terminated=ContainerStateTerminated(exit_code=3, reason="Error"))
BACKING_OFF = ContainerState(waiting=ContainerStateWaiting(reason="CrashLoopBackOff"))
COMING = ContainerState(waiting=ContainerStateWaiting(reason="PodInitializing"))


@pytest.mark.parametrize(
    ("first", "own", "ready", "word", "restarts"),
    [
        ([COMING, COMING], COMING, "0/2", "Init:0/2", "0"),
        ([RUNNING, COMING], COMING, "1/2", "Init:1/2", "1"),
        ([RUNNING, FAILED], COMING, "1/2", "Init:Error", "1"),
        ([RUNNING, BACKING_OFF], COMING, "1/2", "Init:CrashLoopBackOff", "1"),
        ([RUNNING, DONE], COMING, "1/2", "PodInitializing", "0"),
        ([RUNNING, DONE], RUNNING, "2/2", "Running", "0"),
    ],
)
def test_kubectl_sees_how_far_a_pod_has_come(first, own, ready, word, restarts):
    """Of a sidecar, an init container that was restarted once, and the pod's own container."""
    spec = PodSpec(
        init_containers=(a_container("s", restart_policy="Always"), a_container("i")),
        containers=(a_container(),),
    )
    statuses = tuple(
        ContainerStatus(
            name=name,
            state=state,
            started=state is RUNNING,
            ready=state in (RUNNING, DONE),
            restart_count=1 if name == "i" and first[0] is RUNNING else 0,
        )
        for name, state in zip(("s", "i"), first, strict=True)
    )
    mine = ContainerStatus(name="c", state=own, ready=own is RUNNING, started=own is RUNNING)
    status = PodStatus(
        phase="Running" if own is RUNNING else "Pending",
        init_container_statuses=statuses,
        container_statuses=(mine,),
    )
    pod = Pod(metadata=ObjectMeta(name="web"), spec=spec, status=status)
    cells = {column.name: column.cell(pod, 0) for column in PODS.columns if column.name != "Age"}
    assert (cells["Ready"], cells["Status"], cells["Restarts"]) == (ready, word, restarts)


def test_a_sidecar_that_ended_after_the_others_does_not_make_the_pod_look_unstarted():
    spec = PodSpec(
        init_containers=(a_container("s", restart_policy="Always"),), containers=(a_container(),)
    )
    status = PodStatus(
        phase="Succeeded",
        conditions=(Condition(type="Initialized", status="True"),),
        init_container_statuses=(ContainerStatus(name="s", state=FAILED),),
        container_statuses=(ContainerStatus(name="c", state=DONE),),
    )
    pod = Pod(metadata=ObjectMeta(name="web"), spec=spec, status=status)
    cells = {column.name: column.cell(pod, 0) for column in PODS.columns if column.name != "Age"}
    assert (cells["Ready"], cells["Status"]) == ("0/2", "Completed")
