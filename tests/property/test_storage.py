"""Claims and volumes, in any order of steps, from plans that may be stale."""

from typing import Any

from hypothesis import given, settings, strategies as st
from msgspec.structs import replace

from orchestrator.core.decisions import Plan
from orchestrator.core.storage import claims, matching, using, volumes
from orchestrator.core.storage.provision import OURS
from proto.kinds.kind import Kind
from proto.kinds.persistentvolume import PERSISTENT_VOLUMES
from proto.kinds.pod import PODS, Pod
from proto.kinds.storage import (
    NO_PROVISIONER,
    PERSISTENT_VOLUME_CLAIMS,
    SELECTED_NODE,
    STORAGE_CLASSES,
    WAIT,
    PersistentVolumeClaim,
)
from proto.messages import VolumeReport
from tests.property.cluster_model import Cluster
from tests.unit.core import storing
from tests.unit.core.making import NOW_MS

SETTINGS = settings(max_examples=80, deadline=None)
CLASSES = ["", "now", "later", "manual"]
NODES = {name: storing.node(name) for name in ("n1", "n2")}


class Model(Cluster):
    """A cluster with storage; its agents do at once what they are told."""

    def __init__(self) -> None:
        super().__init__(NOW_MS)
        for found in (
            storing.a_class("now"),
            storing.a_class("later", volume_binding_mode=WAIT),
            storing.a_class("manual", provisioner=NO_PROVISIONER, volume_binding_mode=WAIT),
        ):
            self.create(STORAGE_CLASSES, found)

    def pods_using(self, claim: str) -> list[Pod]:
        named = (pod for pod in self.pods)
        return [pod for pod in named if claim in using.names(pod.metadata.name, pod.spec)]

    def plan_of(self, kind: Kind[Any], name: str) -> Plan:
        found = self.objects[kind.plural, name]
        if kind is PERSISTENT_VOLUME_CLAIMS:
            classes = {c.metadata.name: c for c in self.of(STORAGE_CLASSES)}
            disks = tuple(self.of(PERSISTENT_VOLUMES))
            around = claims.Around(disks, classes, self.pods_using(name), NODES)
            return claims.plan(found, around)
        ref = found.spec.claim_ref
        claim = self.objects.get((PERSISTENT_VOLUME_CLAIMS.plural, ref.name)) if ref else None
        pods = self.pods_using(ref.name) if ref else []
        return volumes.plan(found, claim, pods, NODES, NOW_MS)

    def planned(self) -> list[tuple[Kind[Any], str]]:
        return [
            (kind, found.metadata.name)
            for kind in (PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES)
            for found in self.of(kind)
        ]

    def perform_if_fresh(self, plan: Plan) -> int:
        """As the store does: a decision derived from what has changed since is refused."""
        done = 0
        for decision in plan.decisions:
            try:
                done += self.perform([decision])
            except (AssertionError, KeyError):
                continue
        return done

    def choose_nodes(self) -> int:
        """What the scheduler does for pods' claims."""
        done = 0
        for claim in self.of(PERSISTENT_VOLUME_CLAIMS):
            name = claim.metadata.name
            found = self.objects.get((STORAGE_CLASSES.plural, matching.class_name(claim)))
            if found is None or not found.waits or matching.is_bound(claim):
                continue
            users = self.pods_using(name)
            if users and SELECTED_NODE not in claim.metadata.annotations:
                node = self.node_for(users[0], claim)
                done += self.perform([using.chosen(claim, node, users[0])] if node else [])
        return done

    def node_for(self, pod: Pod, claim: PersistentVolumeClaim) -> str:
        """The first that the claim allows; empty when none does."""
        disks = {volume.metadata.name: volume for volume in self.of(PERSISTENT_VOLUMES)}
        classes = {found.metadata.name: found for found in self.of(STORAGE_CLASSES)}
        known = using.Known({claim.metadata.name: claim}, disks, classes)
        alone = storing.using(pod.metadata.name, claim.metadata.name)
        try:
            selectors = using.needs(alone, known).selectors
        except using.Blocked:
            return ""
        return next((n for n in NODES if all(s.matches(n, {}) for s in selectors)), "")

    def agents_remove(self) -> int:
        done = 0
        for volume in self.of(PERSISTENT_VOLUMES):
            for node in volumes.leaves(volume)[:1]:
                gone = VolumeReport(
                    name=volume.metadata.name, uid=volume.metadata.uid, is_gone=True
                )
                told = volumes.reported(node, [gone], {volume.metadata.name: volume}, NOW_MS)
                done += self.perform(told)
        return done

    def settle(self) -> None:
        for _ in range(60):
            done = self.choose_nodes() + self.agents_remove()
            for key in self.planned():
                if (key[0].plural, key[1]) in self.objects:
                    done += self.perform(self.plan_of(*key).decisions)
            if not done:
                return
        raise AssertionError("it does not come to rest")

    def check(self) -> None:
        """No volume is two claims'; who has one, has one that is its own."""
        owned: dict[str, str] = {}
        for claim in self.of(PERSISTENT_VOLUME_CLAIMS):
            if claim.status.phase != "Bound":
                continue
            volume = self.objects[PERSISTENT_VOLUMES.plural, claim.spec.volume_name]
            assert volume.spec.claim_ref.uid == claim.metadata.uid
            assert volume.metadata.name not in owned
            owned[volume.metadata.name] = claim.metadata.name


