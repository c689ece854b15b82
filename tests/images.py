"""The image that tests run on the machine's own Docker."""

import asyncio

from tests.e2e.images import BUSYBOX, busybox_root


async def busybox_image() -> str:
    """The name of an image with BusyBox; imported when it is not there."""
    if await _docker("image", "inspect", BUSYBOX) != 0:
        assert await _docker("import", "-", BUSYBOX, given=busybox_root()) == 0
    return BUSYBOX


async def _docker(*arguments: str, given: bytes | None = None) -> int:
    process = await asyncio.create_subprocess_exec(
        "docker",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    await process.communicate(given)
    assert process.returncode is not None
    return process.returncode
