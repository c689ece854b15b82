"""What every test shares: warnings are errors (pyproject.toml), so nothing may be left open.

Tests run in several processes (`make test`). Those that share a cluster, or the one multi-host
testbed, run in the same; others of one file too, since they often share a fixture.
"""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SHARING = {"cli": "e2e/cli", "clients": "e2e/clients"}
"""Folders whose tests share one cluster."""


@pytest.hookimpl(tryfirst=True)  # before what spreads them over the processes looks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))


def _group(item: pytest.Item) -> str:
    if "testbed" in getattr(item, "fixturenames", ()):
        return "testbed"
    path = item.path.relative_to(TESTS)
    return next((g for g, folder in SHARING.items() if path.is_relative_to(folder)), str(path))
