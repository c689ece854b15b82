"""What a pod's spec says of its host, its names, its time and its devices, on real Docker."""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from proto.kinds.naming import HostAlias, PodDNSConfig, PodDNSConfigOption
from proto.kinds.resources import ResourceRequirements
from proto.kinds.security import (
    Capabilities,
    PodSecurityContext,
    SeccompProfile,
    SecurityContext,
    Sysctl,
)
from proto.kinds.volume import EmptyDirVolumeSource, SecretVolumeSource, Volume, VolumeMount
from proto.messages import AssignedPod
from tests.integration.test_agent import SLEEP
from tests.integration.test_volumes import IMAGE, a_node, sh, sources, until
from tests.unit.node_agent import given
from tests.unit.node_agent.node import Node, pod as reported, state_reason
from tests.unit.node_agent.test_volumes import CACHE, FILES, ROOM

pytestmark = pytest.mark.docker


@pytest.fixture
def tmpfs() -> Iterator[Path]:
    path = Path("/dev/shm") / f"longshore-test-{uuid.uuid4().hex[:8]}"
    yield path
    shutil.rmtree(path, ignore_errors=True)


def a_pod(name: str, script: str = "", *, policy: str = "Always", **fields: object) -> AssignedPod:
    """A pod with one container, whose fields begin with ``own_``, that runs a script or sleeps."""
    own = {key.removeprefix("own_"): v for key, v in fields.items() if key.startswith("own_")}
    its = {key: value for key, value in fields.items() if not key.startswith("own_")}
    command = ("sh", "-c", script) if script else SLEEP
    spec = given.spec(name, image=IMAGE, command=command, **own)
    found = given.pod(name, spec, policy=policy, **its)
    return replace(found, uid=uuid.uuid4().hex, sources=sources("5", "6"))


HIDDEN = Volume(name="hidden", secret=SecretVolumeSource(secret_name="keys", default_mode=0o400))
CONFINED = a_pod(
    "confined",
    volumes=(ROOM, CACHE, FILES, HIDDEN),
    security_context=PodSecurityContext(
        run_as_user=1000,
        run_as_group=3000,
        run_as_non_root=True,
        fs_group=2000,
        supplemental_groups=(4000,),
        sysctls=(Sysctl(name="net.ipv4.ip_unprivileged_port_start", value="77"),),
    ),
    own_security_context=SecurityContext(
        capabilities=Capabilities(add=("NET_ADMIN",), drop=("ALL",)),
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        seccomp_profile=SeccompProfile(type="Unconfined"),
    ),
    own_volume_mounts=(
        *(VolumeMount(name=v, mount_path=f"/{v}") for v in ("room", "cache", "files", "hidden")),
        VolumeMount(name="cache", mount_path="/part", sub_path="a/b"),
    ),
    own_resources=ResourceRequirements(requests={"memory": "1Mi"}),
    hostname="web",
    subdomain="front",
    set_hostname_as_fqdn=True,
    host_aliases=(HostAlias(ip="10.1.2.3", hostnames=("db", "db.example")),),
    dns_policy="None",
    dns_config=PodDNSConfig(
        nameservers=("10.9.9.9",),
        searches=("example.com",),
        options=(PodDNSConfigOption(name="ndots", value="2"),),
    ),
)


async def test_a_container_is_confined_and_finds_others_as_its_pod_says(tmp_path, tmpfs):
    profile = '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], '
    profile += '"action": "SCMP_ACT_ERRNO"}]}'
    (tmp_path / "no-folders.json").write_text(profile)
    local = SeccompProfile(type="Localhost", localhost_profile="no-folders.json")
    filtered = a_pod("filtered", own_security_context=SecurityContext(seccomp_profile=local))
    shared = a_pod("shared", host_pid=True, host_ipc=True)
    async with a_node(tmp_path / "agent", tmpfs, seccomp_dir=str(tmp_path)) as (node, _):
        await node.assign(CONFINED, filtered, shared)
        await node.running("confined", "filtered", "shared")

        async def said(script: str) -> str:
            return (await sh(node, script, "confined")).strip()

        assert await said("id -u; id -g; id -G") == "1000\n3000\n3000 2000 4000"
        status = dict(
            line.split()
            for line in (
                await said("grep -E '^(Cap[BE]|NoN|Seccomp:)' /proc/1/status")
            ).splitlines()
        )
        assert status["CapBnd:"] == "0000000000001000"  # CAP_NET_ADMIN alone
        assert status["CapEff:"] == "0000000000000000"  # nobody but root has any at once
        assert (status["NoNewPrivs:"], status["Seccomp:"]) == ("1", "0")
        assert "Read-only file system" in await said("touch /x 2>&1")
        assert await said("cat /proc/sys/net/ipv4/ip_unprivileged_port_start") == "77"
        assert 3 <= int(await said("cat /proc/1/oom_score_adj")) <= 999

        assert await said("stat -c '%g %a' /room /cache") == "2000 2777\n2000 2777"
        assert await said("touch /room/x && stat -c '%u:%g' /room/x") == "1000:2000"
        assert await said("touch /part/y && stat -c '%u:%g' /cache/a/b/y") == "1000:2000"
        assert await said("stat -L -c '%u:%g %a' /files/level /hidden/password") == (
            "0:2000 644\n0:2000 440"
        )
        assert await said("cat /hidden/password") == "hush"

        assert await said("hostname") == "web.front.default.svc.cluster.local"
        hosts = await said("cat /etc/hosts")
        assert "10.1.2.3\tdb\n10.1.2.3\tdb.example" in hosts
        assert "\tweb.front.default.svc.cluster.local" in hosts
        assert await said("cat /etc/resolv.conf") == (
            "search example.com\nnameserver 10.9.9.9\noptions ndots:2"
        )
        assert "Operation not permitted" in await sh(node, "mkdir /tmp/x 2>&1", "filtered")
        for namespace in ("pid", "ipc"):
            own = await sh(node, f"readlink /proc/self/ns/{namespace}", "shared")
            assert own.strip() == str(Path(f"/proc/self/ns/{namespace}").readlink())


