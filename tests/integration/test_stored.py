"""Claims on the machine's own Docker and disk: what pods write outlives them, until it is to go."""

import pytest
from msgspec.structs import replace

from proto.kinds.volume import PersistentVolumeClaimVolumeSource, Volume
from proto.messages import AssignedClaim, StoredVolume, VolumeRemoval
from tests.integration.test_volumes import a_node, a_pod, sh, tmpfs

__all__ = ["tmpfs"]

pytestmark = pytest.mark.docker


def claimed(name: str, stored: StoredVolume) -> tuple[Volume, AssignedClaim]:
    source = PersistentVolumeClaimVolumeSource(claim_name=name)
    return Volume(name=name, persistent_volume_claim=source), AssignedClaim(
        name=name, stored=stored
    )


async def test_what_pods_write_outlives_them_and_the_agent_until_it_is_to_go(tmp_path, tmpfs):
    mark = tmp_path.name
    folder, dockers = f"pvc-folder-{mark}", f"pvc-docker-{mark}"
    disk, of_disk = claimed("disk", StoredVolume(name=folder))
    engine, of_engine = claimed(
        "engine", StoredVolume(name=dockers, handle=dockers, driver="local")
    )
    removals = tuple(VolumeRemoval(name=name, uid="u") for name in (folder, dockers))
    async with a_node(tmp_path / "agent", tmpfs) as (node, _):

        def web():
            return replace(a_pod(disk, engine), claims=(of_disk, of_engine))

        await node.assign(web())
        await node.running("web")
        await sh(node, "echo one > /disk/f; echo two > /engine/f")
        await node.assign()
        await node.until(lambda report: not report.pods)
        await node.kill()
        await node.start()
        again = web()
        await node.assign(again)
        await node.running("web")
        assert await sh(node, "cat /disk/f /engine/f") == "one\ntwo\n"
        kept = tmp_path / "agent" / "stored" / folder
        assert (kept / "f").read_text() == "one\n"
        # Told to go while a pod has them, they stay.
        await node.assign(again, removals=removals)
        report = await node.until(lambda report: len(report.volumes) == 2)
        assert not any(about.is_gone for about in report.volumes)
        assert await sh(node, "cat /disk/f /engine/f") == "one\ntwo\n"
        await node.assign(removals=removals)
        await node.until(
            lambda report: len(report.volumes) == 2 and all(v.is_gone for v in report.volumes)
        )
        assert not kept.exists()
        assert [v.volume for v in await node.engine.volumes()] == []
