"""A connection to Docker that stops being HTTP: what its API calls hijacking.

Exec and attach turn their connection into a byte stream in both directions, of which each may end
before the other. HTTP clients hide the half that this needs, and a request of four lines does not
need them. Source: Docker Engine API, "Attach to a container".
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from proto.errors import BadRequest, LongshoreError, NotFound, Unavailable

BUFFER_BYTES_MAX = 65_536
"""Read ahead of whoever reads; Docker, and then the program, waits while it is full."""


async def hijack(
    engine_url: str, path: str, body: Mapping[str, Any]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Post a request, and have its connection.

    Args:
        engine_url: ``unix:///path`` or ``tcp://host:port``.
        path: With its query.
        body: JSON.

    Raises:
        NotFound, BadRequest: In Docker's words.
        Unavailable: Docker does not answer.
    """
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    try:
        reader, writer = await _connect(engine_url)
        try:
            writer.write(head.encode() + content)
            await writer.drain()
            await _expect_upgrade(reader)
        except BaseException:
            writer.close()
            raise
    except (OSError, EOFError, ValueError) as error:
        raise Unavailable(f"Docker does not answer: {error}") from error
    return reader, writer


async def _connect(engine_url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    url = urlsplit(engine_url)
    if url.scheme == "unix":
        return await asyncio.open_unix_connection(url.path, limit=BUFFER_BYTES_MAX)
    return await asyncio.open_connection(url.hostname, url.port, limit=BUFFER_BYTES_MAX)


async def _expect_upgrade(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status, *lines = head.splitlines()
    code = int(status.split(" ", 2)[1])
    if code in (101, 200):  # 200 from engines that do not know how to upgrade
        return
    headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
    content = await reader.read(int(headers.get("content-length", BUFFER_BYTES_MAX)))
    raise _refusal(code, content)


def _refusal(code: int, content: bytes) -> LongshoreError:
    try:
        text = str(json.loads(content)["message"])
    except (ValueError, KeyError, TypeError):
        text = content.decode(errors="replace").strip()
    if code == 404:
        return NotFound(text)
    return BadRequest(text) if code < 500 else Unavailable(text)
