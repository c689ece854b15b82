"""What a machine must have for these tests, and when its lack is a failure and no reason to skip."""

import os

import pytest

from tests.e2e.conftest import REQUIRED
from tests.e2e.kubectl import binaries
from tests.e2e.kubectl.cluster import ENGINE

DOCKER = pytest.mark.skipif(
    not ENGINE.answers() and os.environ.get(REQUIRED) != "1",
    reason="no Docker engine answers at /var/run/docker.sock",
)
KUBECTL = pytest.mark.skipif(not binaries.found(), reason="no kubectl on this machine")
KUBECTL_AND_CLUSTER = [pytest.mark.docker, KUBECTL, DOCKER]
"""A kubectl, and Docker for a cluster of its own."""
