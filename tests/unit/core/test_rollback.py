"""A rollout that misses its deadline and goes back by itself."""

import pytest
from msgspec.structs import replace

from orchestrator.core.pinning import ROLL_ON_CONFIG
from orchestrator.core.rollback import AUTO_ROLLBACK, CHANGE_CAUSE, ROLLED_OUT
from proto.kinds.configuration import CONFIG_MAPS
from proto.kinds.container import ContainerState, ContainerStateWaiting, ContainerStatus
from proto.kinds.deployment import DEPLOYMENTS
from proto.kinds.pod import PODS, is_ready
from proto.meta import condition
from tests.property.cluster_model import Cluster
from tests.unit.core.making import NOW_MS, deployment
from tests.unit.core.test_pinning import config, repaint, settings, used, using

DEADLINE_S = 60


class Fleet(Cluster):
    """Images (or colours) that begin with ``bad`` never become ready."""

    bad = "bad"

    def agent_step(self, pod):
        is_bad = any(c.image.startswith(self.bad) for c in pod.spec.containers)
        if not pod.metadata.deletion_timestamp and pod.spec.node_name and is_bad:
            if pod.status.container_statuses:
                return False
            waiting = ContainerStateWaiting(reason="ImagePullBackOff", message="no such image")
            status = ContainerStatus(name="main", state=ContainerState(waiting=waiting))
            told = replace(pod.status, container_statuses=(status,))
            self.update(PODS, replace(pod, status=told), "status")
            return True
        return super().agent_step(pod)

    def wait(self, seconds):
        """Time passes, and everybody acts when there is something to do."""
        for _ in range(seconds):
            self.settle()


def made(*, annotation="true", **options):
    cluster = Fleet(NOW_MS)
    found = deployment(3, image="good:1", progress_deadline_seconds=DEADLINE_S, **options)
    notes = {AUTO_ROLLBACK: annotation, CHANGE_CAUSE: "the first"} if annotation else {}
    cluster.create(DEPLOYMENTS, replace(found, metadata=replace(found.metadata, annotations=notes)))
    cluster.settle()
    return cluster


def deploy(cluster, image, cause=""):
    old = cluster.deployment
    container = replace(old.spec.template.spec.containers[0], image=image)
    template = replace(
        old.spec.template, spec=replace(old.spec.template.spec, containers=(container,))
    )
    notes = old.metadata.annotations | ({CHANGE_CAUSE: cause} if cause else {})
    cluster.update(
        DEPLOYMENTS,
        replace(
            old,
            metadata=replace(old.metadata, annotations=notes),
            spec=replace(old.spec, template=template),
        ),
    )
    cluster.settle()


def image(cluster):
    return cluster.deployment.spec.template.spec.containers[0].image


def test_it_goes_back_to_what_worked_and_says_why():
    cluster = made()
    deploy(cluster, "bad:2", "the second")
    assert image(cluster) == "bad:2"
    assert len(cluster.ready) == 3, "the good ones are kept meanwhile"
    cluster.wait(DEADLINE_S)
    assert image(cluster) == "good:1"
    assert cluster.deployment.metadata.annotations[CHANGE_CAUSE] == "the first"
    assert {pod.spec.containers[0].image for pod in cluster.active} == {"good:1"}
    assert len(cluster.ready) == 3
    (event,) = [text for text in cluster.events if "Rolled back" in text]
    assert event.startswith(
        "Rolled back to revision 1: revision 2 made no progress for 60 s; pod web-"
    )
    assert event.endswith(": ImagePullBackOff: no such image")
    progressing = condition(cluster.deployment.status.conditions, "Progressing")
    assert progressing.reason == "NewReplicaSetAvailable"


def test_the_deadline_is_told_before_it_goes_back():
    """So that ``kubectl rollout status`` ends with an error, as it should."""
    cluster = made()
    deploy(cluster, "bad:2")
    cluster.now_ms += DEADLINE_S * 1000
    cluster.perform(cluster.plan_deployment().decisions)
    progressing = condition(cluster.deployment.status.conditions, "Progressing")
    assert progressing.reason == "ProgressDeadlineExceeded"
    assert image(cluster) == "bad:2"
    cluster.perform(cluster.plan_deployment().decisions)
    assert image(cluster) == "good:1"


def test_it_does_not_go_back_to_another_that_never_worked():
    cluster = made()
    deploy(cluster, "bad:2")
    deploy(cluster, "bad:3")
    cluster.wait(DEADLINE_S)
    assert image(cluster) == "good:1"
    (event,) = [text for text in cluster.events if "Rolled back" in text]
    assert event.startswith("Rolled back to revision 1: revision 3 made")


@pytest.mark.parametrize("annotation", ["", "false"])
def test_without_the_annotation_it_stays_and_tells(annotation):
    cluster = made(annotation=annotation)
    deploy(cluster, "bad:2")
    cluster.wait(DEADLINE_S)
    assert image(cluster) == "bad:2"
    assert not any(ROLLED_OUT in rs.metadata.annotations for rs in cluster.replicasets)


def test_a_first_rollout_has_nothing_to_go_back_to():
    cluster = Fleet(NOW_MS)
    found = deployment(3, image="bad:1", progress_deadline_seconds=DEADLINE_S)
    notes = {AUTO_ROLLBACK: "true"}
    cluster.create(DEPLOYMENTS, replace(found, metadata=replace(found.metadata, annotations=notes)))
    cluster.wait(DEADLINE_S + 5)
    assert image(cluster) == "bad:1"
    assert not any("Rolled back" in text for text in cluster.events)


def test_what_worked_before_and_fails_now_does_not_go_further_back():
    cluster = made()
    deploy(cluster, "good:2")
    deploy(cluster, "bad:3")
    cluster.bad = ""  # nothing works any more
    for pod in cluster.ready:
        cluster.tell(pod, ready=False)
    cluster.wait(3 * DEADLINE_S)
    assert image(cluster) == "good:2"
    assert not any(is_ready(pod) for pod in cluster.active)
    assert len([text for text in cluster.events if "Rolled back" in text]) == 1


def test_configuration_goes_back_with_it():
    cluster = Fleet(NOW_MS)
    cluster.create(CONFIG_MAPS, settings("blue"))
    found = deployment(3, image="good:1", progress_deadline_seconds=DEADLINE_S)
    notes = {AUTO_ROLLBACK: "true", ROLL_ON_CONFIG: "true"}
    cluster.create(
        DEPLOYMENTS,
        replace(
            found,
            metadata=replace(found.metadata, annotations=notes),
            spec=replace(found.spec, template=using(found.spec.template)),
        ),
    )
    cluster.settle()
    repaint(cluster, "red")
    deploy(cluster, "bad:2")
    cluster.wait(DEADLINE_S)
    assert image(cluster) == "good:1"
    assert config(cluster, "settings").data == {"color": "blue"}
    assert used(cluster) == ["blue"]
    assert len(cluster.ready) == 3
