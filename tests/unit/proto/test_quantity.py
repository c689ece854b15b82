"""Quantities: exact, rounded up, and never anything else."""

import pytest

from proto import quantity


@pytest.mark.parametrize(
    ("text", "milli", "whole"),
    [
        ("0", 0, 0),
        ("1", 1_000, 1),
        ("100m", 100, 1),
        ("0.1", 100, 1),
        ("1.5", 1_500, 2),
        ("1u", 1, 1),
        ("1n", 1, 1),
        ("1k", 1_000_000, 1_000),
        ("1Ki", 1_024_000, 1_024),
        ("64Mi", 67_108_864_000, 67_108_864),
        ("1e3", 1_000_000, 1_000),
        ("1E3", 1_000_000, 1_000),
        ("1E", 10**21, 10**18),
        (".5Gi", 536_870_912_000, 536_870_912),
        ("-1", -1_000, -1),
        (2, 2_000, 2),
        (0.5, 500, 1),
        (1e-7, 1, 1),
    ],
)
def test_amounts_are_exact_and_rounded_up(text: quantity.Quantity, milli: int, whole: int):
    assert quantity.milli(text) == milli
    assert quantity.whole(text) == whole


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 ",
        "1 Mi",
        "1mi",
        "1MiB",
        "1kk",
        "Mi",
        "0x10",
        "1,5",
        "--1",
        "1e",
        "1e19",
        "٣",
        "1\n",
        "inf",
        "nan",
        float("inf"),
        float("nan"),
        1e300,
        "9" * 65,
    ],
)
def test_what_is_no_quantity_is_refused(text: quantity.Quantity):
    with pytest.raises(ValueError):
        quantity.parse(text)


def test_numbers_become_text_as_kubernetes_prints_it_and_text_stays():
    spelled = {1: "1", 0.5: "500m", 2.0: "2", "1000m": "1000m", "1e3": "1e3", 1e300: "1e+300"}
    assert {value: quantity.canonical(value) for value in spelled} == spelled
