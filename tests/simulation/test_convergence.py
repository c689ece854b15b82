"""Faults may delay a cluster; they may not change where it ends up, nor break a promise on the way."""

import os
import subprocess
import sys

import pytest

from tests.simulation.__main__ import outcomes, told
from tests.simulation.run import run

SEEDS = int(os.environ.get("SEEDS", "200"))
WORKERS = 2


@pytest.mark.timeout(1800)
def test_whatever_goes_wrong_every_promise_is_kept_and_the_cluster_comes_to_rest():
    failed = [outcome for outcome in outcomes(range(SEEDS), WORKERS) if outcome.violation]

    assert not failed, "\n".join(map(told, failed))


@pytest.mark.parametrize("seed", [3, 4])
def test_the_same_seed_is_the_same_run_callback_by_callback(seed):
    assert run(seed, is_traced=True) == run(seed, is_traced=True)


def test_a_seed_is_the_same_run_in_another_process_with_other_hashes():
    here = run(5, is_traced=True)

    there = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--seed", "5"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": "99"},
    ).stdout

    assert f"checksum {here.checksum:08x}" in there
