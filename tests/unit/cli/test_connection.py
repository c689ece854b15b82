import base64
import contextlib
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from orchestrator.cli.connection import connected, kubeconfig_of
from orchestrator.cli.refused import told
from orchestrator.cli.where import Where
from proto.errors import LongshoreError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """A user who has nothing yet."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KUBECONFIG", "LONGSHORE_DATA"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


async def problem(**where: str) -> str:
    """What the user reads."""
    with pytest.raises(LongshoreError) as raised:
        async with connected(Where(**where)) as client:
            await client.types()
    return told(raised.value)


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


@contextmanager
def serving_tls(folder: Path) -> Iterator[str]:
    """A server that nobody vouches for."""
    key = folder / "server.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-days", "1", "-nodes"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-keyout", key, "-out", key, *subject],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(key)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_what_is_nearest_to_the_user_decides(home, monkeypatch) -> None:
    assert kubeconfig_of(Where()).paths == ""
    usual = kubeconfig(home / ".kube" / "config", "http://usual")
    assert kubeconfig_of(Where()).paths == str(usual)
    ours = kubeconfig(home / ".longshore" / "kubeconfig", "http://ours")
    assert kubeconfig_of(Where()).paths == f"{ours}:{usual}"
    monkeypatch.setenv("LONGSHORE_DATA", str(home / "other"))
    other = kubeconfig(home / "other" / "kubeconfig", "http://other")
    assert kubeconfig_of(Where()).paths == f"{other}:{usual}"
    monkeypatch.setenv("KUBECONFIG", "/some/file")
    assert kubeconfig_of(Where()).paths == "/some/file"
    assert kubeconfig_of(Where(kubeconfig="/named")).paths == "/named"


async def test_without_any_cluster_it_says_how_to_get_one() -> None:
    assert (await problem()).splitlines() == [
        "error: there is no cluster to talk to",
        "hint: start one with `longshore up`, or name one with --server URL or --kubeconfig FILE",
    ]


async def test_a_cluster_that_does_not_answer_is_told_in_a_sentence() -> None:
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        server = f"http://127.0.0.1:{taken.getsockname()[1]}"
        text = await problem(server=server)
    assert text.startswith(f"error: nothing answers at {server}")
    assert "longshore up" in text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "cannot be used"),
        ("{", "cannot be used"),
        ("[]", "cannot be used"),
        ("clusters: []", "cannot be used"),
        (
            "current-context: a\ncontexts: [{name: a, context: {cluster: b, user: c}}]",
            "cannot be used",
        ),
    ],
)
async def test_a_kubeconfig_that_is_none_is_told(home, content: str, words: str) -> None:
    file = home / "config"
    file.write_text(content)
    text = await problem(kubeconfig=str(file))
    assert text.startswith("error: ")
    assert str(file) in text
    assert words in text


async def test_a_kubeconfig_that_is_not_there_is_told(monkeypatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/not/there")
    assert (await problem()).startswith("error: the kubeconfig /not/there is not there\nhint: ")


async def test_a_context_that_is_not_there_is_told(home) -> None:
    file = kubeconfig(home / "config", "http://127.0.0.1:1")
    assert (
        await problem(kubeconfig=str(file), context="prod") == f"error: no context prod in {file}"
    )
    text = await problem(context="prod")
    assert text.startswith("error: no context prod: there is no kubeconfig\nhint: ")


@pytest.mark.parametrize(
    ("code", "body", "words"),
    [
        (401, b'{"reason": "Unauthorized", "message": "no"}', "(Unauthorized): no\nhint"),
        (403, b'{"reason": "Forbidden", "message": "no"}', "(Forbidden): no"),
        (503, b'{"reason": "ServiceUnavailable", "message": "soon"}', "soon\nhint: wait"),
        (502, b"<html>bad gateway</html>", "(502)"),
    ],
)
async def test_an_answer_that_is_an_error_is_told_in_the_servers_words(code, body, words) -> None:
    with serving(code, body) as server:
        text = await problem(server=server)
    assert text.startswith("Error from server (")
    assert words in text


async def test_a_server_that_speaks_something_else_is_told() -> None:
    with serving(200, b"<html>hello</html>", "text/html") as server:
        assert (await problem(server=server)).startswith(f"error: {server} ")


async def test_a_server_whose_certificate_is_unknown_is_told(home) -> None:
    with serving_tls(home) as server:
        text = await problem(server=server)
    assert text.startswith(f"error: the certificate of {server} is not trusted")
    assert "certificate-authority" in text


async def test_a_kubeconfigs_keys_do_not_stay_on_the_disk(home, monkeypatch) -> None:
    monkeypatch.setenv("TMPDIR", str(home / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (home / "tmp").mkdir()
    with serving(200, b'{"gitVersion": "v1.32.0"}') as server:
        authority = base64.b64encode(b"secret").decode()
        file = kubeconfig(home / "config", server, **{"certificate-authority-data": authority})
        with contextlib.suppress(LongshoreError):
            async with connected(Where(kubeconfig=str(file))):
                pass
    assert list((home / "tmp").iterdir()) == []
