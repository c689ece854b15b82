"""A place where daemons run: the machine itself, or a host made of namespaces."""

import json
import shutil
import subprocess
from pathlib import Path

from tests.e2e.cgroups import Cgroup
from tests.e2e.engine import Engine
from tests.e2e.process import Process
from tests.e2e.waiting import eventually

SUBNET = "10.99.0"
SWITCH = "lstb-sw"
"""The network namespace with the bridge that all hosts are plugged into."""

DOCKER_START_S = 40
"""dockerd needs about a second alone and many times that when several boot on few cores."""

BOOT = r"""
set -e
hostname "$1"
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/docker /run/cgroup
ln -s "$2/docker.sock" /run/docker.sock
# This network namespace's own /sys, with the control groups kept: `ip netns exec` would lose them.
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs sysfs /sys
mount --rbind /run/cgroup /sys/fs/cgroup
umount -l /run/cgroup
for file in docker hosts resolv.conf machine-id; do
  [ ! -e "/etc/$file" ] || mount --bind "$2/etc/$file" "/etc/$file"
done
echo booted
exec docker-init -- sleep infinity >/dev/null 2>&1
"""
"""Runs as pid 1 of a new host: $1 its name, $2 its directory."""


def run(*argv: str, stdin: str = "") -> str:
    """A command's output.

    Raises:
        RuntimeError: It failed; with what it said.
    """
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


class Place:
    """Somewhere to start processes that die together.

    Attributes:
        address: Of the place in the testbed's network.
    """

    def __init__(self, name: str, number: int, directory: Path, cgroup: Cgroup) -> None:
        self.name = name
        self.address = f"{SUBNET}.{number}"
        self.directory = directory
        self.cgroup = cgroup
        self.logs = directory / "logs"

    def _entered(self, *argv: str) -> list[str]:
        return list(argv)

    def spawn(self, name: str, *argv: str) -> Process:
        """Start a daemon here; its output goes to ``logs/<name>.log``."""
        line = self.cgroup.joined(*self._entered(*argv))
        is_inner = self._entered() != []
        return Process(f"{self.name}/{name}", line, self.logs / f"{name}.log", is_inner=is_inner)

    def exec(self, *argv: str) -> str:
        """Run a command here, and its output.

        Raises:
            RuntimeError: It failed.
        """
        return run(*self.cgroup.joined(*self._entered(*argv)))


