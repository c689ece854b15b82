"""Measure what is asked for (by default everything), print a table, write bench.json.

Nothing else should run on the machine meanwhile. Sections that need the multi-host testbed need
root; the others do not.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from tests.bench import (
    agent,
    api,
    failover,
    figures,
    idle,
    scheduling,
    simulation,
    start,
    streams,
    swarm,
)
from tests.bench.figures import Figure
from tests.e2e import images, testbed as testbeds
from tests.e2e.testbed import Testbed

ON_TESTBED: dict[str, Callable[[Testbed], list[Figure]]] = {
    "start": start.measure,
    "agent": agent.measure,
    "api": api.measure,
    "streams": streams.measure,
    "failover": failover.measure,
    "idle": idle.measure,
}
ALONE: dict[str, Callable[[], list[Figure]]] = {
    "decisions": scheduling.measure,
    "simulation": simulation.measure,
}
HOSTS = 3
BUSY = 0.5
"""Load average of a machine that does something else beside."""


def main() -> int:
    arguments = _arguments()
    wanted = arguments.sections or [*ON_TESTBED, *ALONE]
    console = Console(stderr=True)
    if (load := os.getloadavg()[0]) > BUSY:
        console.print(
            f"the machine is busy (load {load:.1f}): the figures will be worse than it is"
        )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the testbed is taken down
    on_testbed = {name: ON_TESTBED[name] for name in ON_TESTBED if name in wanted}
    if arguments.swarm:
        on_testbed["swarm"] = swarm.measure
    found: list[Figure] = []
    if on_testbed:
        if reason := testbeds.why_unavailable():
            console.print(f"{', '.join(on_testbed)}: not possible here: {reason}")
            return 1
        with testbeds.raised(HOSTS) as testbed:
            testbed.import_image(images.BUSYBOX, images.busybox_root())
            for name, on in on_testbed.items():
                console.print(f"measuring {name} …")
                found += on(testbed)
    for name, measure in ALONE.items():
        if name in wanted:
            console.print(f"measuring {name} …")
            found += measure()
    figures.show(found)
    figures.write(found, arguments.json)
    console.print(f"written to {arguments.json}")
    return 0


def _arguments() -> argparse.Namespace:
    sections = [*ON_TESTBED, *ALONE]
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(sections)}")
    parser.add_argument("--swarm", action="store_true", help="Docker Swarm's failover beside ours")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), metavar="FILE")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.sections) - set(sections)):
        parser.error(f"no such section: {', '.join(unknown)}; there are {', '.join(sections)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