claim_shapes = st.fixed_dictionaries(
    {
        "of": st.sampled_from([*CLASSES, None]),
        "size": st.sampled_from(["1Gi", "2Gi", "3Gi"]),
        "volume_name": st.sampled_from(["", "", "", "pv0", "pv1"]),
        "finalizers": st.just(()),
    }
)
volume_shapes = st.fixed_dictionaries(
    {
        "of": st.sampled_from(CLASSES),
        "size": st.sampled_from(["1Gi", "2Gi"]),
        "policy": st.sampled_from(["Retain", "Delete"]),
        "given_to": st.sampled_from(["", "", "pvc0"]),
        "uid": st.just(""),
        "nodes": st.sampled_from([(), ("n1",), ("n2",)]),
        "finalizers": st.just(()),
    }
)


def cluster_of(wanted, offered, users) -> Model:
    model = Model()
    for index, shape in enumerate(wanted):
        model.create(PERSISTENT_VOLUME_CLAIMS, storing.claim(f"pvc{index}", **shape))
    for index, shape in enumerate(offered):
        model.create(PERSISTENT_VOLUMES, storing.volume(f"pv{index}", **shape))
    for index, claim in enumerate(users):
        model.create(PODS, storing.using(f"pod{index}", f"pvc{claim}"))
    return model


clusters = st.builds(
    cluster_of,
    st.lists(claim_shapes, max_size=4),
    st.lists(volume_shapes, max_size=3),
    st.lists(st.integers(0, 3), max_size=3),
)


@SETTINGS
@given(model=clusters, data=st.data())
def test_no_volume_is_given_to_two_claims_even_by_stale_plans(model: Model, data):
    old: list[Plan] = []
    for _ in range(12):
        keys = model.planned()
        if not keys:
            break
        old.append(model.plan_of(*data.draw(st.sampled_from(keys))))
        if data.draw(st.booleans()):
            model.choose_nodes()
        model.perform_if_fresh(old.pop(data.draw(st.integers(0, len(old) - 1))))
        model.check()
    model.settle()
    model.check()


@SETTINGS
@given(model=clusters)
def test_following_the_plans_ends_and_what_is_settled_is_left_alone(model: Model):
    model.settle()
    model.check()
    before = dict(model.objects)
    for key in model.planned():
        model.perform(model.plan_of(*key).decisions)
    assert model.objects == before


@SETTINGS
@given(model=clusters, order=st.randoms(use_true_random=False))
def test_the_order_of_volumes_is_irrelevant(model: Model, order):
    for claim in model.of(PERSISTENT_VOLUME_CLAIMS):
        disks = model.of(PERSISTENT_VOLUMES)
        classes = {c.metadata.name: c for c in model.of(STORAGE_CLASSES)}
        first = claims.plan(claim, claims.Around(tuple(disks), classes, (), NODES))
        order.shuffle(disks)
        assert claims.plan(claim, claims.Around(tuple(disks), classes, (), NODES)) == first


@SETTINGS
@given(model=clusters, data=st.data())
def test_a_claim_in_use_stays_and_what_was_made_for_it_goes_with_it(model: Model, data):
    model.settle()
    for pod in model.pods:
        model.objects[PODS.plural, pod.metadata.name] = replace(
            pod, spec=replace(pod.spec, node_name="n1")
        )
    names = [found.metadata.name for found in model.of(PERSISTENT_VOLUME_CLAIMS)]
    for name in names:
        model.delete(PERSISTENT_VOLUME_CLAIMS, name)
    model.settle()
    left = {found.metadata.name for found in model.of(PERSISTENT_VOLUME_CLAIMS)}
    assert left == {name for name in names if model.pods_using(name)}
    for pod in model.pods:
        del model.objects[PODS.plural, pod.metadata.name]
    model.settle()
    assert model.of(PERSISTENT_VOLUME_CLAIMS) == []
    assert [v for v in model.of(PERSISTENT_VOLUMES) if v.provisioner in OURS] == []
