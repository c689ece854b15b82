"""A real file system that a pod fills up, on the machine's own Docker."""

import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from node_agent.host import Machine
from node_agent.storage.files import FileStorage
from proto.kinds.volume import EmptyDirVolumeSource, Volume, VolumeMount
from proto.messages import NodeReport
from tests.integration.test_agent import SLEEP, a_node, a_pod
from tests.unit.node_agent import given
from tests.unit.node_agent.node import pod as reported

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system"),
]

PATIENCE_S = 120
OTHERS = dict.fromkeys(
    ("memory.available", "pid.available", "imagefs.available", "imagefs.inodesFree"), "0"
)
"""What else the machine may be short of is not this test's business."""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", tmp_path], check=True)
    yield tmp_path
    subprocess.run(["umount", "-l", tmp_path], check=True)


def has_pressure(report: NodeReport) -> bool:
    return any(c.type == "DiskPressure" and c.status == "True" for c in report.facts.conditions)


async def test_a_pod_that_fills_the_disk_is_evicted_and_gives_it_back(small: Path):
    storage = FileStorage(small / "disk", Path("/dev/shm") / f"longshore-{uuid.uuid4().hex[:8]}")
    room = Volume(name="room", empty_dir=EmptyDirVolumeSource())
    fill = "dd if=/dev/zero of=/room/x bs=1M count=15; sleep 1000"
    greedy = given.spec(
        "c0",
        image="demo/busybox:1",
        command=("sh", "-c", fill),
        volume_mounts=(VolumeMount(name="room", mount_path="/room"),),
    )
    full = replace(given.pod("full", greedy, volumes=(room,)), uid=uuid.uuid4().hex)
    quiet = a_pod("quiet", " ".join(SLEEP[2:]))
    async with a_node(
        storage=storage,
        machine=Machine(),
        state_dir=str(small),
        eviction_thresholds=OTHERS,
        eviction_period_s=0.3,
        eviction_transition_s=1,
        image_gc_high_percent=100,
    ) as node:
        await node.assign(quiet)
        await node.running("quiet", within_s=PATIENCE_S)
        await node.assign(full, quiet)
        report = await node.until(
            lambda r: (f := reported(r, "full")) and f.status.phase == "Failed", PATIENCE_S
        )
        evicted = reported(report, "full").status
        assert evicted.reason == "Evicted"
        assert evicted.message.startswith(
            "The node was low on resource: ephemeral-storage. Threshold quantity: 1677721, "
        )
        assert any(has_pressure(report) for report in node.reports)
        await node.until(lambda r: not has_pressure(r), PATIENCE_S)
        assert list((small / "disk" / "pods").glob("*/rooms/*")) == []
        (left,), _ = await node.existing()
        assert left.pod.name == "quiet"
        assert "Evicted" in node.reasons()
