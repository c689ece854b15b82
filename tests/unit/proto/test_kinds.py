"""Kinds: what every one of them owes, and the words of the checks that users meet."""

import pytest
from msgspec.structs import replace

from orchestrator.core import fields
from proto import codec, kinds, manifest
from proto.errors import FieldError
from proto.kinds.deployment import DEPLOYMENTS, Deployment, surge_and_unavailable
from proto.kinds.kind import format_age
from proto.kinds.pod import PODS, Pod, qos_class
from proto.kinds.share import count_of
from proto.meta import LabelSelector, LabelSelectorRequirement, format_selector
from tests import manifests
from tests.manifests import WEB


def pod(spec: str = "") -> Pod:
    """A container, and more spec fields in flow style."""
    text = manifests.pod("a").replace("spec: {", f"spec: {{{spec}")
    found, _ = fields.parse(PODS, manifest.load(text.encode()))
    return PODS.defaults(found)


def container(text: str) -> Pod:
    manifest_text = manifests.pod("a").replace('image: "web:1"', f'image: "web:1", {text}')
    found, _ = fields.parse(PODS, manifest.load(manifest_text.encode()))
    return PODS.defaults(found)


def deployment(before: str = "", after: str = "") -> Deployment:
    found, _ = fields.parse(DEPLOYMENTS, manifest.load(WEB.replace(before, after).encode()))
    return DEPLOYMENTS.defaults(found)


def wrong(errors: list[FieldError]) -> list[str]:
    return [str(error) for error in errors]


def test_every_kind_can_be_told_from_every_other():
    stored = [kind for kind in kinds.ALL if kind.conversion is None]
    for facts in (
        [(kind.api_version, kind.name) for kind in kinds.ALL],
        [(kind.group, kind.plural) for kind in stored],
        [name for kind in stored for name in {kind.plural, kind.singular, *kind.short_names}],
    ):
        assert len(facts) == len(set(facts))
    for kind in kinds.ALL:
        assert kinds.find(kind.api_version, kind.name) is kind
    assert kinds.find("v1", "Cabbage") is None


def test_defaults_filled_in_twice_are_the_same_as_once():
    for kind in kinds.ALL:
        once = kind.defaults(kind.type())
        assert kind.defaults(once) == once
        assert codec.decode(codec.encode(once), kind.type) == once
    assert PODS.defaults(pod()) == pod()
    assert DEPLOYMENTS.defaults(deployment()) == deployment()


def test_a_pod_gets_what_kubernetes_gives_it():
    found = pod()
    assert found.spec.restart_policy == "Always"
    assert found.spec.termination_grace_period_seconds == 30
    assert found.spec.containers[0].image_pull_policy == "IfNotPresent"
    assert container("").spec.containers[0].resources.requests == {}
    latest = replace(found.spec.containers[0], image="web", image_pull_policy="")
    defaulted = PODS.defaults(replace(found, spec=replace(found.spec, containers=(latest,))))
    assert defaulted.spec.containers[0].image_pull_policy == "Always"


def test_a_deployment_gets_what_kubernetes_gives_it():
    spec = deployment("replicas: 3", "").spec
    assert (spec.replicas, spec.revision_history_limit) == (1, 10)
    assert spec.progress_deadline_seconds == 600
    assert spec.strategy.type == "RollingUpdate"
    assert spec.strategy.rolling_update.max_surge == "25%"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("restartPolicy: Sometimes, ", "spec.restartPolicy: Unsupported value"),
        ("terminationGracePeriodSeconds: -1, ", "must be greater than or equal to 0"),
        ("nodeName: 'not a node', ", "spec.nodeName: Invalid value"),
        ("nodeName: '*', ", "spec.nodeName: Invalid value"),
        ("nodeSelector: {'a b': c}, ", "spec.nodeSelector"),
        ("hostname: a.b, ", "spec.hostname: Invalid value"),
        ("tolerations: [{key: a, operator: Perhaps}], ", "spec.tolerations[0].operator"),
    ],
)
def test_a_wrong_pod_is_told_which_field_is_wrong(spec: str, said: str):
    (error,) = wrong(PODS.validate(pod(spec), None))
    assert said in error


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("imagePullPolicy: Maybe", "spec.containers[0].imagePullPolicy: Unsupported value"),
        ("ports: [{containerPort: 70000}]", "spec.containers[0].ports[0].containerPort"),
        ("ports: [{containerPort: 1, protocol: ICMP}]", "ports[0].protocol: Unsupported value"),
        ("env: [{name: ''}]", "spec.containers[0].env[0].name: Required value"),
        ("env: [{name: '1a'}]", "spec.containers[0].env[0].name: Invalid value"),
        ("resources: {requests: {cpu: many}}", "resources.requests.cpu: Invalid value"),
        ("resources: {requests: {cpu: 1e300}}", "resources.requests.cpu: Invalid value"),
        ("resources: {requests: {cpu: -1}}", "must be greater than or equal to 0"),
        ("resources: {requests: {cpu: 2}, limits: {cpu: 1}}", "must be less than or equal to cpu"),
    ],
)
def test_a_wrong_container_is_told_which_field_is_wrong(text: str, said: str):
    assert any(said in error for error in wrong(PODS.validate(container(text), None)))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("replicas: 3", "replicas: -3", "spec.replicas: Invalid value: -3"),
        (
            "labels: {app: web}",
            "labels: {app: other}",
            'Invalid value: {"app":"other"}: `selector` does not match template',
        ),
        ("  selector: {matchLabels: {app: web}}\n", "", "spec.selector: Required value"),
        ("replicas: 3", "strategy: {type: Blue}", "spec.strategy.type: Unsupported value"),
        (
            "replicas: 3",
            "strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0%}}",
            "may not be 0 when `maxSurge` is 0",
        ),
        (
            "replicas: 3",
            "strategy: {rollingUpdate: {maxSurge: lots}}",
            "a valid percent string must be",
        ),
        (
            "replicas: 3",
            "strategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}",
            "may not be specified when strategy `type` is 'Recreate'",
        ),
        ("replicas: 3", "progressDeadlineSeconds: 0", "must be greater than minReadySeconds"),
        ("containers: [{", "restartPolicy: Never, containers: [{", "template.spec.restartPolicy"),
    ],
)
def test_a_wrong_deployment_is_told_which_field_is_wrong(before: str, after: str, said: str):
    errors = wrong(DEPLOYMENTS.validate(deployment(before, after), None))
    assert any(said in error for error in errors), errors


