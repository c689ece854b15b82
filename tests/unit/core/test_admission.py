"""What the rest of the cluster says of a write: limit ranges, priority classes, quotas."""

import pytest
from msgspec.structs import replace

from orchestrator.core import admission, resource_quota
from orchestrator.core.admission import limits, priorities, quotas
from orchestrator.core.decisions import render
from proto import kinds
from proto.errors import Forbidden, NotFound
from proto.kinds.claim import PersistentVolumeClaimSpec, VolumeResources
from proto.kinds.configuration import CONFIG_MAPS, ConfigMap
from proto.kinds.container import Container, ResourceRequirements
from proto.kinds.namespace import NAMESPACES, Namespace
from proto.kinds.pod import PODS, Pod, PodSpec
from proto.kinds.quota import (
    LIMIT_RANGES,
    PRIORITY_CLASSES,
    RESOURCE_QUOTAS,
    LimitRange,
    LimitRangeItem,
    LimitRangeSpec,
    PriorityClass,
    ResourceQuota,
    ResourceQuotaSpec,
    ScopedSelectorRequirement,
    ScopeSelector,
)
from proto.kinds.service import SERVICES, Service, ServicePort, ServiceSpec
from proto.kinds.storage import (
    PERSISTENT_VOLUME_CLAIMS,
    PersistentVolumeClaim,
)
from proto.meta import ObjectMeta


class Objects:
    """A cluster of a few objects."""

    def __init__(self, *found):
        self.all = list(found)
        self.kinds = self

    def named(self, resource):
        return next((kind for kind in kinds.ALL if kind.resource == resource), None)

    def objects(self, kind, namespace=None):
        return [
            found
            for found in self.all
            if isinstance(found, kind.type) and namespace in (None, found.metadata.namespace)
        ]

    def get(self, kind, namespace, name):
        return next((o for o in self.objects(kind, namespace) if o.metadata.name == name), None)


def meta(name):
    return ObjectMeta(name=name, namespace="team")


def pod(name="web", *, phase="", requests=None, limits=None, containers=("main",), **spec):
    resources = ResourceRequirements(requests=requests or {}, limits=limits or {})
    made = PODS.defaults(
        Pod(
            metadata=meta(name),
            spec=PodSpec(
                containers=tuple(
                    Container(name=c, image="web:1", resources=resources) for c in containers
                ),
                **spec,
            ),
        )
    )
    return replace(made, status=replace(made.status, phase=phase or "Pending"))


def quota(name="compute", *, scopes=(), terms=(), **hard):
    named = {key.replace("__", "/").replace("_", "."): value for key, value in hard.items()}
    selector = ScopeSelector(match_expressions=terms) if terms else None
    spec = ResourceQuotaSpec(hard=named, scopes=scopes, scope_selector=selector)
    return ResourceQuota(metadata=meta(name), spec=spec)


def limit_range(**item):
    kind = item.pop("type", "Container")
    spec = LimitRangeSpec(limits=(LimitRangeItem(type=kind, **item),))
    return LIMIT_RANGES.defaults(LimitRange(metadata=meta("bounds"), spec=spec))


def priority_class(name, value, **more):
    made = PriorityClass(metadata=ObjectMeta(name=name), value=value, **more)
    return PRIORITY_CLASSES.defaults(made)


def charge(cluster, *new, kind=PODS, old=None, ledger=None):
    ledger = ledger or quotas.Ledger(cluster)
    ledger.charge([quotas.Write(kind, "team", old, found) for found in new])
    return ledger


def refusal(call, *args, **kwargs):
    with pytest.raises(Forbidden) as caught:
        call(*args, **kwargs)
    return str(caught.value)


# -- namespaces


def test_nothing_is_made_in_a_namespace_that_is_not_there_or_goes():
    with pytest.raises(NotFound, match='namespaces "team" not found'):
        admission.admit(PODS, pod(), None, Objects())
    going = Namespace(metadata=ObjectMeta(name="team", deletion_timestamp="2026-01-01T00:00:00Z"))
    cluster = Objects(replace(going, metadata=replace(going.metadata, namespace="")))
    assert refusal(admission.admit, PODS, pod(), None, cluster) == (
        'pods "web" is forbidden: unable to create new content in namespace team because it is '
        "being terminated"
    )
    assert NAMESPACES.name == "Namespace"


