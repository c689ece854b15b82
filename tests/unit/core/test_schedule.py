"""When a schedule's times are, and what is said of one that is wrong."""

import pytest

from orchestrator.core.schedule import mistakes, parse
from proto.meta import parse_time_ms
from tests.property.batch_model import a_cron_job

BERLIN = "Europe/Berlin"


def times(text, after, count=3, zone="UTC"):
    found, at_ms = parse(text, zone), parse_time_ms(after)
    shown = []
    for _ in range(count):
        at_ms = found.next_ms(at_ms)
        if at_ms is None:
            return [*shown, None]
        shown.append(found.text_of(at_ms))
    return shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("* * * * *", ["2026-03-29T00:31:00Z", "2026-03-29T00:32:00Z"]),
        ("@daily", ["2026-03-30T00:00:00Z", "2026-03-31T00:00:00Z"]),
        ("@weekly", ["2026-04-05T00:00:00Z", "2026-04-12T00:00:00Z"]),
        ("@every 1h30m", ["2026-03-29T02:00:00Z", "2026-03-29T03:30:00Z"]),
        ("30 6-16/4 ? * mon-FRI", ["2026-03-30T06:30:00Z", "2026-03-30T10:30:00Z"]),
        ("5/20 0 * * *", ["2026-03-29T00:45:00Z", "2026-03-30T00:05:00Z"]),
        ("0 0 13 * fri", ["2026-04-03T00:00:00Z", "2026-04-10T00:00:00Z"]),
        ("0 0 13 * 0-6", ["2026-03-30T00:00:00Z", "2026-03-31T00:00:00Z"]),
        ("0 0 29 2 *", ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]),
        ("0 0 31 2 *", [None]),
    ],
)
def test_the_next_times(text, expected):
    assert times(text, "2026-03-29T00:30:00Z", 2) == expected


def test_a_time_zone_moves_the_times():
    assert times("0 9 * * *", "2026-01-01T00:00:00Z", 1, "Asia/Kolkata") == [
        "2026-01-01T09:00:00+05:30"
    ]


def test_a_time_that_daylight_saving_leaves_out_is_left_out():
    assert times("30 2 * * *", "2026-03-28T12:00:00Z", 2, BERLIN) == [
        "2026-03-30T02:30:00+02:00",
        "2026-03-31T02:30:00+02:00",
    ]
    assert times("*/30 * * * *", "2026-03-29T00:00:00Z", 3, BERLIN) == [
        "2026-03-29T01:30:00+01:00",
        "2026-03-29T03:00:00+02:00",
        "2026-03-29T03:30:00+02:00",
    ]


def test_a_time_that_daylight_saving_repeats_comes_twice():
    assert times("30 2 * * *", "2026-10-24T12:00:00Z", 3, BERLIN) == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:30:00+01:00",
        "2026-10-26T02:30:00+01:00",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("every day", "expected exactly 5 fields, found 2: [every day]"),
        ("61 * * * *", "end of range (61) above maximum (59): 61"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("@noon", "unrecognized descriptor: @noon"),
        ("@every x", 'failed to parse duration @every x: time: invalid duration "x"'),
        ("TZ=UTC * * * * *", "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"),
    ],
)
def test_a_wrong_schedule_is_told_of_in_kubernetes_words(text, said):
    (error,) = mistakes(a_cron_job(text))
    assert (error.field, error.message) == ("spec.schedule", f'Invalid value: "{text}": {said}')


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("Mars/Olympus", "unknown time zone Mars/Olympus"),
        ("../etc/passwd", "unknown time zone ../etc/passwd"),
        ("Europe", "unknown time zone Europe"),
        ("", "timeZone must be nil or non-empty string"),
        (
            "local",
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        ),
    ],
)
def test_a_wrong_time_zone_is_told_of_in_kubernetes_words(zone, said):
    (error,) = mistakes(a_cron_job(time_zone=zone))
    assert (error.field, error.message) == ("spec.timeZone", f'Invalid value: "{zone}": {said}')
