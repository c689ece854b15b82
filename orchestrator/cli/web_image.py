"""The demo's web server: BusyBox and nothing else, since no registry need be in reach."""

import io
import shutil
import tarfile
from pathlib import Path

from orchestrator.cli.refused import Refused

REPOSITORY = "longshore-demo/web"

SERVE = b"""#!/bin/sh
# As process 1 it must react to SIGTERM by itself, which httpd alone would not.
trap 'exit 0' TERM
echo "version $VERSION from $POD on $NODE" > /www/index.html
httpd -f -p 80 -h /www &
wait
"""


def image(version: int) -> str:
    """Name and tag."""
    return f"{REPOSITORY}:{version}"


def changes(version: int) -> list[str]:
    """What ``docker import --change`` adds to the files."""
    return [f"ENV VERSION={version}", 'CMD ["/serve"]']


def root() -> bytes:
    """A tar of the whole file system.

    Raises:
        Refused: There is no BusyBox, or it needs libraries that the image would lack.
    """
    found = shutil.which("busybox")
    if found is None or b"/ld-linux" in Path(found).read_bytes():
        raise Refused("the demo's image needs busybox-static: sudo apt-get install busybox-static")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for folder in ("bin", "www", "tmp"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        serve = tarfile.TarInfo("serve")
        serve.mode, serve.size = 0o755, len(SERVE)
        tar.addfile(serve, io.BytesIO(SERVE))
        tar.add(Path(found).resolve(), "bin/busybox")
        for name in ("sh", "httpd"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return archive.getvalue()


def manifest(version: int, *, replicas: int = 3) -> dict[str, object]:
    """The Deployment, as its YAML file has it."""
    labels = {"app": "web"}
    container = {
        "name": "web",
        "image": image(version),
        "ports": [{"containerPort": 80}],
        "env": [
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        ],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