# -- limit ranges


def test_a_container_that_says_nothing_gets_the_defaults_and_a_note():
    found = limit_range(default={"cpu": "500m", "memory": "64Mi"}, default_request={"cpu": "100m"})
    made = limits.admit(PODS, pod(), None, Objects(found))
    assert made.spec.containers[0].resources == ResourceRequirements(
        requests={"cpu": "100m", "memory": "64Mi"}, limits={"cpu": "500m", "memory": "64Mi"}
    )
    assert made.metadata.annotations == {
        "kubernetes.io/limit-ranger": "LimitRanger plugin set: cpu, memory request for container "
        "main; cpu, memory limit for container main"
    }
    assert PODS.defaults(made).status.qos_class == "Burstable"


def test_a_containers_own_numbers_stay():
    found = limit_range(default={"cpu": "500m"}, default_request={"cpu": "100m"})
    own = pod(requests={"cpu": "200m"}, limits={"cpu": "300m"})
    assert limits.admit(PODS, own, None, Objects(found)) is own
    only_limited = limits.admit(PODS, pod(limits={"cpu": "300m"}), None, Objects(found))
    assert only_limited.spec.containers[0].resources.requests == {"cpu": "300m"}


def test_a_maximum_is_the_default_where_there_is_none():
    item = limit_range(max={"cpu": "1"}, min={"cpu": "100m"}).spec.limits[0]
    assert (item.default, item.default_request) == ({"cpu": "1"}, {"cpu": "1"})
    item = limit_range(min={"cpu": "100m"}).spec.limits[0]
    assert (item.default, item.default_request) == ({}, {"cpu": "100m"})


@pytest.mark.parametrize(
    ("item", "made", "why"),
    [
        (
            {"max": {"cpu": "800m"}},
            pod(limits={"cpu": "1500m"}, requests={"cpu": "500m"}),
            "maximum cpu usage per Container is 800m, but limit is 1500m",
        ),
        (
            {"max": {"cpu": "800m"}},
            pod(),
            "maximum cpu usage per Container is 800m.  No limit is specified",
        ),
        (
            {"min": {"cpu": "200m"}},
            pod(requests={"cpu": "100m"}),
            "minimum cpu usage per Container is 200m, but request is 100m",
        ),
        (
            {"min": {"cpu": "200m"}},
            pod(),
            "minimum cpu usage per Container is 200m.  No request is specified",
        ),
        (
            {"max_limit_request_ratio": {"memory": "2"}},
            pod(requests={"memory": "100Mi"}, limits={"memory": "300Mi"}),
            "memory max limit to request ratio per Container is 2, but provided ratio is 3.000000",
        ),
        (
            {"type": "Pod", "max": {"memory": "1Gi"}},
            pod(limits={"memory": "768Mi"}, containers=("a", "b")),
            "maximum memory usage per Pod is 1Gi, but limit is 1536Mi",
        ),
        (
            {"max": {"cpu": "1", "memory": "1Gi"}},
            pod(limits={"cpu": "2", "memory": "2Gi"}),
            (
                "[maximum cpu usage per Container is 1, but limit is 2, "
                "maximum memory usage per Container is 1Gi, but limit is 2Gi]"
            ),
        ),
    ],
)
def test_what_is_out_of_bounds_is_refused_in_kubernetes_words(item, made, why):
    said = refusal(limits.check, PODS, made, None, Objects(limit_range(**item)))
    assert said == f'pods "web" is forbidden: {why}'


@pytest.mark.parametrize(
    ("storage", "why"),
    [
        ("3Gi", "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"),
        ("500Mi", "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 500Mi"),
    ],
)
def test_a_claim_must_be_within_bounds(storage, why):
    spec = PersistentVolumeClaimSpec(resources=VolumeResources(requests={"storage": storage}))
    claim = PersistentVolumeClaim(metadata=meta("data"), spec=spec)
    found = limit_range(
        type="PersistentVolumeClaim", min={"storage": "1Gi"}, max={"storage": "2Gi"}
    )
    said = refusal(limits.check, PERSISTENT_VOLUME_CLAIMS, claim, None, Objects(found))
    assert said == f'persistentvolumeclaims "data" is forbidden: {why}'


# -- priority classes


