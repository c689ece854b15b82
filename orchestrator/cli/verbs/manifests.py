"""The manifests of ``-f``: files, folders, URLs and standard input."""

import sys
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrator.cli.client import Json
from orchestrator.cli.refused import Refused
from proto import manifest
from proto.errors import BadRequest

SUFFIXES = (".json", ".yaml", ".yml")
"""What is read of a folder. Source: kubectl."""

BYTES_MAX = 64 << 20
URL_S_MAX = 30


def read(files: Sequence[str], *, is_recursive: bool = False) -> list[Json]:
    """Every object in them, in order; Lists are taken apart.

    Raises:
        Refused: One cannot be read, or is no manifest; the text says which and where.
    """
    found: list[Json] = []
    for file in files:
        for name, content in _contents(file, is_recursive=is_recursive):
            try:
                documents = manifest.load_all(content)
            except BadRequest as error:
                raise Refused(f"{name}: {error}") from None
            found += [_checked(name, item) for document in documents for item in _items(document)]
    if not found:
        raise Refused(f"no objects in {', '.join(files)}")
    return found


def name(manifest: Json) -> str:
    """Of its object.

    Raises:
        Refused: It has none.
    """
    found = (manifest.get("metadata") or {}).get("name")
    if not found:
        raise Refused(f"a {manifest['kind']} in the manifests has no metadata.name")
    return str(found)


def _items(document: Json) -> list[Json]:
    is_list = str(document.get("kind", "")).endswith("List") and "items" in document
    return list(document["items"] or ()) if is_list else [document]


def _checked(source: str, object: Json) -> Json:
    for field in ("apiVersion", "kind"):
        if not isinstance(object.get(field), str):
            raise Refused(f"{source}: an object has no {field}", hint="every object needs both")
    return object


def _contents(file: str, *, is_recursive: bool) -> Iterator[tuple[str, bytes]]:
    if file == "-":
        yield "standard input", sys.stdin.buffer.read(BYTES_MAX)
    elif file.startswith(("http://", "https://")):
        yield file, _fetched(file)
    else:
        path = Path(file)
        try:
            if path.is_dir():
                inner = path.rglob("*") if is_recursive else path.iterdir()
                for one in sorted(inner):
                    if one.suffix in SUFFIXES and one.is_file():
                        yield str(one), one.read_bytes()
            else:
                yield file, path.read_bytes()
        except OSError as error:
            raise Refused(f"{error.filename or file} cannot be read: {error.strerror}") from None


def _fetched(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=URL_S_MAX) as answer:  # noqa: S310 -- http(s) only
            content: bytes = answer.read(BYTES_MAX)
    except OSError as error:
        raise Refused(f"{url} cannot be fetched: {error}") from None
    return content
