"""Kubernetes quantities: "500m" CPU, "64Mi" memory, to whole numbers and back.

Grammar and suffixes: Kubernetes apimachinery, pkg/api/resource/quantity.go.
"""

import re
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache

Quantity = int | float | str
"""As a manifest may spell it; `canonical` makes it text."""

_PATTERN = re.compile(
    r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([eE][+-]?[0-9]+)|([KMGTPE]i|[numkMGTPE]))?", re.ASCII
)
_SCALE = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}


@lru_cache(maxsize=4096)  # manifests repeat a few spellings; bounded against hostile ones
def parse(quantity: Quantity) -> Decimal:
    """The quantity as an exact number.

    Raises:
        ValueError: It is not a quantity.

    >>> parse("500m"), parse("1Ki"), parse(2)
    (Decimal('0.500'), Decimal('1024'), Decimal('2'))
    """
    found = _PATTERN.fullmatch(str(quantity))
    if found is None or len(found.group(0)) > 64:
        raise ValueError(
            "quantities must match the regular expression "
            "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        )
    number, exponent, suffix = found.groups()
    if exponent and abs(int(exponent[1:])) > 18:
        raise ValueError("exponents beyond 18 are not quantities")
    return Decimal(number + (exponent or "")) * _SCALE[suffix or ""]


def milli(quantity: Quantity) -> int:
    """Thousandths, rounded up as Kubernetes does.

    >>> milli("0.1"), milli("1500m"), milli(2)
    (100, 1500, 2000)
    """
    return int((parse(quantity) * 1000).to_integral_value(ROUND_CEILING))


def whole(quantity: Quantity) -> int:
    """Units (bytes, for memory), rounded up.

    >>> whole("64Mi"), whole("1k")
    (67108864, 1000)
    """
    return int(parse(quantity).to_integral_value(ROUND_CEILING))


def canonical(quantity: Quantity) -> str:
    """The text that Kubernetes would print for a number; text stays as it is.

    A number that is no quantity (1e300) becomes its plain text, for validation to refuse.

    >>> canonical(1), canonical(0.5), canonical("64Mi")
    ('1', '500m', '64Mi')
    """
    if isinstance(quantity, str):
        return quantity
    try:
        number = parse(quantity)
    except ValueError:
        return str(quantity)
    return str(int(number)) if number == int(number) else f"{milli(quantity)}m"


def is_binary(quantity: Quantity) -> bool:
    """Whether it is spelled with a power of 1024.

    >>> is_binary("64Mi"), is_binary("64M")
    (True, False)
    """
    return str(quantity).endswith("i")


def text(number: Decimal, *, binary: bool) -> str:
    """A number as Kubernetes prints it: with the largest suffix that leaves it whole.

    >>> text(Decimal(2**30), binary=True), text(Decimal(1500), binary=False)
    ('1Gi', '1500')
    >>> text(Decimal(2000), binary=False), text(Decimal("0.5"), binary=False)
    ('2k', '500m')
    """
    if number != number.to_integral_value():
        return f"{int((number * 1000).to_integral_value(ROUND_CEILING))}m"
    left, base = int(number), 1024 if binary else 1000
    suffixes = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei") if binary else ("", *"kMGTPE")
    for suffix in suffixes[:-1]:
        if left == 0 or left % base:
            return f"{left}{suffix}"
        left //= base
    return f"{left}{suffixes[-1]}"


def from_milli(thousandths: int) -> str:
    """The same of thousandths.

    >>> [from_milli(n) for n in (0, 1500, 2000, 5_000_000, 6_447_104_000, 50_000_000_000)]
    ['0', '1500m', '2', '5k', '6447104', '50M']
    """
    return text(Decimal(thousandths) / 1000, binary=False)
