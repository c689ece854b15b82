"""What every test shares: warnings are errors (pyproject.toml), so nothing may be left open.

Tests run in several processes (`make test`). Those of one file run in the same, since they often
share a fixture, and so do all that use the one multi-host testbed, or a folder's one cluster.
"""

from pathlib import PurePath
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

settings.register_profile("longshore", deadline=None)  # other tests run beside each
settings.load_profile("longshore")

SHARING = (PurePath("tests/e2e"), PurePath("tests/e2e/cli"), PurePath("tests/e2e/clients"))
"""Folders whose files share something: the testbed, and a cluster each."""


class Together(LoadScopeScheduling):
    """Keeps together what shares something."""

    def _split_scope(self, nodeid: str) -> str:
        path = PurePath(nodeid.partition("::")[0])
        return str(path.parent if path.parent in SHARING else path)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return Together(config, log)
