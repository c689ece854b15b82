"""Requests by our OpenAPI documents: those that fit an operation, and those that just do not."""

import json
from collections.abc import Iterator
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode

from orchestrator.api import openapi
from orchestrator.world import Registry
from tests.fuzz.examples import NAME, NAMESPACE
from tests.fuzz.server import Request

EXISTING = {"namespace": NAMESPACE, "name": NAME}
LEFT_WILD = 4
"""One in so many names is left as it was made up."""

TAKE_FOR_EVER = ("watch", "follow")


def operations() -> Iterator[tuple[str, st.SearchStrategy[Request]]]:
    """Each operation's name, and requests for it."""
    served = Registry().served
    for group_version in openapi.group_versions(served):
        document = json.loads(openapi.document(group_version, served))
        for found in schemathesis.openapi.from_dict(document).get_all_operations():
            operation = found.ok()
            modes = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
            if not operation.query.items and not operation.body.items:
                modes = modes[:1]  # nothing can be wrong with it
            strategies = [operation.as_strategy(generation_mode=mode) for mode in modes]
            yield operation.label, st.one_of(strategies).map(_request)


def _request(case: Any) -> Request:
    """The case, mostly about something that exists, and never one that takes for ever."""
    wild = len(repr(case.query)) % LEFT_WILD == 0
    if not wild:
        case.path_parameters = {key: EXISTING[key] for key in case.path_parameters or {}}
        if isinstance(case.body, dict):
            case.body = case.body | _identity(case)
    case.query = {k: v for k, v in (case.query or {}).items() if k not in TAKE_FOR_EVER}
    found: Request = case.as_transport_kwargs(base_url="")
    return found


def _identity(case: Any) -> dict[str, Any]:
    """What a body must say to be looked into at all."""
    gvk = case.operation.definition.raw["x-kubernetes-group-version-kind"]
    group = f"{gvk['group']}/" if gvk["group"] else ""
    metadata = case.body.get("metadata")
    return {
        "apiVersion": f"{group}{gvk['version']}",
        "kind": gvk["kind"],
        "metadata": {**(metadata if isinstance(metadata, dict) else {}), "name": NAME},
    }
