"""One testbed for all end-to-end tests of a run; a new cluster on it for each test."""

import os
import re
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.e2e import cluster as clusters, images, testbed as testbeds
from tests.e2e.cluster import Cluster
from tests.e2e.testbed import Testbed

REQUIRED = "LONGSHORE_REQUIRE_E2E"
"""Set to 1 where a missing testbed is a failure and not a reason to skip, as in CI."""

ARTIFACTS = Path("build/e2e")
"""Where a failed test leaves what every daemon said."""

TESTBED = pytest.StashKey[Testbed]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    testbed = item.session.stash.get(TESTBED, None)
    if report.failed and testbed is not None:
        testbed.save_logs(ARTIFACTS / re.sub(r"\W+", "-", item.name))
    return report


@pytest.fixture(scope="session")
def testbed(request: pytest.FixtureRequest) -> Iterator[Testbed]:
    """Three hosts."""
    if reason := testbeds.why_unavailable():
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(f"{REQUIRED}=1, but {reason}")
        pytest.skip(reason)
    with testbeds.raised(3) as made:
        made.import_image(images.BUSYBOX, images.busybox_root())
        request.session.stash[TESTBED] = made
        yield made


@pytest.fixture
def cluster(testbed: Testbed) -> Iterator[Cluster]:
    """A cluster without state, every node Ready."""
    testbed.clear_logs()
    with clusters.running(testbed) as made:
        yield made
