"""How many replicas an object asks for and has, whatever its kind."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.core import label_selectors
from orchestrator.core.ownership import selector_of
from proto.kinds.kind import ScalePaths
from proto.meta import LabelSelector, format_selector


class Numbers(Struct, frozen=True):
    """Of one object that has replicas.

    Attributes:
        selector: Of its pods, as text; empty for none.
    """

    wanted: int
    observed: int
    selector: str


def numbers(found: Any, paths: ScalePaths | None) -> Numbers:
    """Of an object.

    Args:
        found: The object, of a kind with a scale.
        paths: Where a custom kind keeps its numbers; None for any other.
    """
    if paths is None:
        by = selector_of(found)
        text = "" if by.is_empty else format_selector(by)
        return Numbers(found.spec.replicas or 0, found.status.replicas or 0, text)
    content = found.content
    wanted, observed = _at(content, paths.replicas), _at(content, paths.observed)
    selector = _at(content, paths.selector) if paths.selector else ""
    return Numbers(
        wanted if isinstance(wanted, int) else 0,
        observed if isinstance(observed, int) else 0,
        selector if isinstance(selector, str) else "",
    )


def selector(found: Any, paths: ScalePaths | None) -> LabelSelector | None:
    """Of an object's pods, see `numbers`; None when it does not say.

    Raises:
        BadRequest: What a custom resource says is no selector.
    """
    if paths is None:
        by = selector_of(found)
        return None if by.is_empty else by
    text = numbers(found, paths).selector
    return label_selectors.parse(text) if text else None


def rescaled(old: Any, replicas: int, paths: ScalePaths | None) -> Any:
    """The object, asking for another number of replicas; see `numbers`."""
    if paths is None:
        return replace(old, spec=replace(old.spec, replicas=replicas))
    return old.with_content(_with(old.content, paths.replicas, replicas))


def _at(content: Any, path: Sequence[str]) -> Any:
    for step in path:
        content = content.get(step) if isinstance(content, dict) else None
    return content


def _with(content: Any, path: Sequence[str], value: Any) -> Any:
    """The content with a value at a path; what is on the way is made."""
    if not path:
        return value
    below = content if isinstance(content, dict) else {}
    return below | {path[0]: _with(below.get(path[0]), path[1:], value)}
