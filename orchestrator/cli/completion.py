"""What the shell offers when Tab is pressed: kinds, names, namespaces, contexts.

Silent when there is no cluster, and quick: a shell waits for it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import typer

from orchestrator.cli.where import Where

if TYPE_CHECKING:
    from orchestrator.cli.client import Client

PATIENCE_S = 1.5
"""For the whole answer. Longer, and the user has typed it."""


def resources(ctx: typer.Context, args: list[str], incomplete: str) -> list[str]:
    """Kinds for the first word, ``TYPE/NAME`` or names for the later ones."""
    words = list(ctx.params.get("resources") or args or ())
    return _asked(ctx, lambda client: _resources(client, words, incomplete))


def pods(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of pods, or of ``TYPE/NAME``."""
    words = [] if "/" in incomplete else ["pods"]
    return _asked(ctx, lambda client: _resources(client, words, incomplete))


def nodes(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of nodes."""
    return _asked(ctx, lambda client: _resources(client, ["nodes"], incomplete))


def namespaces(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of namespaces."""
    return _asked(ctx, lambda client: _resources(client, ["namespaces"], incomplete))


def contexts(ctx: typer.Context, incomplete: str) -> list[str]:
    """Contexts of the kubeconfig; no cluster is asked."""
    import yaml

    from orchestrator.cli.connection import kubeconfig_of

    found: set[str] = set()
    for path in kubeconfig_of(_where(ctx)).paths.split(":"):
        with contextlib.suppress(OSError, yaml.YAMLError, KeyError, TypeError):
            with open(path, encoding="utf-8") as file:  # noqa: PTH123
                config = yaml.safe_load(file)
            found |= {context["name"] for context in config["contexts"]}
    return sorted(name for name in found if name.startswith(incomplete))


def _asked(ctx: typer.Context, ask: "Callable[[Client], Awaitable[Sequence[str]]]") -> list[str]:
    from orchestrator.cli.connection import connected

    async def answer() -> Sequence[str]:
        async with asyncio.timeout(PATIENCE_S), connected(_where(ctx)) as client:
            return await ask(client)

    try:
        return sorted(asyncio.run(answer()))
    except Exception:  # noqa: BLE001 -- a shell's line is no place for any complaint
        return []


async def _resources(client: "Client", words: Sequence[str], incomplete: str) -> Sequence[str]:
    types = await client.types()
    kind, slash, name = incomplete.partition("/")
    if not slash and not words:
        return [type.plural for type in types if type.plural.startswith(incomplete)]
    if not slash:
        kind, name = words[0], incomplete
    type = types.named(kind)
    found = await client.get(type.path(client.namespace), {"limit": 500})
    names = (item["metadata"]["name"] for item in found["items"])
    prefix = f"{kind}/" if slash else ""
    return [prefix + one for one in names if one.startswith(name)]


def _where(ctx: typer.Context) -> Where:
    params: dict[str, Any] = ctx.params
    given = {word: params.get(word) or "" for word in Where.__struct_fields__}
    before = ctx.find_root().params
    outer = {word: before.get(word) or "" for word in Where.__struct_fields__}
    return Where(**given).over(Where(**outer))