async def ended(node: Node, name: str, reason: str) -> str:
    """The message of a pod that its node puts an end to."""
    report = await node.until(
        lambda r: (found := reported(r, name)) and found.status.reason == reason
    )
    found = reported(report, name)
    assert found.status.phase == "Failed"
    await until(lambda: reason in node.reasons(), f"an event says {reason}")
    return found.status.message


async def test_a_node_puts_an_end_to_pods_that_have_too_long_or_too_much(tmp_path, tmpfs):
    room = Volume(name="room", empty_dir=EmptyDirVolumeSource(size_limit="1Mi"))
    full = a_pod(
        "full",
        "dd if=/dev/zero of=/room/x bs=1M count=3; exec sleep 1000",
        volumes=(room,),
        own_volume_mounts=(VolumeMount(name="room", mount_path="/room"),),
    )
    settings = Sysctl(name="kernel.msgmax", value="1")
    pods = (
        a_pod("late", active_deadline_seconds=1),
        full,
        a_pod("unsafe", security_context=PodSecurityContext(sysctls=(settings,))),
        a_pod("root", own_security_context=SecurityContext(run_as_non_root=True)),
    )
    async with a_node(tmp_path / "agent", tmpfs, room_period_s=0.1) as (node, _):
        await node.assign(*pods)
        text = "Pod was active on the node longer than the specified deadline"
        assert await ended(node, "late", "DeadlineExceeded") == text
        text = 'Usage of EmptyDir volume "room" exceeds the limit "1Mi". '
        assert await ended(node, "full", "Evicted") == text
        text = 'forbidden sysctl: "kernel.msgmax" not allowlisted'
        assert await ended(node, "unsafe", "SysctlForbidden") == text
        report = await node.until(
            lambda r: state_reason(reported(r, "root")) == "CreateContainerConfigError"
        )
        waiting = reported(report, "root").status.container_statuses[0].state.waiting
        uid = reported(report, "root").uid
        assert waiting.message == (
            "container has runAsNonRoot and image will run as root "
            f'(pod: "root_default({uid})", container: root)'
        )
        folder = tmp_path / "agent" / "pods" / full.uid
        await until(lambda: not folder.exists(), "nothing is left of what was too much")
        before = {c.id for c in (await node.existing())[0]}
        await node.kill()
        node.reports.clear()
        await node.start()
        for name, reason in (("late", "DeadlineExceeded"), ("full", "Evicted")):
            await ended(node, name, reason)
        assert {c.id for c in (await node.existing())[0]} == before


async def test_how_a_container_ended_is_told_with_its_programs_last_word(tmp_path, tmpfs):
    eater = a_pod(
        "eater",
        "x=$(dd if=/dev/zero bs=1M count=64 | tr '\\0' a); echo $x",
        policy="Never",
        own_resources=ResourceRequirements(limits={"memory": "16Mi"}),
    )
    again = replace(eater, uid=uuid.uuid4().hex, name="again")
    again = replace(again, spec=replace(again.spec, restart_policy="Always"))
    last_words = {
        "said": a_pod("said", "echo enough > /dev/termination-log; exit 3", policy="Never"),
        "logged": a_pod(
            "logged",
            "echo the end; exit 4",
            policy="Never",
            own_termination_message_path="/tmp/why",
            own_termination_message_policy="FallbackToLogsOnError",
        ),
    }
    async with a_node(tmp_path / "agent", tmpfs) as (node, _):
        await node.assign(eater, again, *last_words.values())
        report = await node.until(
            lambda r: (
                (first := reported(r, "eater"))
                and first.status.phase == "Failed"
                and (other := reported(r, "again"))
                and other.status.container_statuses[0].last_state.terminated
            )
        )
        for name, wanted in (("said", (3, "enough\n")), ("logged", (4, "the end\n"))):
            report = await node.until(
                lambda r, name=name: (pod := reported(r, name)) and pod.status.phase == "Failed"
            )
            ended = reported(report, name).status.container_statuses[0].state.terminated
            assert (ended.exit_code, ended.message) == wanted
        first = reported(report, "eater").status.container_statuses[0].state.terminated
        last = reported(report, "again").status.container_statuses[0].last_state.terminated
        assert (first.reason, first.exit_code) == (last.reason, last.exit_code)
        assert (first.reason, first.exit_code) == ("OOMKilled", 137)


async def test_devices_are_given_out_unit_by_unit(tmp_path, tmpfs):
    asked = ResourceRequirements(limits={"example.com/null": "1"})
    pods = [a_pod(name, own_resources=asked) for name in ("one", "two", "three")]
    declared = {"example.com/null": "2:/dev/fuse"}
    async with a_node(tmp_path / "agent", tmpfs, resources=declared) as (node, _):
        await node.assign(*pods)

        def have(r) -> list[str]:
            return [p.name for p in r.pods if state_reason(p) == ""]

        report = await node.until(lambda r: len(have(r)) == 2)
        assert report.facts.capacity["example.com/null"] == "2"
        first, _ = have(report)
        (third,) = {pod.name for pod in pods} - {*have(report)}
        containers, _ = await node.existing()
        assert sorted(c.devices for c in containers) == ["example.com/null=0", "example.com/null=1"]
        assert "10,229" in (await sh(node, "ls -l /dev/fuse | tr -d ' '", first))
        await node.assign(*(p for p in pods if p.name != first))
        await node.until(lambda r: len(have(r)) == 2 and third in have(r))
