"""What one manager last applied to an object: the fields it owns, with their values.

Applying again must say everything that is to stay: what an apply leaves out, its manager gives up.
Whoever changes a little starts from this. Source: client-go, ExtractInto; structured-merge-diff.
"""

import json
from typing import Any

from orchestrator.cli.client import Json


def owned(object: Json, manager: str) -> Json:
    """The part of an object that a manager owns by applying; empty when it never did.

    Args:
        object: As the server has it, with its ``managedFields``.
        manager: Whose.
    """
    for entry in object.get("metadata", {}).get("managedFields", ()):
        is_theirs = (entry.get("manager"), entry.get("operation")) == (manager, "Apply")
        if is_theirs and not entry.get("subresource"):
            kept: Json = _kept(object, entry.get("fieldsV1", {}))
            return kept
    return {}


def _kept(value: Any, fields: Json) -> Any:
    """The value cut down to these fields; no fields below it: the whole of it."""
    inner = {name: below for name, below in fields.items() if name != "."}
    if not inner:
        return value
    if isinstance(value, dict):
        named = {name.removeprefix("f:"): below for name, below in inner.items()}
        return {name: _kept(value[name], below) for name, below in named.items() if name in value}
    if isinstance(value, list):
        return [one for name, below in inner.items() for one in _items(value, name, below)]
    return value


def _items(value: list[Any], name: str, below: Json) -> list[Any]:
    """Of a list the item of that key (``k:{"name":"web"}``), or that value (``v:"a"``)."""
    sort, _, text = name.partition(":")
    wanted = json.loads(text)
    if sort == "v":
        return [one for one in value if one == wanted]
    found = [one for one in value if isinstance(one, dict) and wanted.items() <= one.items()]
    # An item that is owned as such, and none of its fields, is its key alone.
    return [wanted if not below.keys() - {"."} else wanted | _kept(one, below) for one in found]
