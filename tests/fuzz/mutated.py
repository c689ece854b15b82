"""Writes of manifests that were right once: one to three places in each hold something else."""

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from tests.fuzz import examples
from tests.fuzz.server import Request

_WORDS = [
    "", "a", "web", "default", "None", "-1", "1.5", "100m", "1Gi", "200%", "Always", "metadata.name",
    "2001-01-01T00:00:00Z", "$(A)", "a/b", "é", "\x00", "x" * 300,
]  # fmt: skip
_leaves = (
    st.none() | st.booleans() | st.sampled_from(_WORDS) | st.text(max_size=6)
    | st.sampled_from([0, 1, -1, 2**31, 2**63, -(2**63), 10**30]) | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
)  # fmt: skip
_keys = st.sampled_from(
    ["name", "app", "spec", "metadata", "value", "valueFrom", "$patch", "image", "matchLabels"]
) | st.text(max_size=4)
values = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3),
    max_leaves=6,
)
"""JSON, small and odd."""

_QUERIES = ["", "?fieldValidation=Strict", "?fieldValidation=Ignore", "?dryRun=All"]
_PATCHES = ["merge-patch+json", "strategic-merge-patch+json"]


@st.composite
def writes(draw: st.DrawFn) -> Request:
    """A create, an update, or a patch of an example, or of its status or scale."""
    path, manifest = draw(st.sampled_from(list(examples.objects())))
    body = copy.deepcopy(manifest)
    for _ in range(draw(st.integers(1, 3))):
        _mutate(draw, body)
    query = draw(st.sampled_from(_QUERIES))
    part = draw(st.sampled_from(["", "", "", "/status", "/scale", "/binding", "/eviction"]))
    existing = f"{path}/{examples.NAME}{part}{query}"
    match draw(st.sampled_from(["POST", "PUT", "PATCH", "JSON"])):
        case "POST" if not part:
            return _request("POST", path + query, body)
        case "POST":
            return _request("POST", existing, body)
        case "PUT":
            return _request("PUT", existing, body)
        case "PATCH":
            return _request("PATCH", existing, body, draw(st.sampled_from(_PATCHES)))
        case _:
            operations = draw(st.lists(_operations(manifest), min_size=1, max_size=3))
            return _request("PATCH", existing, operations, "json-patch+json")


def _request(method: str, url: str, body: Any, type_: str = "json") -> Request:
    headers = {"Content-Type": f"application/{type_}"}
    return {"method": method, "url": url, "json": body, "headers": headers}


def _mutate(draw: st.DrawFn, body: Any) -> None:
    holder, key = draw(st.sampled_from(list(_places(body))))
    match draw(st.sampled_from(["replace", "remove", "add"])):
        case "replace":
            holder[key] = draw(values)
        case "remove":
            del holder[key]
        case "add" if isinstance(holder, dict):
            holder[draw(_keys)] = draw(values)
        case _:
            holder.append(draw(values))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every field and item there is, as what holds it and where."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(items):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


def _operations(manifest: Any) -> st.SearchStrategy[dict[str, Any]]:
    paths = st.sampled_from(list(_pointers(manifest, ""))) | st.text(max_size=8)
    return st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"])},
        optional={"path": paths, "from": paths, "value": values},
    )


def _pointers(value: Any, at: str) -> Iterator[str]:
    yield at
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _pointers(inner, f"{at}/{key.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        yield f"{at}/-"
        for index, inner in enumerate(value):
            yield from _pointers(inner, f"{at}/{index}")
