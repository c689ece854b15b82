"""`longshore version` and `api-resources`: what is talked to, and what it serves."""

import importlib.metadata
from operator import attrgetter
from typing import Any

from orchestrator.cli import formats
from orchestrator.cli.refused import Refused
from orchestrator.cli.resources import ResourceType
from orchestrator.cli.session import Session


def client_version() -> str:
    """Of this program."""
    return importlib.metadata.version("longshore")


def show_client_version(output: str) -> None:
    """Without a cluster."""
    if output:
        print(formats.printer(output)({"clientVersion": {"version": client_version()}}), end="")
    else:
        print(f"Client Version: {client_version()}")


async def show_server_version(session: Session, output: str) -> None:
    """And the program's own when they are one document."""
    server = await session.client.get("/version")
    if output:
        both: dict[str, Any] = {
            "clientVersion": {"version": client_version()},
            "serverVersion": server,
        }
        session.screen.write(formats.printer(output)(both).encode())
    else:
        session.screen.say(f"Server Version: {server['gitVersion']}")


async def show_resources(
    session: Session, *, group: str | None, is_namespaced: bool | None, output: str
) -> None:
    """The kinds of the cluster, those of a group, or those in namespaces or in none."""
    if output not in ("", "name", "wide"):
        raise Refused(f"api-resources has no output {output!r}", hint="-o name or -o wide")
    types = [
        type
        for type in await session.client.types()
        if type.verbs
        and group in (None, type.group)
        and is_namespaced in (None, type.is_namespaced)
    ]
    types.sort(key=attrgetter("group", "plural"))
    if output == "name":
        for type in types:
            session.screen.say(type.full_plural)
        return
    header = ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]
    if output == "wide":
        header += ["VERBS", "CATEGORIES"]
    session.screen.table(header, [_row(type)[: len(header)] for type in types])


def _row(type: ResourceType) -> list[str]:
    return [
        type.plural,
        ",".join(type.short_names),
        type.api_version,
        str(type.is_namespaced).lower(),
        type.kind,
        ",".join(sorted(type.verbs)),
        ",".join(sorted(type.categories)),
    ]
