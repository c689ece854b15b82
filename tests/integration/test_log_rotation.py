"""What containers write is kept within bounds, and read as one whole across the files."""

import pytest

from node_agent.engine.inspection import LogLimits
from proto.messages import LogRequest
from tests.integration.test_agent import a_node, a_pod
from tests.unit.node_agent.node import pod as reported

pytestmark = pytest.mark.docker

LINES = 6000
WRITER = f"i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo $i; done"
LIMITS = LogLimits(max_bytes=64 << 10, max_files=3)
"""A line of a log takes some 75 bytes: all of them some seven files."""


async def test_a_log_is_bounded_and_read_as_one_whole_across_its_files():
    async with a_node(logs=LIMITS) as node:
        writer = a_pod("web", WRITER, policy="Never")
        await node.assign(writer)
        await node.until(lambda r: (w := reported(r, "web")) and w.status.phase == "Succeeded")
        kept = await node.logs(LogRequest(pod_uid=writer.uid, container="c0"))
        lines = [int(line) for line in kept.split()]
        assert lines == list(range(lines[0], LINES + 1))
        assert lines[0] > 1
        assert 64 << 10 < len(lines) * 75 < 3 * (64 << 10) + 75
        tail = LogRequest(pod_uid=writer.uid, container="c0", tail_lines=1500)
        assert [int(line) for line in (await node.logs(tail)).split()] == lines[-1500:]
