"""The folder that holds an embedded cluster: its state, its logs, and how to reach it.

* ``lock``: held (flock) while `longshore up` runs; contains its process id
* ``kubeconfig``: for kubectl
* ``ready``: there while the cluster runs, once the API answers and every node is Ready
* ``control``: the socket of `longshore node`
* ``cluster``: an id, so that containers of other folders' clusters are not taken for this one's
* ``encryption.yaml``: the key that Secrets are kept with; without it they are lost
* ``ports.json``: remembered, so that a restart answers where the last run did
* ``etcd``, ``nats``: the servers' own data
* ``nodes/NAME``: what an agent keeps over its restarts
* ``logs``, ``pids``: one file for each daemon
"""

import base64
import contextlib
import fcntl
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from orchestrator.cli.refused import Refused
from proto import codec
from proto.errors import BadRequest

API_PORT = 6443
"""Where the API listens when nothing else does. Source: kube-apiserver's default."""

LOG_BYTES_MAX = 10 * 1024 * 1024
"""A longer log is set aside (one generation) when its daemon starts."""


class Ports(Struct, frozen=True):
    """Loopback ports; 0 for one that has not been chosen yet."""

    api: int = 0
    etcd: int = 0
    etcd_peer: int = 0
    nats: int = 0


class DataDir:
    """Paths, the lock and the remembered ports."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self.kubeconfig = self.path / "kubeconfig"
        self.ready = self.path / "ready"
        self.control = self.path / "control"
        self._ports = self.path / "ports.json"

    def cluster_id(self) -> str:
        """This cluster's id among those on the same Docker engine; made once."""
        file = self.path / "cluster"
        if not file.exists():
            file.write_text(secrets.token_hex(4), encoding="utf-8")
        return file.read_text(encoding="utf-8")

    def encryption_config(self) -> Path:
        """What the orchestrator encrypts, and the key it does so with; made once."""
        file = self.path / "encryption.yaml"
        if not file.exists():
            made = file.with_suffix(".new")
            made.touch(mode=0o600)
            made.write_text(yaml.safe_dump(_new_encryption(), sort_keys=False), encoding="utf-8")
            made.rename(file)
        return file

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder and hold it: one `longshore up` at a time.

        Raises:
            Refused: Another one holds it, or it cannot be written.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self.path / "lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise Refused(
                f"{self.path} cannot be used ({error.strerror}): choose another with --data"
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise Refused(
                    f"a cluster runs in {self.path} already (process {lock.read().strip()}): "
                    "stop that one, or choose another folder with --data"
                ) from None
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            self.ready.unlink(missing_ok=True)  # of a run that could not tidy up
            try:
                yield
            finally:
                self.ready.unlink(missing_ok=True)

    def folder(self, *names: str) -> Path:
        """A folder inside, made when it is not there."""
        path = self.path.joinpath(*names)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def log(self, daemon: str) -> Path:
        """Where a daemon writes; a long one is set aside."""
        path = self.folder("logs") / f"{daemon}.log"
        if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
            path.replace(path.with_suffix(".log.1"))
        return path

    def pid_file(self, daemon: str) -> Path:
        """Holds the daemon's process id while it runs."""
        return self.folder("pids") / f"{daemon}.pid"

    def settle_ports(self, api: int | None) -> Ports:
        """The ports of the last run where they are still free, others where not; remembered.

        Args:
            api: The port that must be used for the API.

        Raises:
            Refused: That port is taken.
        """
        if api is not None and not _is_free(api):
            raise Refused(f"port {api} is taken: choose another with --port, or leave --port out")
        try:
            last = self.ports()
        except (FileNotFoundError, BadRequest):
            last = Ports()
        chosen: set[int] = set()
        ports = Ports(
            api=api or _first_free((last.api, API_PORT), chosen),
            etcd=_first_free((last.etcd,), chosen),
            etcd_peer=_first_free((last.etcd_peer,), chosen),
            nats=_first_free((last.nats,), chosen),
        )
        self._ports.write_bytes(codec.encode(ports))
        return ports

    def ports(self) -> Ports:
        """The remembered ones."""
        return codec.decode(self._ports.read_bytes(), Ports)

    def write_kubeconfig(self, server: str) -> None:
        """How kubectl reaches the API; its current context is ``longshore``."""
        name = "longshore"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {"server": server}}],
            "users": [{"name": name, "user": {}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        }
        self.kubeconfig.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        self.kubeconfig.chmod(0o600)


def _first_free(wanted: tuple[int, ...], chosen: set[int]) -> int:
    """The first wanted port that is free and not yet chosen, else any; it counts as chosen."""
    port = next((p for p in wanted if p and p not in chosen and _is_free(p)), 0)
    while not port or port in chosen:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    chosen.add(port)
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Connections that are just closing do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _new_encryption() -> dict[str, Any]:
    """Secrets under a new key; those of an older folder, which are not encrypted, stay readable."""
    key = {"name": "key1", "secret": base64.b64encode(secrets.token_bytes(32)).decode()}
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [
            {
                "resources": ["secrets"],
                "providers": [{"aesgcm": {"keys": [key]}}, {"identity": {}}],
            }
        ],
    }
