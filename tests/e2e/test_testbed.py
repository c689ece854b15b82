"""The testbed itself: the faults are what their names say, and no more than that."""

import pytest

from tests.e2e.host import Host, Place
from tests.e2e.images import BUSYBOX, SLEEP
from tests.e2e.testbed import Testbed
from tests.e2e.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.docker]


@pytest.fixture
def hosts(testbed: Testbed) -> tuple[Host, ...]:
    """All well and empty."""
    testbed.repair()
    testbed.wipe()
    return testbed.hosts


def test_a_host_keeps_its_disk_and_address_over_a_power_failure(hosts: tuple[Host, ...]) -> None:
    host, peer, _ = hosts
    _start_container(host)
    (host.directory / "note").write_text("kept")

    host.power_off()
    assert not _reaches(peer, host)
    assert not list(host.cgroup.pids()), "nothing of it runs"
    host.power_on()

    assert _reaches(peer, host)
    assert (host.directory / "note").read_text() == "kept"
    (container,) = host.engine.containers()
    assert container["State"] == "exited", "as after a reboot"


def test_a_cut_host_reaches_nobody_until_it_is_healed(hosts: tuple[Host, ...]) -> None:
    host, peer, _ = hosts
    host.cut()
    assert not _reaches(host, peer)
    host.heal()
    eventually(lambda: _reaches(host, peer), within_s=5, what="they see each other")


def test_two_isolated_hosts_still_reach_everybody_else(
    testbed: Testbed, hosts: tuple[Host, ...]
) -> None:
    one, other, third = hosts
    testbed.isolate(one, other)
    assert not _reaches(one, other)
    assert not _reaches(other, one)
    assert _reaches(one, third)
    assert _reaches(other, testbed.root)
    testbed.rejoin()
    assert _reaches(one, other)


def test_a_frozen_host_runs_nothing_but_answers_on_the_network(hosts: tuple[Host, ...]) -> None:
    host, peer, _ = hosts
    host.freeze()
    assert _reaches(peer, host)
    assert not host.engine.answers()
    host.thaw()
    assert host.engine.answers()


def test_a_crash_of_docker_leaves_its_containers_running(hosts: tuple[Host, ...]) -> None:
    host = hosts[0]
    _start_container(host)
    before = _sleepers(host)
    assert before
    host.kill_docker()
    assert _sleepers(host) == before
    host.start_docker()


def _start_container(host: Host) -> None:
    config = {"Image": BUSYBOX, "Cmd": SLEEP}
    made = host.engine.call("POST", "/containers/create", config)
    host.engine.call("POST", f"/containers/{made['Id']}/start")


def _sleepers(host: Host) -> list[str]:
    """Command lines of the processes that `_start_container` started, as the host sees them."""
    found = host.exec("busybox", "ps", "-o", "pid,args").splitlines()
    return [line for line in found if SLEEP[-1] in line]


def _reaches(source: Place, target: Place) -> bool:
    try:
        source.exec("busybox", "ping", "-c", "1", "-W", "1", target.address)
    except RuntimeError:
        return False
    return True
