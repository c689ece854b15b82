"""What kinds there are: the aggregated form (two requests) and the legacy one (one per group).

Everything here is fixed when the process starts, so each document is built once.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

from msgspec import Struct

from orchestrator.api import negotiation, reviews, routes
from proto import kinds
from proto.kinds.kind import STANDARD_VERBS

VERSION = {
    "major": "1",
    "minor": "32",
    "gitVersion": "v1.32.0+longshore",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2025-01-01T00:00:00Z",
    "goVersion": "go1.23",
    "compiler": "gc",
    "platform": "linux/amd64",
}
"""Clients read which Kubernetes API this is a subset of; some pick their own version by it."""

_RESPONSE_KINDS = {
    "scale": ("autoscaling", "v1", "Scale"),
    "binding": ("", "v1", "Binding"),
    "eviction": ("policy", "v1", "Eviction"),
}
"""Kinds of subresources that are not the object itself."""


class _Part(Struct, frozen=True):
    """A subresource."""

    name: str
    group: str
    version: str
    kind: str
    verbs: tuple[str, ...]


class _Resource(Struct, frozen=True):
    """What one name in a URL stands for."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    is_namespaced: bool
    verbs: tuple[str, ...]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    parts: tuple[_Part, ...] = ()


def _resources() -> Iterator[_Resource]:
    for kind in kinds.ALL:
        own = (kind.group, kind.version, kind.name)
        yield _Resource(
            kind.group,
            kind.version,
            kind.plural,
            kind.singular,
            kind.name,
            kind.is_namespaced,
            STANDARD_VERBS,
            kind.short_names,
            kind.categories,
            tuple(
                _Part(name, *_RESPONSE_KINDS.get(name, own), verbs)
                for name, verbs in routes.subresources(kind).items()
            ),
        )
    for review in reviews.ALL:
        yield _Resource(
            review.group,
            review.version,
            review.plural,
            review.name.lower(),
            review.name,
            is_namespaced=False,
            verbs=("create",),
        )


@cache
def _groups() -> dict[str, dict[str, list[_Resource]]]:
    """Group, then version, to resources, in the order of `kinds.ALL`."""
    found: dict[str, dict[str, list[_Resource]]] = {}
    for resource in _resources():
        found.setdefault(resource.group, {}).setdefault(resource.version, []).append(resource)
    return found


def answer(parts: list[str], accept: str) -> tuple[dict[str, Any], str] | None:
    """The document at a path, with its Content-Type; None when it is no place of discovery."""
    version = _aggregated_version(accept)
    match parts:
        case ["api"]:
            if version:
                return _aggregated([""], version)
            return _plain({"kind": "APIVersions", "versions": ["v1"]} | _NO_ADDRESSES)
        case ["apis"]:
            named = [group for group in _groups() if group]
            if version:
                return _aggregated(named, version)
            return _plain(
                {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(g) for g in named]}
            )
        case ["api", found] if found in _groups()[""]:
            return _plain(_resource_list("", found))
        case ["apis", group] if group in _groups() and group:
            return _plain({"kind": "APIGroup", "apiVersion": "v1"} | _group(group))
        case ["apis", group, found] if group and found in _groups().get(group, {}):
            return _plain(_resource_list(group, found))
    return None


_NO_ADDRESSES: dict[str, Any] = {"serverAddressByClientCIDRs": []}


def _plain(body: dict[str, Any]) -> tuple[dict[str, Any], str]:
    return body, negotiation.JSON


def _aggregated_version(accept: str) -> str:
    """The first version of the aggregated form that the client knows; empty for none."""
    for choice in negotiation.media_types(accept):
        asked = choice.parameters
        if choice.name == negotiation.JSON and asked.get("as") == "APIGroupDiscoveryList":
            if asked.get("g") == "apidiscovery.k8s.io" and asked.get("v") in ("v2", "v2beta1"):
                return asked["v"]
        elif choice.name == negotiation.JSON:
            return ""
    return ""


def _aggregated(groups: list[str], version: str) -> tuple[dict[str, Any], str]:
    body = {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": [
            {
                "metadata": {"name": group} if group else {},
                "versions": [
                    {
                        "version": found,
                        "resources": [_aggregated_resource(r) for r in resources],
                        "freshness": "Current",
                    }
                    for found, resources in _groups()[group].items()
                ],
            }
            for group in groups
        ],
    }
    # Clients compare the parameters literally.
    kind = f"{negotiation.JSON};g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
    return body, kind


def _aggregated_resource(found: _Resource) -> dict[str, Any]:
    return {
        "resource": found.plural,
        "responseKind": {"group": found.group, "version": found.version, "kind": found.kind},
        "scope": "Namespaced" if found.is_namespaced else "Cluster",
        "singularResource": found.singular,
        "verbs": found.verbs,
        "shortNames": found.short_names,
        "categories": found.categories,
        "subresources": [
            {
                "subresource": part.name,
                "responseKind": {"group": part.group, "version": part.version, "kind": part.kind},
                "verbs": part.verbs,
            }
            for part in found.parts
        ],
    }


def _group(group: str) -> dict[str, Any]:
    versions = [
        {"groupVersion": f"{group}/{version}", "version": version} for version in _groups()[group]
    ]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]} | _NO_ADDRESSES


def _resource_list(group: str, version: str) -> dict[str, Any]:
    resources: list[dict[str, Any]] = []
    for found in _groups()[group][version]:
        resources.append(
            {
                "name": found.plural,
                "singularName": found.singular,
                "namespaced": found.is_namespaced,
                "kind": found.kind,
                "verbs": found.verbs,
                "shortNames": found.short_names,
                "categories": found.categories,
            }
        )
        resources += [
            {
                "name": f"{found.plural}/{part.name}",
                "singularName": "",
                "namespaced": found.is_namespaced,
                "group": part.group,
                "version": part.version,
                "kind": part.kind,
                "verbs": part.verbs,
            }
            for part in found.parts
        ]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": resources,
    }
