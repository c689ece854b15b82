"""docs/pod-spec.md: what becomes of every field of a pod's spec that Kubernetes has.

``python -m tests.architecture.pod_spec`` writes it, from the kinds (`Model.REFUSED`, `IGNORED` and
`PARTLY` carry the reasons) and from Kubernetes' own list of fields.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from orchestrator.core.schema import Shape, shape_of
from proto.kinds.pod import PodSpec

PAGE = Path(__file__).parents[2] / "docs" / "pod-spec.md"

SUPPORTED, PARTLY, WARNED, REFUSED, UNKNOWN = (
    "supported",
    "supported in part",
    "warned",
    "refused",
    "unknown",
)

INLINE = frozenset({"ephemeralContainerCommon", "handler", "localObjectReference", "volumeSource"})
"""Fields of the list that are no fields of the JSON: what they hold stands in their place."""

HEAD = """\
# A pod's spec, field by field

Every field of a pod's spec in the public Kubernetes API, and what becomes of it here. `make table`
writes this page from the kinds, and a test fails when it says something else, or when Kubernetes has
a field that nothing is known of.

* **supported**: it does what it does in Kubernetes.
* **supported in part**: so it does, but not every value is taken; one that is not is refused.
* **warned**: it is left out, which is harmless; whoever writes it is told so by a `Warning`.
* **refused**: leaving it out would change what runs, so a manifest that sets it is answered 422.
"""


class Field(NamedTuple):
    """One field of one of Kubernetes' messages.

    Attributes:
        type: The message below it; empty for a plain value.
    """

    name: str
    type: str


class Row(NamedTuple):
    name: str
    state: str
    reason: str


def messages() -> dict[str, list[Field]]:
    """Kubernetes' messages and their fields, in its own order."""
    text = resources.files("orchestrator.api").joinpath("protobuf_fields.txt").read_text()
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            message, _, fields = line.partition(": ")
            found[message] = [_field(part) for part in fields.split()]
    return found


def _field(text: str) -> Field:
    name, _, type_ = text.partition("=")[2].partition(":")
    bare = type_.removeprefix("[]").removeprefix("{}")
    return Field(name, bare if bare.startswith("core.") else "")


def fields(message: str, known: Mapping[str, list[Field]]) -> Iterator[Field]:
    """Of its JSON."""
    for field in known[message]:
        if field.name in INLINE:
            yield from fields(field.type, known)
        else:
            yield field


def row(name: str, shape: Shape) -> Row:
    """What becomes of a field."""
    for reasons, state in (
        (shape.refused, REFUSED),
        (shape.ignored, WARNED),
        (shape.partly, PARTLY),
    ):
        if name in reasons:
            return Row(name, state, reasons[name])
    return Row(name, SUPPORTED if name in (shape.fields or {}) else UNKNOWN, "")


def tables(known: Mapping[str, list[Field]]) -> dict[str, list[Row]]:
    """By message, from the spec down to what is supported of it, each message once."""
    found: dict[str, list[Row]] = {}
    waiting = [("core.v1.PodSpec", shape_of(PodSpec))]
    while waiting:
        message, shape = waiting.pop(0)
        if message in found:
            continue
        theirs = list(fields(message, known))
        newer = sorted((shape.refused.keys() | shape.ignored) - {field.name for field in theirs})
        names = [*(field.name for field in theirs), *newer]
        found[message] = [row(name, shape) for name in names]
        for field in theirs:
            below = (shape.fields or {}).get(field.name)
            below = below.items or below if below is not None else None
            if field.type in known and below is not None and below.fields is not None:
                waiting.append((field.type, below))
    return found


def page(found: Mapping[str, list[Row]]) -> str:
    """The whole of docs/pod-spec.md."""
    states = Counter(one.state for rows in found.values() for one in rows)
    counted = "; ".join(f"{state}: {count}" for state, count in states.most_common())
    parts = [HEAD, f"\nFields: {counted}.\n"]
    for message, rows in found.items():
        lines = "".join(f"| `{one.name}` | {one.state} | {one.reason} |\n" for one in rows)
        head = "| field | state | why |\n| --- | --- | --- |\n"
        parts.append(f"\n## {message.removeprefix('core.v1.')}\n\n{head}{lines}")
    return "".join(parts)


def written() -> str:
    """What docs/pod-spec.md must say now."""
    return page(tables(messages()))


if __name__ == "__main__":
    PAGE.write_text(written())
