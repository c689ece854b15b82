"""When a cron job's jobs begin: five fields or a descriptor, in a time zone.

What a schedule may be, and what is said of one that is wrong, is Kubernetes' (robfig/cron v3,
ParseStandard): days of the week are 0 to 6, a day fits by either of two restricted fields, and
``?`` is ``*``. When the next time is tells croniter, which is given plain numbers only. Times that
a change to daylight-saving time leaves out are left out, and those that it repeats come twice, as
there. Without a time zone, times are in UTC.
"""

import datetime as dt
import re
from fractions import Fraction
from functools import lru_cache
from zoneinfo import ZoneInfo

from croniter import CroniterBadDateError, croniter
from msgspec import Struct

from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.cronjob import CronJob

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]

_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    (0, 6, {name: number for number, name in enumerate(_DAYS)}),
)
"""First, last and names of minutes, hours, days of the month, months and days of the week."""

_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_DURATION = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_UNIT_S = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "µs": Fraction(1, 10**6),
    "ms": Fraction(1, 10**3),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}

_EVERY = "@every "


class Schedule(Struct, frozen=True):
    """See the module.

    Attributes:
        fields: As croniter takes them; empty for one that comes at intervals.
        every_s: Seconds between two times.
        zone: Of the fields.
    """

    fields: str
    every_s: int
    zone: ZoneInfo

    def next_ms(self, after_ms: int) -> int | None:
        """The first time after this one; None: it never comes. Both in epoch milliseconds."""
        after_s = after_ms // 1000
        if not self.fields:
            return (after_s + self.every_s) * 1000
        times = croniter(self.fields, dt.datetime.fromtimestamp(after_s, self.zone))
        try:
            found = times.get_next(dt.datetime)
            while not self._has(found):  # moved out of an hour that is left out
                found = times.get_next(dt.datetime)
        except CroniterBadDateError:
            return None
        return int(found.timestamp()) * 1000

    def _has(self, found: dt.datetime) -> bool:
        minutes, hours, *_ = self.fields.split()
        return all(
            field == "*" or str(number) in field.split(",")
            for field, number in ((minutes, found.minute), (hours, found.hour))
        )

    def text_of(self, time_ms: int) -> str:
        """A time as RFC 3339 text in its zone."""
        text = dt.datetime.fromtimestamp(time_ms // 1000, self.zone).isoformat()
        return text.replace("+00:00", "Z")


@lru_cache(maxsize=1024)  # a controller looks at the same ones again and again
def parse(text: str, time_zone: str = "UTC") -> Schedule:
    """A schedule in a time zone.

    Raises:
        ValueError: Says what is wrong with either, in Kubernetes' words.
    """
    zone = parse_zone(time_zone)
    if not text:
        raise ValueError("empty spec string")
    if text.startswith(_EVERY):
        return Schedule("", _seconds(text), zone)
    if text.startswith("@"):
        if text not in _DESCRIPTORS:
            raise ValueError(f"unrecognized descriptor: {text}")
        return Schedule(_DESCRIPTORS[text], 0, zone)
    parts = text.split()
    if len(parts) != len(_FIELDS):
        listed = " ".join(parts)
        raise ValueError(f"expected exactly 5 fields, found {len(parts)}: [{listed}]")
    fields = [
        _field(part, first, last, names)
        for part, (first, last, names) in zip(parts, _FIELDS, strict=True)
    ]
    _open_either(fields)
    return Schedule(" ".join(fields), 0, zone)


def parse_zone(name: str) -> ZoneInfo:
    """A time zone by its IANA name.

    Raises:
        ValueError: There is none.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, not a name, a folder of names
        raise ValueError(f"unknown time zone {name}") from None


def mistakes(found: CronJob) -> list[FieldError]:
    """What is wrong with a cron job's schedule and time zone."""
    spec = found.spec
    errors: list[FieldError] = []
    if "TZ" in spec.schedule:
        said = (
            "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            if spec.time_zone is None
            else "cannot use both timeZone field and TZ or CRON_TZ in schedule"
        )
        errors.append(validation.invalid("spec.schedule", spec.schedule, said))
    elif spec.schedule:
        try:
            parse(spec.schedule)
        except ValueError as error:
            errors.append(validation.invalid("spec.schedule", spec.schedule, str(error)))
    if spec.time_zone is not None and (said := _mistaken_zone(spec.time_zone)):
        errors.append(validation.invalid("spec.timeZone", spec.time_zone, said))
    return errors


def _mistaken_zone(name: str) -> str:
    if not name:
        return "timeZone must be nil or non-empty string"
    if name.casefold() == "local":
        return (
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        )
    try:
        parse_zone(name)
    except ValueError as error:
        return str(error)
    return ""


def _field(text: str, first: int, last: int, names: dict[str, int]) -> str:
    """One field as a star or a list of ranges of numbers."""
    parts = [part for part in text.split(",") if part]
    ranges = [_range(part, first, last, names) for part in parts]
    return "*" if "*" in ranges or not ranges else ",".join(ranges)


def _range(text: str, first: int, last: int, names: dict[str, int]) -> str:
    """``number | number "-" number [ "/" number ]``, or a star."""
    bounds, *steps = text.split("/")
    low, *highs = bounds.split("-")
    is_star = not highs and low in ("*", "?")
    if len(highs) > 1:
        raise ValueError(f"too many hyphens: {text}")
    if len(steps) > 1:
        raise ValueError(f"too many slashes: {text}")
    start = first if is_star else _number(low, names)
    end = last if is_star else _number(highs[0], names) if highs else start
    step = _number(steps[0], {}) if steps else 1
    if steps and not highs:
        end = last
    if start < first:
        raise ValueError(f"beginning of range ({start}) below minimum ({first}): {text}")
    if end > last:
        raise ValueError(f"end of range ({end}) above maximum ({last}): {text}")
    if start > end:
        raise ValueError(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if not step:
        raise ValueError(f"step of range should be a positive number: {text}")
    return "*" if is_star and step == 1 else ",".join(map(str, range(start, end + 1, step)))


def _number(text: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(
            f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax'
        )
    return int(text)


def _open_either(fields: list[str]) -> None:
    """Of two restricted fields of days either fits: one that names all days opens both."""
    days, weekdays = fields[2], fields[4]
    if "*" in (days, weekdays):
        return
    if len(set(days.split(","))) == 31 or len(set(weekdays.split(","))) == 7:
        fields[2] = fields[4] = "*"


def _seconds(text: str) -> int:
    """Of ``@every 1h30m``: whole ones, and at least one."""
    duration = text.removeprefix(_EVERY)
    parts = _DURATION.findall(duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise ValueError(f'failed to parse duration {text}: time: invalid duration "{duration}"')
    return max(1, int(sum(Fraction(number) * _UNIT_S[unit] for number, unit in parts)))
