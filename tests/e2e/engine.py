"""One Docker engine, seen by a test: its HTTP API over its socket, and nothing in between."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any


class EngineError(Exception):
    """Docker refused.

    Attributes:
        status: HTTP status of the answer.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Engine:
    """A Docker engine behind a Unix socket. Each call has its own connection."""

    def __init__(self, socket_path: Path) -> None:
        self.socket_path = socket_path

    def answers(self) -> bool:
        try:
            return bool(self.call("GET", "/_ping", timeout_s=2) == "OK")
        except (OSError, EngineError, http.client.HTTPException):
            return False

    def containers(self, *, with_ended: bool = True) -> list[dict[str, Any]]:
        """As ``docker ps``, oldest first."""
        found = self.call("GET", f"/containers/json?all={int(with_ended)}")
        return sorted(found, key=lambda container: int(container["Created"]))

    def started_at(self, container: str) -> str:
        """When its present run began; empty when it is gone."""
        try:
            return str(self.call("GET", f"/containers/{container}/json")["State"]["StartedAt"])
        except EngineError as error:
            if error.status != 404:
                raise
            return ""

    def remove_all_containers(self) -> None:
        for container in self.containers():
            try:
                self.call("DELETE", f"/containers/{container['Id']}?force=1&v=1")
            except EngineError as error:
                if error.status not in (404, 409):  # gone, or going
                    raise

    def import_image(self, name: str, root_filesystem: bytes) -> None:
        """A one-layer image, as ``docker import``."""
        repository, tag = name.split(":")
        path = f"/images/create?fromSrc=-&repo={repository}&tag={tag}"
        self.call("POST", path, root_filesystem, timeout_s=60)

    def call(
        self,
        method: str,
        path: str,
        body: bytes | dict[str, Any] | None = None,
        *,
        timeout_s: float = 30,
    ) -> Any:
        """The decoded answer: JSON where it is JSON, else text.

        Args:
            method: Of HTTP.
            path: With its query.
            body: A tar, or an object to be sent as JSON.
            timeout_s: For every single read and write.

        Raises:
            EngineError: Docker refused.
            OSError: Nobody answers.
        """
        connection = _UnixConnection(self.socket_path, timeout_s)
        type_, data = "application/x-tar", body
        if isinstance(body, dict):
            type_, data = "application/json", json.dumps(body).encode()
        try:
            connection.request(method, path, data, {"Content-Type": type_})
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        finally:
            connection.close()
        if answer.status >= 400:
            raise EngineError(answer.status, text.strip())
        is_json = answer.headers.get_content_type() == "application/json"
        try:
            return json.loads(text) if is_json and text else text
        except json.JSONDecodeError:  # a stream of progress messages
            return text


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("docker", timeout=timeout_s)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
