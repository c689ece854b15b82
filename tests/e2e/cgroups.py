"""Which processes belong to a host: the ones in its control group, and nothing else.

A host's processes join one group the moment they start and can never leave it, so that killing or
freezing "everything of the host" needs no list of pids, not even after the test run that started
them died. Two kinds of machines exist: with cgroup v1 the freezer hierarchy does the work; with
v2 there is only one hierarchy. Docker makes the groups of its containers under ``containers``
(in every v1 hierarchy), the host's own processes live in ``system``: v2 allows processes only in
leaves.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.waiting import eventually

MOUNT = Path("/sys/fs/cgroup")
KILL_S = 20
"""Ends of many containers at once wait for their mounts and network namespaces on a busy machine."""


def is_v2() -> bool:
    return (MOUNT / "cgroup.controllers").exists()


def hierarchy() -> Path:
    """Where membership is recorded and freezing happens."""
    return MOUNT if is_v2() else MOUNT / "freezer"


class Cgroup:
    """One subtree, by its path below the hierarchy's root."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = hierarchy() / name
        self.system = self.path / "system"
        self.containers = f"/{name}/containers"

    def create(self) -> None:
        self.system.mkdir(parents=True, exist_ok=True)

    def joined(self, *argv: str) -> list[str]:
        """The command line that runs `argv` as a member from its first instruction on."""
        procs = str(self.system / "cgroup.procs")
        return ["sh", "-c", 'echo $$ >"$0" && exec "$@"', procs, *argv]

    def pids(self) -> Iterator[int]:
        for group in self._groups():
            try:
                yield from map(int, (group / "cgroup.procs").read_text().split())
            except OSError:
                continue  # the group was removed meanwhile

    def freeze(self) -> None:
        """Stop every process where it stands; the kernel goes on answering for the host."""
        self._freezer(self.path).write_text("1" if is_v2() else "FROZEN")

    def thaw(self) -> None:
        """Let the processes of all groups of the subtree run again."""
        for group in self._groups():
            try:
                self._freezer(group).write_text("0" if is_v2() else "THAWED")
            except OSError:
                continue  # the group was removed meanwhile

    def _groups(self) -> Iterator[Path]:
        for directory, _, _ in os.walk(self.path):
            yield Path(directory)

    @staticmethod
    def _freezer(group: Path) -> Path:
        return group / ("cgroup.freeze" if is_v2() else "freezer.state")

    def kill(self) -> None:
        """SIGKILL all members; returns when none is left."""
        if not self.path.exists():
            return
        self.thaw()  # a frozen process does not die

        def is_empty() -> bool:
            members = list(self.pids())
            for pid in members:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass  # it ended by itself
            return not members

        eventually(is_empty, within_s=KILL_S, what=f"every process of {self.name} is dead")

    def remove(self) -> None:
        """Remove the subtree from every hierarchy. It must be empty."""
        roots = [MOUNT] if is_v2() else [path for path in MOUNT.iterdir() if path.is_dir()]
        for root in roots:
            for directory, _, _ in os.walk(root / self.name, topdown=False):
                Path(directory).rmdir()
