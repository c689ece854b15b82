"""Configuration that rolls a Deployment, and goes back with it."""

import pytest
from msgspec.structs import replace

from orchestrator.core import pinning
from orchestrator.core.decisions import render
from orchestrator.core.pinning import ROLL_ON_CONFIG, SNAPSHOT_OF
from orchestrator.core.revisions import template_of
from proto.kinds.configuration import CONFIG_MAPS, SECRETS, ConfigMap, Secret
from proto.kinds.container import EnvVar, EnvVarSource
from proto.kinds.controllerrevision import CONTROLLER_REVISIONS
from proto.kinds.daemonset import DAEMON_SETS
from proto.kinds.deployment import DEPLOYMENTS, HASH_LABEL
from proto.kinds.references import Reference, referenced, renamed
from proto.kinds.source import (
    ConfigMapEnvSource,
    ConfigMapKeySelector,
    EnvFromSource,
    SecretEnvSource,
    SecretKeySelector,
)
from proto.kinds.statefulset import STATEFUL_SETS
from proto.kinds.volume import (
    ConfigMapProjection,
    ConfigMapVolumeSource,
    ProjectedVolumeSource,
    SecretProjection,
    SecretVolumeSource,
    Volume,
    VolumeProjection,
)
from proto.meta import ObjectMeta
from tests.property.cluster_model import Cluster
from tests.property.sets_model import Sets
from tests.unit.core.making import NOW_MS, daemonset, deployment, node, statefulset, template


def settings(color="blue", name="settings"):
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default"), data={"color": color})


def using(template_, *, config="settings", secret=""):
    """The template with variables of a ConfigMap and a Secret."""
    many = [EnvFromSource(config_map_ref=ConfigMapEnvSource(name=config))] if config else []
    if secret:
        many.append(EnvFromSource(secret_ref=SecretEnvSource(name=secret)))
    container = replace(template_.spec.containers[0], env_from=tuple(many))
    return replace(template_, spec=replace(template_.spec, containers=(container,)))


def rolling(*, is_pinned=True, secret="", **options):
    found = deployment(3, **options)
    notes = {ROLL_ON_CONFIG: "true"} if is_pinned else {}
    return replace(
        found,
        metadata=replace(found.metadata, annotations=notes),
        spec=replace(found.spec, template=using(found.spec.template, secret=secret)),
    )


@pytest.fixture
def cluster():
    made = Cluster(NOW_MS)
    made.create(CONFIG_MAPS, settings())
    made.create(DEPLOYMENTS, rolling())
    made.settle()
    return made


def config(cluster, name):
    return next(found for found in cluster.of(CONFIG_MAPS) if found.metadata.name == name)


def snapshots(cluster):
    return {
        found.metadata.name: found.data["color"]
        for found in cluster.of(CONFIG_MAPS)
        if SNAPSHOT_OF in found.metadata.annotations
    }


def used(cluster):
    """What the pods of the present see, by the names in their own spec."""
    colors = snapshots(cluster)
    return sorted(
        {
            colors.get(ref.name, f"live {ref.name}")
            for pod in cluster.active
            for ref in referenced(pod.spec)
        }
    )


def repaint(cluster, color):
    live = config(cluster, "settings")
    cluster.update(CONFIG_MAPS, replace(live, data={"color": color}))


def undo(cluster, rs):
    """What ``kubectl rollout undo`` does: the replica set's template without its hash."""
    labels = {k: v for k, v in rs.spec.template.metadata.labels.items() if k != HASH_LABEL}
    back = replace(rs.spec.template, metadata=replace(rs.spec.template.metadata, labels=labels))
    old = cluster.deployment
    cluster.update(DEPLOYMENTS, replace(old, spec=replace(old.spec, template=back)))


def test_pods_use_a_copy_that_nobody_changes(cluster):
    assert used(cluster) == ["blue"]
    (name,) = snapshots(cluster)
    copy = config(cluster, name)
    assert name.startswith("settings-")
    assert copy.immutable
    assert copy.metadata.controller.name == "web"
    (reference,) = referenced(cluster.deployment.spec.template.spec)
    assert reference.name == "settings", "what its owner wrote is left as it was"


