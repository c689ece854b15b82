import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from orchestrator.cli.connection import kubeconfig_of
from orchestrator.cli.where import Where

LONGSHORE = str(Path(sys.executable).parent / "longshore")


def longshore(home: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LONGSHORE, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", "HOME": str(home), **env},
    )


def kubeconfig(path: Path, server: str, name: str = "here", **cluster: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    config = {
        "clusters": [{"name": name, "cluster": {"server": server, **cluster}}],
        "users": [{"name": name, "user": {}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "n"}}],
        "current-context": name,
    }
    path.write_text(yaml.safe_dump(config))
    return path


@contextmanager
def serving(code: int, body: bytes, kind: str = "application/json") -> Iterator[str]:
    """A server that answers everything so."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_what_is_nearest_to_the_user_decides(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("LONGSHORE_DATA", raising=False)
    assert kubeconfig_of(Where()).paths == ""
    usual = kubeconfig(tmp_path / ".kube" / "config", "http://usual")
    assert kubeconfig_of(Where()).paths == str(usual)
    ours = kubeconfig(tmp_path / ".longshore" / "kubeconfig", "http://ours")
    assert kubeconfig_of(Where()).paths == f"{ours}:{usual}"
    monkeypatch.setenv("LONGSHORE_DATA", str(tmp_path / "other"))
    other = kubeconfig(tmp_path / "other" / "kubeconfig", "http://other")
    assert kubeconfig_of(Where()).paths == f"{other}:{usual}"
    monkeypatch.setenv("KUBECONFIG", "/some/file")
    assert kubeconfig_of(Where()).paths == "/some/file"
    assert kubeconfig_of(Where(kubeconfig="/named")).paths == "/named"


def test_without_any_cluster_it_says_how_to_get_one(tmp_path) -> None:
    done = longshore(tmp_path, "get", "pods")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "error: there is no cluster to talk to",
        "hint: start one with `longshore up`, or name one with --server URL or --kubeconfig FILE",
    ]


def test_a_cluster_that_does_not_answer_is_told_in_a_sentence(tmp_path) -> None:
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        server = f"http://127.0.0.1:{taken.getsockname()[1]}"
        done = longshore(tmp_path, "--server", server, "get", "pods")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: nothing answers at {server}")
    assert "longshore up" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "names no cluster"),
        ("{", "cannot be used"),
        ("[]", "cannot be used"),
        ("clusters: []", "names no cluster"),
        ("current-context: a\ncontexts: [{name: a, context: {cluster: b, user: c}}]", "cannot be used"),
    ],
)
def test_a_kubeconfig_that_is_none_is_told(tmp_path, content: str, problem: str) -> None:
    file = tmp_path / "config"
    file.write_text(content)
    done = longshore(tmp_path, "get", "pods", "--kubeconfig", str(file))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert str(file) in done.stderr
    assert done.stderr.startswith("error: ")


def test_a_kubeconfig_that_is_not_there_is_told(tmp_path) -> None:
    done = longshore(tmp_path, "get", "pods", KUBECONFIG="/not/there")
    assert done.stderr.startswith("error: the kubeconfig /not/there is not there\nhint: ")


def test_a_context_that_is_not_there_is_told(tmp_path) -> None:
    file = kubeconfig(tmp_path / "config", "http://127.0.0.1:1")
    done = longshore(tmp_path, "get", "pods", "--kubeconfig", str(file), "--context", "prod")
    assert done.stderr == f"error: no context prod in {file}\n"
    assert longshore(tmp_path, "get", "pods", "--context", "prod").stderr.startswith(
        "error: no context prod: there is no kubeconfig\nhint: "
    )


@pytest.mark.parametrize(
    ("code", "body", "words"),
    [
        (401, b'{"kind": "Status", "reason": "Unauthorized", "message": "no"}', "(Unauthorized): no\nhint"),
        (403, b'{"kind": "Status", "reason": "Forbidden", "message": "no"}', "(Forbidden): no"),
        (503, b'{"kind": "Status", "reason": "ServiceUnavailable", "message": "soon"}', "soon\nhint: wait"),
        (502, b"<html>bad gateway</html>", "502"),
    ],
)
def test_an_answer_that_is_an_error_is_told_in_the_servers_words(tmp_path, code, body, words) -> None:
    with serving(code, body) as server:
        done = longshore(tmp_path, "--server", server, "get", "pods")
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.startswith("Error from server (")
    assert "Traceback" not in done.stderr


def test_a_server_that_speaks_something_else_is_told(tmp_path) -> None:
    with serving(200, b"<html>hello</html>", "text/html") as server:
        done = longshore(tmp_path, "--server", server, "get", "pods")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
