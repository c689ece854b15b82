"""A count, or a percentage of one: ``2`` or ``25%``."""

import re

from proto.errors import FieldError
from proto.kinds import validation

IntOrPercent = int | str


def count_of(value: IntOrPercent, total: int, *, round_up: bool) -> int:
    """A count, or that percentage of `total`.

    >>> count_of("25%", 3, round_up=True), count_of("25%", 3, round_up=False)
    (1, 0)
    """
    if isinstance(value, int):
        return value
    percent = int(value.removesuffix("%"))
    return -(-total * percent // 100) if round_up else total * percent // 100


def validate(
    path: str, value: IntOrPercent | None, *, percent_max: int | None = None
) -> list[FieldError]:
    """What is wrong with one that may be absent.

    Args:
        path: Of the field.
        value: What it holds.
        percent_max: The largest percentage; None: any.
    """
    if value is None:
        return []
    if isinstance(value, int):
        return validation.non_negative(path, value)
    if not re.fullmatch(r"[0-9]{1,6}%", value):
        return [
            validation.invalid(
                path,
                value,
                "a valid percent string must be a numeric string followed by an ending '%' "
                "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
            )
        ]
    if percent_max is not None and int(value[:-1]) > percent_max:
        return [validation.invalid(path, value, f"must not be greater than {percent_max}%")]
    return []
