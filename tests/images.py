"""The image that tests run on the machine's own Docker."""

import asyncio
import io
import tarfile

from tests.e2e.images import BUSYBOX, busybox_root


async def busybox_image() -> str:
    """The name of an image with BusyBox; imported when it is not there."""
    if await _docker("image", "inspect", BUSYBOX) != 0:
        assert await _docker("import", "-", BUSYBOX, given=busybox_root()) == 0
    return BUSYBOX


async def import_image(content: str, *names: str) -> None:
    """An image with one file of that content, under these names."""
    archive, data = io.BytesIO(), content.encode()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        file = tarfile.TarInfo("content")
        file.size = len(data)
        tar.addfile(file, io.BytesIO(data))
    assert await _docker("import", "-", names[0], given=archive.getvalue()) == 0
    for name in names[1:]:
        assert await _docker("tag", names[0], name) == 0


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
