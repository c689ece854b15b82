"""What kinds there are: the aggregated form (two requests) and the legacy one (one per group).

The documents follow from the tuple of all kinds, and are built once for each.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from msgspec import Struct

from orchestrator.api import negotiation, reviews, routes
from proto.kinds.kind import STANDARD_VERBS, Kind

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
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
}
"""Kinds of subresources that are not the object itself."""


Kinds = tuple[Kind[Any], ...]
"""All kinds: `Registry.all`."""


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


Groups = dict[str, dict[str, list[_Resource]]]


def _resources(kinds: Kinds) -> Iterator[_Resource]:
    for kind in kinds:
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
            is_namespaced=review.is_namespaced,
            verbs=("create",),
        )


@lru_cache(maxsize=2)  # one for each state of the registry: the present one, and the last
def _groups(kinds: Kinds) -> Groups:
    """Group, then version, to resources, in the order of the kinds."""
    found: Groups = {}
    for resource in _resources(kinds):
        found.setdefault(resource.group, {}).setdefault(resource.version, []).append(resource)
    return found


def answer(parts: list[str], accept: str, kinds: Kinds) -> tuple[dict[str, Any], str] | None:
    """The document at a path, with its Content-Type; None when it is no place of discovery."""
    groups = _groups(kinds)
    version = _aggregated_version(accept)
    match parts:
        case ["api"]:
            if version:
                return _aggregated({"": groups[""]}, version)
            return _plain({"kind": "APIVersions", "versions": ["v1"]} | _NO_ADDRESSES)
        case ["apis"]:
            named = {group: found for group, found in groups.items() if group}
            if version:
                return _aggregated(named, version)
            return _plain(
                {
                    "kind": "APIGroupList",
                    "apiVersion": "v1",
                    "groups": [_group(*g) for g in named.items()],
                }
            )
        case ["api", found] if found in groups[""]:
            return _plain(_resource_list(found, groups[""][found]))
        case ["apis", group] if group in groups and group:
            return _plain({"kind": "APIGroup", "apiVersion": "v1"} | _group(group, groups[group]))
        case ["apis", group, found] if group and found in groups.get(group, {}):
            return _plain(_resource_list(f"{group}/{found}", groups[group][found]))
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


def _aggregated(groups: Groups, version: str) -> tuple[dict[str, Any], str]:
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
                    for found, resources in versions.items()
                ],
            }
            for group, versions in groups.items()
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


def _group(group: str, versions: Iterable[str]) -> dict[str, Any]:
    served = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {"name": group, "versions": served, "preferredVersion": served[0]} | _NO_ADDRESSES


def _resource_list(group_version: str, served: Iterable[_Resource]) -> dict[str, Any]:
    resources: list[dict[str, Any]] = []
    for found in served:
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
        "groupVersion": group_version,
        "resources": resources,
    }