class Host(Place):
    """One Docker host: network, mount, UTS, IPC and pid namespaces, a control group, a dockerd.

    Its disk is a directory and outlives a power-off; its network namespace does not, just as a
    reboot forgets links, routes and rules.
    """

    def __init__(self, number: int, directory: Path, cgroup: Cgroup) -> None:
        super().__init__(f"h{number}", 10 + number, directory, cgroup)
        self._number = number
        self._netns = f"lstb-{self.name}"
        self._init: subprocess.Popen[str] | None = None
        self._init_pid = 0
        self._dockerd: Process | None = None
        self.engine = Engine(directory / "docker.sock")

    # Power

    def power_on(self) -> None:
        """Boot: the same disk and address as before. Returns when Docker answers."""
        self._forget_last_run()
        self._plug_in()
        self._boot()
        self.start_docker()

    @property
    def is_on(self) -> bool:
        return self._init is not None

    def power_off(self) -> None:
        """The power fails: nothing of the host runs, or says goodbye, any more."""
        self.cut()
        assert self._init is not None
        self.cgroup.thaw()  # a frozen process does not die
        self._init.kill()  # takes pid 1, and the kernel then the rest
        self._init.wait(10)
        self._init = None

    def _forget_last_run(self) -> None:
        self.cgroup.kill()
        self.cgroup.remove()
        if self._dockerd is not None:
            self._dockerd.reap()
        shutil.rmtree(self.directory / "exec", ignore_errors=True)
        for leftover in ("docker.pid", "docker.sock"):
            (self.directory / leftover).unlink(missing_ok=True)
        if Path(f"/run/netns/{self._netns}").exists():
            run("ip", "-n", SWITCH, "link", "del", self.name)
            run("ip", "netns", "del", self._netns)

    def _plug_in(self) -> None:
        netns, name = self._netns, self.name
        mac = f"02:10:99:00:00:{10 + self._number:02x}"  # survives a reboot, as a real one does
        run("ip", "netns", "add", netns)
        add = f"link add eth0 address {mac} netns {netns} type veth peer name {name} netns {SWITCH}"
        run("ip", *add.split())
        run("ip", "-n", SWITCH, "-batch", "-", stdin=f"link set {name} master br0 up\n")
        commands = (
            "link set lo up",
            f"addr add {self.address}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {SUBNET}.1",
        )
        run("ip", "-n", netns, "-batch", "-", stdin="\n".join(commands) + "\n")
        settings = ("ip_forward=1", "conf.all.rp_filter=0", "conf.default.rp_filter=0")
        inside = ("nsenter", f"--net=/run/netns/{netns}")
        run(*inside, "sysctl", "-qw", *(f"net.ipv4.{setting}" for setting in settings))

    def _boot(self) -> None:
        self.cgroup.create()
        etc = self.directory / "etc"
        (etc / "docker").mkdir(parents=True, exist_ok=True)
        (etc / "docker" / "daemon.json").write_text("{}\n")
        (etc / "machine-id").write_text(f"{self._number:032x}\n")
        (etc / "resolv.conf").write_text(f"nameserver {self.address}\n")
        names = (f"{SUBNET}.{10 + number} h{number}" for number in range(1, 10))
        (etc / "hosts").write_text("\n".join(("127.0.0.1 localhost", *names)) + "\n")
        namespaces = ("--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child")
        self._init = subprocess.Popen(
            self.cgroup.joined(
                *("nsenter", f"--net=/run/netns/{self._netns}"),
                *("unshare", *namespaces, "--mount-proc"),
                *("sh", "-c", BOOT, "sh", self.name, str(self.directory)),
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._init.stdout is not None
        assert self._init.stderr is not None
        with self._init.stdout, self._init.stderr:
            if self._init.stdout.readline() != "booted\n":
                raise RuntimeError(f"{self.name} did not boot: {self._init.stderr.read()}")
        children = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children")
        self._init_pid = int(children.read_text())

    def _entered(self, *argv: str) -> list[str]:
        return ["nsenter", "-t", str(self._init_pid), "-n", "-m", "-p", "-u", "-i", "--", *argv]

    # Network

    def cut(self) -> None:
        """Pull the network cable."""
        run("ip", "-n", SWITCH, "link", "set", self.name, "down")

    def heal(self) -> None:
        """Plug it in again."""
        run("ip", "-n", SWITCH, "link", "set", self.name, "up")

    # Processes

    def freeze(self) -> None:
        """The host hangs: no process runs, but its kernel answers ping and TCP handshakes."""
        self.cgroup.freeze()

    def thaw(self) -> None:
        self.cgroup.thaw()

    # Docker

    def start_docker(self) -> None:
        """Returns when the engine answers."""
        (self.directory / "docker.pid").unlink(missing_ok=True)
        at, number = self.directory, self._number
        self._dockerd = self.spawn(
            "dockerd",
            "dockerd",
            *("--data-root", f"{at}/data", "--exec-root", f"{at}/exec"),
            *("--pidfile", f"{at}/docker.pid", "-H", f"unix://{at}/docker.sock"),
            *("--config-file", f"{at}/etc/docker/daemon.json"),
            *("--bip", f"172.30.{number}.1/24", "--cgroup-parent", self.cgroup.containers),
            *("--default-address-pool", f"base=172.31.{number * 16}.0/20,size=26"),
        )
        dockerd = self._dockerd

        def answers() -> bool:
            assert dockerd.is_running, f"{dockerd.name} ended: {dockerd.tail()}"
            return self.engine.answers()

        eventually(answers, within_s=DOCKER_START_S, what=f"Docker on {self.name} answers")

    def stop_docker(self) -> None:
        """As for a restart of the service: dockerd stops its containers first."""
        assert self._dockerd is not None
        self._dockerd.stop(within_s=60)

    def kill_docker(self) -> None:
        """dockerd crashes; its containers go on without it."""
        assert self._dockerd is not None
        self._dockerd.kill()

    def pause_docker(self) -> None:
        """dockerd hangs: it takes connections, and answers nothing."""
        assert self._dockerd is not None
        self._dockerd.pause()

    def resume_docker(self) -> None:
        assert self._dockerd is not None
        self._dockerd.resume()

    def set_live_restore(self, is_on: bool) -> None:
        """Whether containers go on while dockerd is stopped. Returns when it is so."""
        assert self._dockerd is not None
        config = self.directory / "etc" / "docker" / "daemon.json"
        config.write_text(json.dumps({"live-restore": is_on}))
        self._dockerd.reload()
        eventually(
            lambda: self.engine.call("GET", "/info")["LiveRestoreEnabled"] is is_on,
            within_s=DOCKER_START_S,
            what=f"Docker on {self.name} has read its settings",
        )

    @property
    def has_docker(self) -> bool:
        return self._dockerd is not None and self._dockerd.is_running
