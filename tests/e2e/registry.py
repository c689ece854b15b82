"""A registry on this machine that wants to know who asks: Debian's ``docker-registry``."""

import base64
import json
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.process import Process
from tests.e2e.waiting import eventually
from tests.servers import free_port

USER, PASSWORD = "joe", "hush"
_HTPASSWD = "joe:$2b$05$abcdefghijklmnopqrstuulzd.YqjLDl8lvpSmVj3De/fioSBHnUa\n"
"""The same, by bcrypt, which is all that it takes."""

_CONFIG = """
version: 0.1
log: {{accesslog: {{disabled: true}}, level: warn}}
storage: {{filesystem: {{rootdirectory: {folder}/storage}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
auth: {{htpasswd: {{realm: tests, path: {folder}/htpasswd}}}}
"""


class Registry:
    """One that runs.

    Attributes:
        host: As images are named after it. Docker takes plain HTTP from loopback addresses.
    """

    def __init__(self, host: str, folder: Path) -> None:
        self.host = host
        self._folder = folder
        auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))

    def build(self, name: str, root: bytes, *command: str) -> str:
        """An image of that root file system, built on this machine; its whole name."""
        image, folder = f"{self.host}/{name}", self._folder / "context"
        folder.mkdir(exist_ok=True)
        (folder / "root.tar").write_bytes(root)
        lines = ["FROM scratch", "ADD root.tar /", f"CMD {json.dumps(command)}"]
        (folder / "Dockerfile").write_text("\n".join(lines))
        self._docker("build", "-q", "-t", image, str(folder))
        return image

    def push(self, image: str) -> str:
        """Push it, and remove it from this machine; the digest under which the registry has it."""
        self._docker("push", "-q", image)
        digest = self._docker("image", "inspect", "-f", "{{index .RepoDigests 0}}", image)
        self.remove(image)
        return digest.strip()

    def remove(self, *images: str) -> None:
        """From this machine."""
        self._docker("image", "rm", "-f", *images)

    def _docker(self, *arguments: str) -> str:
        argv = ["docker", "--config", str(self._folder), *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def registry(folder: Path) -> Iterator[Registry]:
    """An empty one, whose only user is `USER`."""
    binary = shutil.which("docker-registry")
    assert binary, "docker-registry is missing: apt-get install docker-registry"
    port = free_port()
    (folder / "htpasswd").write_text(_HTPASSWD)
    (folder / "registry.yml").write_text(_CONFIG.format(folder=folder, port=port))
    argv = [binary, "serve", str(folder / "registry.yml")]
    process = Process("docker-registry", argv, folder / "registry.log", is_inner=False)
    try:
        eventually(
            lambda: _asks_who(f"http://127.0.0.1:{port}/v2/") or not process.is_running,
            within_s=30,
            what="the registry answers",
        )
        assert process.is_running, process.tail()
        yield Registry(f"127.0.0.1:{port}", folder)
    finally:
        process.stop()


def _asks_who(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError as error:
        return error.code == 401
    except OSError:
        return False
    return True
