"""How fast a large file comes out of a container, and what memory that takes on its way."""

import asyncio

from tests.bench.embedded import data_of, embedded
from tests.bench.figures import Figure
from tests.e2e import streaming
from tests.e2e.kubeapi import CORE, KubeApi, pod
from tests.e2e.testbed import Testbed
from tests.e2e.waiting import eventually

SIZE_MIB = 1024
GROWTH_MIB_MAX = 16
PATH = f"{CORE}/pods/large"


def measure(testbed: Testbed) -> list[Figure]:
    """1 GiB through exec of an embedded cluster."""
    host = testbed.hosts[0]
    testbed.repair()
    testbed.wipe()
    with embedded(testbed, host.engine) as api:
        api.create(f"{CORE}/pods", pod("large"))
        eventually(
            lambda: api.get(PATH)["status"].get("phase") == "Running",
            within_s=60,
            what="the pod runs",
        )
        pulled = asyncio.run(_pull(api, testbed))
        api.call("DELETE", PATH)
    how = f"{SIZE_MIB} MiB of cat through exec, SHA-256 compared"
    return [
        Figure(
            section="streams",
            name="exec, one reader",
            measured=pulled.size / 1e6 / pulled.took_s,
            unit="MB/s",
            note=how,
        ),
        Figure(
            section="streams",
            name="memory it takes, most of any process",
            measured=max(pulled.grown_mib.values()),
            unit="MiB",
            goal=GROWTH_MIB_MAX,
            note=", ".join(f"{name} {grown:.1f}" for name, grown in pulled.grown_mib.items()),
        ),
    ]


async def _pull(api: KubeApi, testbed: Testbed) -> streaming.Pulled:
    data = data_of(testbed)
    await streaming.shell(api.server, PATH, streaming.making(16))
    await streaming.pull(api.server, PATH, data)  # what is loaded at the first time stays
    said = await streaming.shell(api.server, PATH, streaming.making(SIZE_MIB))
    pulled = await streaming.pull(api.server, PATH, data)
    assert (pulled.size, pulled.sha256) == (SIZE_MIB * streaming.MIB, said.split()[0]), pulled
    assert pulled.status == "Success", pulled
    return pulled
