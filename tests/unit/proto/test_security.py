"""What may be said of a pod's rights, its names and its resources, in Kubernetes' words."""

import pytest

from orchestrator.core.fields import parse
from proto.errors import Invalid
from proto.kinds.pod import PODS, Pod
from proto.kinds.shares import qos_class


def pod(container: dict | None = None, **spec: object) -> Pod:
    own = {"name": "c", "image": "web:1"} | (container or {})
    found, _ = parse(PODS, {"metadata": {"name": "a"}, "spec": {"containers": [own]} | spec})
    return PODS.defaults(found)


def errors(container: dict | None = None, **spec: object) -> list[str]:
    """``path: text`` of each, without the path of the spec or of the container."""
    found = PODS.validate(pod(container, **spec), None)
    texts = [f"{e.field}: {e.message}" for e in found]
    return [t.removeprefix("spec.").removeprefix("containers[0].") for t in texts]


def context(**fields: object) -> dict:
    return {"securityContext": fields}


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (
            context(runAsUser=-1),
            "securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
        ),
        (
            context(supplementalGroups=[1, 2**31]),
            (
                "securityContext.supplementalGroups[1]: Invalid value: 2147483648: must be between 0 and "
                "2147483647, inclusive"
            ),
        ),
        (
            context(fsGroupChangePolicy="Never"),
            (
                'securityContext.fsGroupChangePolicy: Unsupported value: "Never": supported values: '
                '"Always", "OnRootMismatch"'
            ),
        ),
        (
            context(seccompProfile={"type": "Localhost"}),
            (
                "securityContext.seccompProfile.localhostProfile: Required value: must be set when "
                "seccomp type is Localhost "
            ),
        ),
        (
            context(seccompProfile={"type": "Localhost", "localhostProfile": "../x"}),
            (
                'securityContext.seccompProfile.localhostProfile: Invalid value: "../x": must not '
                "contain '..'"
            ),
        ),
        (
            context(seccompProfile={"type": "Unconfined", "localhostProfile": "x"}),
            (
                'securityContext.seccompProfile.localhostProfile: Invalid value: "x": can only be set '
                "when seccomp type is Localhost"
            ),
        ),
        (
            context(sysctls=[{"name": "net.a", "value": "1"}]) | {"hostNetwork": True},
            (
                'securityContext.sysctls[0].name: Invalid value: "net.a": may not be specified when '
                "'hostNetwork' is true"
            ),
        ),
        (
            context(sysctls=[{"name": n, "value": "1"} for n in ("net.a", "net/a")]),
            'securityContext.sysctls[1].name: Duplicate value: "net/a"',
        ),
        (
            context(supplementalGroupsPolicy="Strict"),
            (
                "securityContext.supplementalGroupsPolicy: Forbidden: Longshore adds the image's own "
                "groups, as Docker does: leave it out, or say Merge"
            ),
        ),
        (
            {"hostPID": True, "shareProcessNamespace": True},
            (
                "shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot "
                "both be enabled"
            ),
        ),
        (
            {"hostUsers": False},
            (
                "hostUsers: Forbidden: Docker maps users for all containers of a host, or for none: "
                "leave it out"
            ),
        ),
        (
            {"os": {"name": "windows"}},
            'os.name: Unsupported value: "windows": supported values: "linux"',
        ),
        (
            {"activeDeadlineSeconds": 0},
            "activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
        ),
        (
            {"hostAliases": [{"ip": "x", "hostnames": ["a"]}]},
            (
                'hostAliases[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or '
                "2001:db8::ffff)"
            ),
        ),
        (
            {"dnsPolicy": "None"},
            "dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
        ),
        (
            {"dnsPolicy": "None", "dnsConfig": {"searches": ["a.example."]}},
            (
                "dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when "
                "`dnsPolicy` is None"
            ),
        ),
        (
            {"dnsConfig": {"nameservers": ["1.1.1.1"] * 4}},
            (
                'dnsConfig.nameservers: Invalid value: ["1.1.1.1","1.1.1.1","1.1.1.1","1.1.1.1"]: must '
                "not have more than 3 nameservers"
            ),
        ),
        (
            {"dnsConfig": {"options": [{"value": "1"}]}},
            "dnsConfig.options[0]: Required value: must not be empty",
        ),
    ],
)
def test_what_a_pod_may_not_say(spec: dict, told: str):
    assert errors(**spec) == [told]


@pytest.mark.parametrize(
    ("container", "told"),
    [
        (
            context(privileged=True, allowPrivilegeEscalation=False),
            "securityContext: cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
        ),
        (
            context(capabilities={"add": ["CAP_SYS_ADMIN"]}, allowPrivilegeEscalation=False),
            (
                "securityContext: cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` "
                "CAP_SYS_ADMIN"
            ),
        ),
        (
            context(procMount="Unmasked"),
            (
                'securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use '
                "`Unmasked`"
            ),
        ),
        (
            {"terminationMessagePolicy": "Log"},
            (
                'terminationMessagePolicy: Unsupported value: "Log": supported values: '
                '"FallbackToLogsOnError", "File"'
            ),
        ),
        (
            {"resources": {"limits": {"widget": "1"}}},
            'resources.limits: Invalid value: "widget": must be a standard resource for containers',
        ),
        (
            {"resources": {"requests": {"example.com/widget": "1"}}},
            "resources.limits: Required value: Limit must be set for non overcommitable resources",
        ),
        (
            {"resources": {"limits": {"a.b/w": "2"}, "requests": {"a.b/w": "1"}}},
            'resources.requests: Invalid value: "1": must be equal to a.b/w limit of 2',
        ),
    ],
)
def test_what_a_container_may_not_say(container: dict, told: str):
    assert told in errors(container)


def test_half_a_device_is_not_to_be_had():
    told = errors({"resources": {"limits": {"a.b/w": "500m"}}})
    assert told[0] == 'resources.limits.a.b/w: Invalid value: "500m": must be an integer'


@pytest.mark.parametrize("field", ["seLinuxOptions", "windowsOptions"])
def test_what_no_node_can_do_is_refused(field: str):
    with pytest.raises(Invalid, match=f"securityContext.{field}: Forbidden"):
        pod(context(**{field: {"user": "x"}}))


def test_devices_make_no_quality_of_service():
    containers = pod({"resources": {"limits": {"a.b/w": "1"}}}).spec.containers
    assert qos_class(containers) == "BestEffort"