def test_a_change_is_rolled_out_as_one_of_the_template(cluster):
    before = {pod.metadata.name for pod in cluster.active}
    repaint(cluster, "red")
    plan = cluster.plan_deployment()
    assert render(plan.decisions) == (
        f"create configmap {plan.decisions[0].object.metadata.name}: ConfigMap settings changed"
    )
    cluster.perform(plan.decisions)
    cluster.perform(cluster.plan_deployment().decisions)
    assert sum(rs.spec.replicas for rs in cluster.replicasets) == 4, "a surge of one, not all"
    assert used(cluster) == ["blue"]
    cluster.settle()
    assert used(cluster) == ["red"]
    assert before.isdisjoint(pod.metadata.name for pod in cluster.active)
    assert len(cluster.replicasets) == 2


def test_an_undo_takes_template_and_configuration_back_together(cluster):
    (first,) = cluster.replicasets
    repaint(cluster, "red")
    cluster.settle()
    undo(cluster, first)
    cluster.settle()
    assert used(cluster) == ["blue"]
    assert config(cluster, "settings").data == {"color": "blue"}
    assert [ref.name for ref in referenced(cluster.deployment.spec.template.spec)] == ["settings"]
    assert len(cluster.replicasets) == 2, "the replica set of the first revision is used again"
    (event,) = [text for text in cluster.events if "again" in text]
    assert event.startswith("ConfigMap settings is again as it was in settings-")


def test_an_undo_brings_back_what_was_deleted(cluster):
    (first,) = cluster.replicasets
    repaint(cluster, "red")
    cluster.settle()
    cluster.delete(CONFIG_MAPS, "settings")
    undo(cluster, first)
    cluster.settle()
    assert config(cluster, "settings").data == {"color": "blue"}
    assert used(cluster) == ["blue"]


def test_the_same_contents_again_are_the_same_copy_and_no_rollout(cluster):
    repaint(cluster, "red")
    cluster.settle()
    repaint(cluster, "blue")
    cluster.settle()
    assert used(cluster) == ["blue"]
    assert len(snapshots(cluster)) == len(cluster.replicasets) == 2
    pods = {pod.metadata.name for pod in cluster.active}
    live = config(cluster, "settings")
    labelled = replace(live, metadata=replace(live.metadata, labels={"touched": "yes"}))
    cluster.update(CONFIG_MAPS, labelled)
    cluster.settle()
    assert {pod.metadata.name for pod in cluster.active} == pods


def test_copies_go_with_the_last_revision_that_used_them():
    cluster = Cluster(NOW_MS)
    cluster.create(CONFIG_MAPS, settings())
    cluster.create(DEPLOYMENTS, rolling(revision_history_limit=1))
    for color in ("red", "green", "gold"):
        cluster.settle()
        repaint(cluster, color)
    cluster.settle()
    assert sorted(snapshots(cluster).values()) == ["gold", "green"]


def test_without_the_annotation_nothing_is_copied():
    cluster = Cluster(NOW_MS)
    cluster.create(CONFIG_MAPS, settings())
    cluster.create(DEPLOYMENTS, rolling(is_pinned=False))
    cluster.settle()
    repaint(cluster, "red")
    cluster.settle()
    assert used(cluster) == ["live settings"]
    assert len(cluster.replicasets) == 1


def test_what_is_not_there_yet_or_never_changes_is_not_copied():
    cluster = Cluster(NOW_MS)
    cluster.create(DEPLOYMENTS, rolling())
    cluster.settle()
    assert used(cluster) == ["live settings"]
    cluster.create(CONFIG_MAPS, replace(settings(), immutable=True))
    cluster.settle()
    assert used(cluster) == ["live settings"]


