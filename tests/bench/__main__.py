"""Measure what is asked for (by default everything), print a table, write bench.json.

    python -m tests.bench [start] [failover] [decisions] [idle] [--swarm] [--json FILE]

Nothing else should run on the machine meanwhile. Sections that need the multi-host testbed need
root; the others do not.
"""

import argparse
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from tests.bench import failover, figures, idle, scheduling, start, swarm
from tests.bench.figures import Figure
from tests.e2e import images, testbed as testbeds
from tests.e2e.testbed import Testbed

ON_TESTBED: dict[str, Callable[[Testbed], list[Figure]]] = {
    "start": start.measure,
    "failover": failover.measure,
    "idle": idle.measure,
}
ALONE: dict[str, Callable[[], list[Figure]]] = {
    "decisions": scheduling.measure,
}
HOSTS = 3


def main() -> int:
    arguments = _arguments()
    wanted = arguments.sections or [*ON_TESTBED, *ALONE]
    console = Console(stderr=True)
    found: list[Figure] = []
    with ExitStack() as stack:
        on_testbed = [section for section in ON_TESTBED if section in wanted]
        if on_testbed or arguments.swarm:
            if reason := testbeds.why_unavailable():
                console.print(f"{', '.join(on_testbed)}: not possible here: {reason}")
                return 1
            testbed = stack.enter_context(testbeds.raised(HOSTS))
            testbed.import_image(images.BUSYBOX, images.busybox_root())
            for section in on_testbed:
                console.print(f"measuring {section} …")
                found += ON_TESTBED[section](testbed)
            if arguments.swarm:
                console.print("measuring Docker Swarm's failover …")
                found += swarm.measure(testbed)
    for section, measure in ALONE.items():
        if section in wanted:
            console.print(f"measuring {section} …")
            found += measure()
    figures.show(found)
    figures.write(found, arguments.json)
    console.print(f"written to {arguments.json}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("sections", nargs="*", choices=[*ON_TESTBED, *ALONE, []])
    parser.add_argument("--swarm", action="store_true", help="Docker Swarm's failover beside ours")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
