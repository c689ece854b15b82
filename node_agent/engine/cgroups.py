"""What a container uses, as the kernel counts it: Docker's own source, without its detours.

A container's files are found by its id, where Docker puts them unless it was told otherwise. An
agent that cannot see them (it runs in a container, or the engine elsewhere) asks Docker.
Source: the kernel's cgroup-v1/cpuacct and memory, and cgroup-v2.
"""

import time
from pathlib import Path

from node_agent.core.usage import Sample

ROOT = Path("/sys/fs/cgroup")
_PLACES = ("docker/{id}", "system.slice/docker-{id}.scope")
"""Of Docker's two cgroup drivers, cgroupfs and systemd."""


def sample(id: str, root: Path = ROOT) -> Sample | None:
    """One look at a container; None when it does not run, or cannot be seen from here."""
    for place in _PLACES:
        at = place.format(id=id)
        try:
            return _version_2(root / at) or _version_1(root / "cpuacct" / at, root / "memory" / at)
        except (OSError, ValueError, KeyError):  # not there, or not what we know
            continue
    return None


def _version_2(folder: Path) -> Sample | None:
    if not folder.is_dir():
        return None
    used_us = _numbers(folder / "cpu.stat")["usage_usec"]
    in_use, cache = _memory(folder, "memory.current", "inactive_file")
    return Sample(time.time_ns(), used_us * 1_000, max(0, in_use - cache))


def _version_1(cpu: Path, memory: Path) -> Sample:
    used_ns = int((cpu / "cpuacct.usage").read_text())
    in_use, cache = _memory(memory, "memory.usage_in_bytes", "total_inactive_file")
    return Sample(time.time_ns(), used_ns, max(0, in_use - cache))


def _memory(folder: Path, name: str, cache: str) -> tuple[int, int]:
    return int((folder / name).read_text()), _numbers(folder / "memory.stat").get(cache, 0)


def _numbers(file: Path) -> dict[str, int]:
    """A file of lines ``name number``."""
    pairs = (line.split(" ") for line in file.read_text().splitlines())
    return {name: int(number) for name, number in pairs}
