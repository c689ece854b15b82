"""The manifest that `longshore deploy IMAGE` applies. Pure."""

import re
from typing import Any

from msgspec import Struct

from orchestrator.cli.client import Json
from orchestrator.cli.extraction import owned
from orchestrator.cli.refused import Refused

NAME_MAX = 63
"""Of a label's value, which the name becomes. Source: Kubernetes, Labels."""


class ImageOptions(Struct, frozen=True, kw_only=True):
    """What was asked for on the command line.

    Attributes:
        name: Of the deployment; made from the image when empty.
        replicas: None to leave them as they are; likewise `port`.
        env: ``NAME=VALUE`` each.
        command: Instead of the image's own; empty to leave it as it is.
    """

    image: str
    name: str = ""
    replicas: int | None = None
    port: int | None = None
    env: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


def name_of(image: str) -> str:
    """A name for what runs an image.

    Raises:
        Refused: None can be made.

    >>> name_of("registry.local:5000/shop/Web_front:2.1"), name_of("web@sha256:0a")
    ('web-front', 'web')
    """
    last = image.partition("@")[0].rpartition("/")[2].partition(":")[0]
    name = re.sub(r"[^a-z0-9-]+", "-", last.lower()).strip("-")[:NAME_MAX].rstrip("-")
    if not name:
        raise Refused(f"no name can be made from the image {image!r}", hint="give one with --name")
    return name


def manifest(options: ImageOptions, live: Json | None, manager: str) -> Json:
    """What to apply: of a deployment that exists, what it has from this manager, changed.

    Args:
        options: What was asked for.
        live: The deployment; None when there is none.
        manager: Who applies.

    Raises:
        Refused: The options are wrong, or it cannot be told which container is meant.
    """
    name = options.name or name_of(options.image)
    base = owned(live, manager) if live else {}
    spec: Json = base.get("spec") or {}
    template: Json = spec.get("template") or {}
    pod: Json = template.get("spec") or {}
    container = _container_name(name, live)
    others = [one for one in pod.get("containers", ()) if one["name"] != container]
    mine: Json = next((one for one in pod.get("containers", ()) if one["name"] == container), {})
    pod = pod | {"containers": [*others, _changed(mine | {"name": container}, options)]}
    if not live:
        labels = {"app": name}
        spec = {"selector": {"matchLabels": labels}}
        template = {"metadata": {"labels": labels}}
    if options.replicas is not None:
        spec = spec | {"replicas": options.replicas}
    metadata = {
        key: base.get("metadata", {})[key] for key in _KEPT & base.get("metadata", {}).keys()
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata | {"name": name},
        "spec": spec | {"template": template | {"spec": pod}},
    }


_KEPT = frozenset({"labels", "annotations"})
"""Of the metadata: what a user writes."""


def _container_name(name: str, live: Json | None) -> str:
    if not live:
        return name
    there = [one["name"] for one in live["spec"]["template"]["spec"]["containers"]]
    if len(there) == 1 or name in there:
        return name if name in there else str(there[0])
    raise Refused(
        f"deployment {name} has several containers: {', '.join(there)}",
        hint=f"longshore set image deploy/{name} {there[0]}=IMAGE",
    )


def _changed(container: Json, options: ImageOptions) -> Json:
    changed: dict[str, Any] = container | {"image": options.image}
    if options.command:
        changed["command"] = list(options.command)
    if options.port is not None:
        changed["ports"] = [{"containerPort": options.port, "protocol": "TCP"}]
    if options.env:
        given = dict(_variable(text) for text in options.env)
        kept = [one for one in container.get("env", ()) if one["name"] not in given]
        changed["env"] = [*kept, *({"name": k, "value": v} for k, v in given.items())]
    return changed


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Refused(f"--env {text!r} is no NAME=VALUE", hint="--env LOG_LEVEL=debug")
    return name, value
