"""Several Docker hosts on one Linux machine.

Each host is a set of namespaces with an own dockerd (see `host`), plugged into one bridge in a
network namespace of its own, the switch. The network is 10.99.0.0/24: hosts are .11, .12 …; the
machine itself is .1, so a control plane may run outside of all hosts. What breaks can be chosen:

* a host: `power_off`, `power_on`, `freeze`, `thaw`
* the network: `cut`, `heal` for one host; `isolate`, `rejoin` for two that still reach the others
* Docker: `kill_docker`, `stop_docker`, `start_docker`

One testbed at a time per machine: a lock sees to it. Whoever holds the lock may take whatever
exists under the testbed's names for the leftovers of a run that died, and removes them first.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.e2e import cgroups
from tests.e2e.cgroups import Cgroup
from tests.e2e.host import SUBNET, SWITCH, Host, Place, run

DIRECTORY = Path("/var/tmp/longshore-testbed")
"""Short, since the sockets in it have paths of at most 107 bytes; not /tmp, which may be in memory."""

LOCK = Path("/var/tmp/longshore-testbed.lock")
CGROUP = "longshore-testbed"
UPLINK = "lstb-root"

TOOLS = {
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "sysctl": "procps",
    "nft": "nftables",
    "iptables": "iptables",
    "dockerd": "docker.io",
    "docker-init": "docker.io",
    "busybox": "busybox-static",
}
"""What the testbed runs, and the Debian package that has it."""

FAULTS = """
table bridge faults {
  set blocked { type ipv4_addr . ipv4_addr; }
  chain forward {
    type filter hook forward priority 0
    ip saddr . ip daddr @blocked drop
  }
}
"""
"""The switch drops packets from one address to another; hosts know nothing of it."""


def why_unavailable() -> str:
    """Why no testbed can be made on this machine; empty when one can."""
    if os.geteuid() != 0:
        return "the multi-host testbed needs root"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        packages = " ".join(sorted({TOOLS[tool] for tool in missing}))
        return f"the testbed needs {', '.join(missing)}: apt-get install {packages}"
    if not os.access(cgroups.hierarchy(), os.W_OK):
        return f"the testbed needs control groups it may change: {cgroups.hierarchy()}"
    namespaces = ("--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--mount-proc")
    tried = subprocess.run(
        ["unshare", *namespaces, "ip", "link", "add", "type", "bridge"],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode:
        return f"the testbed needs namespaces and bridges: {tried.stderr.strip()}"
    return ""


class Testbed:
    """The hosts, the switch between them, and the machine they are on.

    Attributes:
        root: The machine itself, for a control plane outside of the hosts.
    """

    __test__ = False  # not a test class

    def __init__(self, size: int) -> None:
        self.root = Place("root", 1, DIRECTORY / "root", Cgroup(f"{CGROUP}/root"))
        self.hosts = tuple(
            Host(number, DIRECTORY / f"h{number}", Cgroup(f"{CGROUP}/h{number}"))
            for number in range(1, size + 1)
        )

    def up(self) -> None:
        """Boot all hosts at once. Returns when Docker answers on each."""
        down()
        self.root.cgroup.create()
        run("ip", "netns", "add", SWITCH)
        run("ip", *f"link add {UPLINK} type veth peer name root netns {SWITCH}".split())
        switch = ("link set lo up", "link add br0 type bridge", "link set br0 up")
        uplink = (f"addr add {SUBNET}.1/24 dev {UPLINK}", f"link set {UPLINK} up")
        batch = "\n".join((*switch, "link set root master br0 up"))
        run("ip", "-n", SWITCH, "-batch", "-", stdin=batch + "\n")
        run("ip", "-batch", "-", stdin="\n".join(uplink) + "\n")
        run("nsenter", f"--net=/run/netns/{SWITCH}", "nft", "-f", "-", stdin=FAULTS)
        on_all(self.hosts, Host.power_on)

    def import_image(self, name: str, root_filesystem: bytes) -> None:
        """Load a one-layer image into every host."""
        on_all(self.hosts, lambda host: host.engine.import_image(name, root_filesystem))

    def isolate(self, a: Place, b: Place) -> None:
        """`a` and `b` no longer reach each other, but everybody else still reaches both."""
        self.block(a, b)
        self.block(b, a)

    def block(self, source: Place, target: Place) -> None:
        """Nothing from `source` arrives at `target`; the other direction works."""
        pair = f"{{ {source.address} . {target.address} }}"
        self._nft("add", "element", "bridge", "faults", "blocked", pair)

    def rejoin(self) -> None:
        """Everybody reaches everybody that is plugged in."""
        self._nft("flush", "set", "bridge", "faults", "blocked")

    def repair(self) -> None:
        """Undo every fault: all hosts run, all links work, every Docker answers."""
        self.rejoin()

        def repaired(host: Host) -> None:
            if not host.is_on:
                host.power_on()
                return
            host.thaw()
            host.heal()
            if not host.has_docker:
                host.start_docker()

        on_all(self.hosts, repaired)

    def wipe(self) -> None:
        """Remove all containers of all hosts."""
        on_all(self.hosts, lambda host: host.engine.remove_all_containers())

    def clear_logs(self) -> None:
        for place in (self.root, *self.hosts):
            for log in place.logs.glob("*.log"):
                os.truncate(log, 0)  # its writer appends

    def save_logs(self, target: Path) -> None:
        """Copy what every daemon of every place said."""
        for place in (self.root, *self.hosts):
            if place.logs.exists():
                shutil.copytree(place.logs, target / place.name, dirs_exist_ok=True)

    def _nft(self, *command: str) -> None:
        run("nsenter", f"--net=/run/netns/{SWITCH}", "nft", *command)


def on_all(hosts: Iterable[Host], do: Callable[[Host], None]) -> None:
    """Do the same on all hosts at once; the first failure is raised when all have ended."""
    hosts = tuple(hosts)
    with ThreadPoolExecutor(len(hosts)) as pool:
        for _ in pool.map(do, hosts):
            pass


def down() -> None:
    """Remove whatever a testbed made, alive or not. The machine's own Docker is not touched."""
    everything = Cgroup(CGROUP)
    everything.kill()
    for netns in Path("/run/netns").glob("lstb-*"):
        run("ip", "netns", "del", netns.name)
    if Path(f"/sys/class/net/{UPLINK}").exists():
        run("ip", "link", "del", UPLINK)
    everything.remove()
    shutil.rmtree(DIRECTORY, ignore_errors=True)


@contextmanager
def raised(size: int) -> Iterator[Testbed]:
    """A testbed that is up; nothing of it is left afterwards. Waits while another one exists."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = Testbed(size)
        try:
            made.up()
            yield made
        finally:
            down()
