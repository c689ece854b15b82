"""The image that the tests run: BusyBox and nothing else, since no registry is in reach."""

import io
import shutil
import subprocess
import tarfile
from functools import cache
from pathlib import Path

BUSYBOX = "demo/busybox:1"
SLEEP = ["sh", "-c", "trap 'exit 0' TERM; sleep 100000 & wait"]
"""A command that does nothing until it is told to end; pid 1 ignores SIGTERM unless it is said."""


@cache
def busybox_root() -> bytes:
    """A tar of a root file system with every BusyBox command.

    Raises:
        FileNotFoundError: The machine has no BusyBox (Debian: busybox-static).
    """
    found = shutil.which("busybox")
    if found is None:
        raise FileNotFoundError("busybox is missing: apt-get install busybox-static")
    listed = subprocess.run([found, "--list"], capture_output=True, text=True, check=True)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ("bin", "etc", "tmp", "www"):
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(directory)
        tar.add(Path(found).resolve(), "bin/busybox")
        for command in listed.stdout.split():
            if command != "busybox":
                link = tarfile.TarInfo(f"bin/{command}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
    return archive.getvalue()