def test_valid_objects_have_nothing_wrong():
    assert PODS.validate(pod(), None) == []
    assert DEPLOYMENTS.validate(deployment(), None) == []


def test_a_selector_and_a_node_once_chosen_stay():
    old, new = deployment(), deployment("{app: web}", "{app: other}")
    assert any("field is immutable" in error for error in wrong(DEPLOYMENTS.validate(new, old)))
    bound, elsewhere = pod("nodeName: n1, "), pod("nodeName: n2, ")
    assert wrong(PODS.validate(elsewhere, bound))
    assert PODS.validate(bound, pod()) == []


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "counts"),
    [
        (10, "25%", "25%", (3, 2)),
        (1, "25%", "25%", (1, 0)),
        (3, 0, "1%", (0, 1)),
        (3, 1, 0, (1, 0)),
        (2, 0, 5, (0, 2)),
        (0, "25%", "25%", (0, 0)),
    ],
)
def test_percentages_round_up_for_surge_and_down_for_what_may_be_missing(
    replicas: int, surge: int | str, unavailable: int | str, counts: tuple[int, int]
):
    rolling = f"rollingUpdate: {{maxSurge: {surge}, maxUnavailable: {unavailable}}}"
    found = deployment("replicas: 3", f"replicas: {replicas}\n  strategy: {{{rolling}}}")
    assert surge_and_unavailable(found) == counts
    assert count_of("150%", 3, round_up=True) == 5


def test_qualities_of_service_are_those_of_kubernetes():
    both = "resources: {requests: {cpu: 1, memory: 1Gi}, limits: {cpu: 1000m, memory: 1Gi}}"
    assert qos_class(container(both).spec) == "Guaranteed"
    assert qos_class(container("resources: {requests: {cpu: 1}}").spec) == "Burstable"
    assert qos_class(pod().spec) == "BestEffort"


def test_selectors_select_as_they_are_written():
    def term(operator: str, *values: str) -> LabelSelector:
        found = LabelSelectorRequirement(key="tier", operator=operator, values=values)
        return LabelSelector(match_labels={"app": "web"}, match_expressions=(found,))

    front, bare, other = {"app": "web", "tier": "front"}, {"app": "web"}, {"tier": "front"}
    for selector, selected, text in (
        (term("In", "front", "back"), [front], "app=web,tier in (back,front)"),
        (term("NotIn", "front"), [bare], "app=web,tier notin (front)"),
        (term("Exists"), [front], "app=web,tier"),
        (term("DoesNotExist"), [bare], "app=web,!tier"),
        (term("Sideways"), [], "app=web,tier"),
        (LabelSelector(), [front, bare, other], "<none>"),
    ):
        assert [one for one in (front, bare, other) if selector.matches(one)] == selected
        assert format_selector(selector) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59, "59s"), (119, "119s"), (120, "2m"), (3_599, "59m"), (3 * 86_400, "3d")],
)
def test_ages_are_written_as_kubectl_does(seconds: int, text: str):
    assert format_age(0, seconds * 1000) == text
