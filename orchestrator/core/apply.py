"""Three-way apply: what a manifest says now, what it said last time, and the object as it is.

This is ``kubectl apply``'s rule, so that both can take turns on one object: fields of the manifest
are set, fields that the last manifest had and this one has not are removed, all others are left to
whoever set them. The last manifest is kept in kubectl's own annotation.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.core import schema
from orchestrator.core.schema import Shape
from proto import codec
from proto.errors import BadRequest
from proto.kinds.kind import Kind

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def apply(kind: Kind[Any], live: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The object with the manifest applied.

    Args:
        kind: Of both; its structs say how lists merge.
        live: The object as it is, as plain JSON values.
        manifest: As published.
    """
    marked = with_annotation(manifest)
    found: dict[str, Any] = _merged(live, _last_applied(live), marked, schema.of(kind))
    return found


def with_annotation(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with itself in kubectl's annotation, to the letter as kubectl writes it."""
    metadata = dict(manifest.get("metadata") or {})
    annotations = dict(metadata.get("annotations") or {})
    annotations.pop(LAST_APPLIED, None)
    bare = {**manifest, "metadata": {**metadata, "annotations": annotations}}
    marked = annotations | {LAST_APPLIED: codec.encode_sorted(bare).decode() + "\n"}
    return {**manifest, "metadata": {**metadata, "annotations": marked}}


def is_annotated(live: Mapping[str, Any]) -> bool:
    """Whether client-side apply has been used on it."""
    return LAST_APPLIED in (live.get("metadata", {}).get("annotations") or {})


def with_annotation_of(found: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The object with another manifest in kubectl's annotation."""
    said = with_annotation(manifest)["metadata"]["annotations"][LAST_APPLIED]
    metadata = dict(found.get("metadata") or {})
    annotations = {**(metadata.get("annotations") or {}), LAST_APPLIED: said}
    return {**found, "metadata": {**metadata, "annotations": annotations}}


def _last_applied(live: Mapping[str, Any]) -> Mapping[str, Any]:
    text = (live.get("metadata", {}).get("annotations") or {}).get(LAST_APPLIED, "")
    try:
        found = codec.decode_any(text.encode()) if text else {}
    except BadRequest:  # somebody edited the annotation: nothing is known to be ours to remove
        return {}
    return found if isinstance(found, dict) else {}


def _merged(live: Any, last: Any, new: Any, shape: Shape) -> Any:
    if isinstance(new, Mapping) and isinstance(live, Mapping):
        last = last if isinstance(last, Mapping) else {}
        found = {key: value for key, value in live.items() if key in new or key not in last}
        for key, value in new.items():
            below = shape.field(key) if shape.fields is not None else shape.items or Shape()
            found[key] = _merged(live.get(key), last.get(key), value, below)
        return found
    if shape.merge_key and isinstance(new, list) and isinstance(live, list):
        return _merged_list(live, last if isinstance(last, list) else [], new, shape)
    return new


def _merged_list(
    live: Sequence[Any], last: Sequence[Any], new: Sequence[Any], shape: Shape
) -> list[Any]:
    """Items told apart by the merge key: the manifest's, in its order, then those of others."""

    def by_key(items: Sequence[Any]) -> dict[Any, Any]:
        return {i.get(shape.merge_key): i for i in items if isinstance(i, Mapping)}

    lives, lasts, news = by_key(live), by_key(last), by_key(new)
    below = shape.items or Shape()
    mine = [_merged(lives.get(key), lasts.get(key), item, below) for key, item in news.items()]
    others = [item for key, item in lives.items() if key not in news and key not in lasts]
    return mine + others