def test_a_pod_gets_what_its_class_says():
    cluster = Objects(priority_class("high", 1000, preemption_policy="Never"))
    spec = priorities.admit(PODS, pod(priority_class_name="high"), None, cluster).spec
    assert (spec.priority, spec.preemption_policy) == (1000, "Never")


def test_without_a_class_the_default_goes_or_none():
    spec = priorities.admit(PODS, pod(), None, Objects()).spec
    assert (spec.priority_class_name, spec.priority) == ("", 0)
    assert spec.preemption_policy == "PreemptLowerPriority"
    usual = priority_class("usual", 7, global_default=True)
    spec = priorities.admit(PODS, pod(), None, Objects(usual)).spec
    assert (spec.priority_class_name, spec.priority) == ("usual", 7)


def test_a_pod_may_not_say_otherwise_than_its_class():
    cluster = Objects(priority_class("high", 1000))
    assert refusal(
        priorities.admit, PODS, pod(priority_class_name="high", priority=5), None, cluster
    ) == (
        'pods "web" is forbidden: the integer value of priority (5) must not be provided in pod '
        "spec; priority admission controller computed 1000 from the given PriorityClass name"
    )
    assert refusal(priorities.admit, PODS, pod(priority_class_name="low"), None, cluster) == (
        'pods "web" is forbidden: no PriorityClass with name low was found'
    )


def test_a_pod_keeps_the_priority_it_was_made_with():
    old = pod(priority=1000, preemption_policy="Never", priority_class_name="high")
    asked = pod(priority_class_name="high")
    assert priorities.admit(PODS, asked, old, Objects()).spec == old.spec


def test_one_class_at_most_is_the_default():
    usual = priority_class("usual", 7, global_default=True)
    priorities.check(PRIORITY_CLASSES, usual, usual, Objects(usual))
    another = priority_class("another", 8, global_default=True)
    assert refusal(priorities.check, PRIORITY_CLASSES, another, None, Objects(usual)) == (
        'priorityclasses.scheduling.k8s.io "another" is forbidden: PriorityClass usual is already '
        "marked as default. Only one default can exist"
    )


@pytest.mark.parametrize(
    ("name", "value", "at"),
    [("mine", 1_000_000_001, "value"), ("system-mine", 5, "metadata.name")],
)
def test_users_may_not_go_before_the_system(name, value, at):
    (error,) = PRIORITY_CLASSES.validate(priority_class(name, value), None)
    assert error.field == at


# -- quotas


def test_what_exceeds_a_quota_is_refused_with_the_numbers():
    cluster = Objects(quota(pods="2"), pod("a"), pod("b"))
    assert refusal(charge, cluster, pod("c")) == (
        'pods "c" is forbidden: exceeded quota: compute, requested: pods=1, used: pods=2, '
        "limited: pods=2"
    )


def test_amounts_are_summed_and_printed_as_they_were_written():
    there = pod("a", requests={"cpu": "700m", "memory": "1Gi"})
    cluster = Objects(quota(requests_cpu="1", requests_memory="1536Mi"), there)
    assert refusal(charge, cluster, pod("b", requests={"cpu": "500m", "memory": "768Mi"})) == (
        'pods "b" is forbidden: exceeded quota: compute, requested: '
        "requests.cpu=500m,requests.memory=768Mi, used: requests.cpu=700m,requests.memory=1Gi, "
        "limited: requests.cpu=1,requests.memory=1536Mi"
    )


def test_who_does_not_say_what_a_quota_bounds_is_refused():
    cluster = Objects(quota(limits_cpu="1", limits_memory="1Gi"))
    assert refusal(charge, cluster, pod(containers=("main", "side"))) == (
        'pods "web" is forbidden: failed quota: compute: must specify limits.cpu for: main,side; '
        "limits.memory for: main,side"
    )


def test_two_writes_of_one_transaction_cannot_both_have_the_last_unit():
    cluster = Objects(quota(pods="2"), pod("a"))
    ledger = charge(cluster, pod("b"))
    assert "used: pods=2" in refusal(charge, cluster, pod("c"), ledger=ledger)


def test_writes_that_go_together_are_counted_all_or_none():
    cluster = Objects(quota(pods="2"), pod("a"))
    ledger = quotas.Ledger(cluster)
    refusal(charge, cluster, pod("b"), pod("c"), ledger=ledger)
    charge(cluster, pod("b"), ledger=ledger)