def test_a_secrets_copy_has_its_type_and_a_name_that_tells_nothing():
    cluster = Cluster(NOW_MS)
    cluster.create(CONFIG_MAPS, settings())
    secret = Secret(
        metadata=ObjectMeta(name="db", namespace="default"), data={"pin": "MTIzNA=="}, type="Opaque"
    )
    cluster.create(SECRETS, secret)
    cluster.create(DEPLOYMENTS, rolling(secret="db"))
    cluster.settle()
    copy = next(found for found in cluster.of(SECRETS) if found.metadata.name != "db")
    assert (copy.data, copy.type, copy.immutable) == (secret.data, "Opaque", True)
    again = Cluster(NOW_MS)
    again.create(SECRETS, secret)  # the same contents, made at another time
    again.create(CONFIG_MAPS, settings())
    again.create(DEPLOYMENTS, rolling(secret="db"))
    again.settle()
    other = next(found for found in again.of(SECRETS) if found.metadata.name != "db")
    assert other.metadata.name != copy.metadata.name


@pytest.mark.parametrize("kind", [STATEFUL_SETS, DAEMON_SETS], ids=lambda kind: kind.singular)
def test_sets_are_rolled_and_taken_back_as_well(kind):
    cluster = Sets(NOW_MS, [node("n1"), node("n2")])
    cluster.create(CONFIG_MAPS, settings())
    found = statefulset(2) if kind is STATEFUL_SETS else daemonset()
    spec = replace(found.spec, template=using(found.spec.template))
    meta = replace(found.metadata, annotations={ROLL_ON_CONFIG: "true"})
    cluster.create(kind, replace(found, metadata=meta, spec=spec))
    cluster.settle()
    assert used(cluster) == ["blue"]
    repaint(cluster, "red")
    cluster.settle()
    assert used(cluster) == ["red"]
    first = min(cluster.of(CONTROLLER_REVISIONS), key=lambda revision: revision.revision)
    cluster.change(template=template_of(first))  # as ``kubectl rollout undo`` does
    cluster.settle()
    assert used(cluster) == ["blue"]
    assert config(cluster, "settings").data == {"color": "blue"}
    (changed,) = cluster.of(kind)
    assert [ref.name for ref in referenced(changed.spec.template.spec)] == ["settings"]
    assert sorted(snapshots(cluster).values()) == ["blue", "red"]


def test_every_place_that_names_one_is_renamed():
    sources = (
        VolumeProjection(config_map=ConfigMapProjection(name="a")),
        VolumeProjection(secret=SecretProjection(name="b")),
    )
    env = (
        EnvVar(
            name="A",
            value_from=EnvVarSource(config_map_key_ref=ConfigMapKeySelector(name="e", key="k")),
        ),
        EnvVar(
            name="B", value_from=EnvVarSource(secret_key_ref=SecretKeySelector(name="f", key="k"))
        ),
        EnvVar(name="C", value="plain"),
    )
    spec = using(template(), config="g", secret="h").spec
    spec = replace(
        spec,
        volumes=(
            Volume(name="one", projected=ProjectedVolumeSource(sources=sources)),
            Volume(name="two", config_map=ConfigMapVolumeSource(name="c")),
            Volume(name="three", secret=SecretVolumeSource(secret_name="d")),
        ),
        containers=(replace(spec.containers[0], env=env),),
        init_containers=(replace(spec.containers[0], name="first"),),
    )
    found = referenced(spec)
    assert [ref.name for ref in sorted(found, key=lambda ref: ref.name)] == list("abcdefgh")
    other = renamed(spec, lambda ref: f"{ref.name}-{ref.kind}")
    assert set(referenced(other)) == {
        Reference(ref.kind, f"{ref.name}-{ref.kind}") for ref in found
    }
    assert renamed(other, lambda ref: ref.name.partition("-")[0]) == spec


def test_a_deployment_without_configuration_is_not_touched():
    found = rolling()
    empty = replace(found, spec=replace(found.spec, template=template()))
    pinned = pinning.pinned(DEPLOYMENTS, empty, pinning.NO_CONFIGS)
    assert pinned == pinning.Pinned(empty.spec.template)