def test_what_goes_leaves_room_and_who_has_ended_takes_none():
    ended, running = pod("a", phase="Succeeded"), pod("b")
    cluster = Objects(quota(pods="2", count__pods="3"), ended, running)
    ledger = charge(cluster, pod("c"))
    assert "requested: count/pods=1,pods=1" in refusal(charge, cluster, pod("d"), ledger=ledger)
    ledger.charge([quotas.Write(PODS, "team", running, None)])
    charge(cluster, pod("d"), ledger=ledger)


def test_a_change_that_uses_no_more_passes_even_beyond_the_bounds():
    cluster = Objects(quota(pods="0"), pod("a"))
    charge(cluster, pod("a", phase="Running"), old=pod("a"))


def test_services_are_counted_by_what_they_take():
    ports = (ServicePort(port=80), ServicePort(port=81))
    plain = Service(metadata=meta("s"), spec=ServiceSpec(type="ClusterIP", ports=ports))
    opened = replace(plain, spec=replace(plain.spec, type="NodePort"))
    cluster = Objects(quota(services="1", services_nodeports="1"), plain)
    assert refusal(charge, cluster, opened, kind=SERVICES, old=plain) == (
        'services "s" is forbidden: exceeded quota: compute, requested: services.nodeports=2, '
        "used: services.nodeports=0, limited: services.nodeports=1"
    )


def test_claims_are_counted_by_size_and_by_class():
    spec = PersistentVolumeClaimSpec(
        storage_class_name="fast", resources=VolumeResources(requests={"storage": "2Gi"})
    )
    claim = PersistentVolumeClaim(metadata=meta("data"), spec=spec)
    name = "fast.storageclass.storage.k8s.io/requests.storage"
    bounds = ResourceQuota(metadata=meta("q"), spec=ResourceQuotaSpec(hard={name: "1Gi"}))
    assert f"requested: {name}=2Gi, used: {name}=0" in refusal(
        charge, Objects(bounds), claim, kind=PERSISTENT_VOLUME_CLAIMS
    )


def test_any_kind_is_counted_by_its_name():
    there = ConfigMap(metadata=meta("a"))
    cluster = Objects(quota(configmaps="1"), there)
    said = refusal(charge, cluster, ConfigMap(metadata=meta("b")), kind=CONFIG_MAPS)
    assert "exceeded quota: compute, requested: configmaps=1, used: configmaps=1" in said
    assert CONFIG_MAPS.resource == "configmaps"


def in_class(operator, *values):
    return ScopedSelectorRequirement(scope_name="PriorityClass", operator=operator, values=values)


@pytest.mark.parametrize(
    ("bounds", "is_bound"),
    [
        ({"scopes": ("BestEffort",)}, False),
        ({"scopes": ("NotBestEffort",)}, True),
        ({"scopes": ("NotTerminating",)}, True),
        ({"scopes": ("Terminating",)}, False),
        ({"scopes": ("PriorityClass",)}, True),
        ({"terms": (in_class("In", "high"),)}, True),
        ({"terms": (in_class("NotIn", "high"),)}, False),
        ({"terms": (in_class("Exists"),)}, True),
        ({"terms": (in_class("DoesNotExist"),)}, False),
    ],
)
def test_a_scope_says_which_pods_a_quota_is_about(bounds, is_bound):
    wanted = pod(requests={"cpu": "1"}, priority_class_name="high")
    cluster = Objects(quota(pods="0", **bounds))
    if is_bound:
        assert "exceeded quota" in refusal(charge, cluster, wanted)
    else:
        charge(cluster, wanted)


def test_a_quota_tells_what_is_used_and_then_is_left_alone():
    found = quota(requests_memory="1Gi", pods="5")
    cluster = Objects(found, pod("a", requests={"memory": "300Mi"}), pod("b"))
    plan = resource_quota.plan(found, quotas.used(found, cluster))
    assert render(plan.decisions) == (
        "update status of resourcequota compute: used: pods 2, requests.memory 300Mi"
    )
    told = plan.decisions[0].object
    assert resource_quota.plan(told, quotas.used(told, cluster)).decisions == ()
    assert RESOURCE_QUOTAS.validate(told, None) == []
