"""Tokens, and who one is, with real kubectl; over TLS, since it keeps tokens off plain HTTP."""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.e2e.kubectl import binaries
from tests.unit.api.server import running


def certificate(folder: Path) -> ssl.SSLContext:
    """A server's, for loopback, of its own making."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = dt.datetime.now(dt.UTC)
    loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@contextlib.asynccontextmanager
async def over_tls(url: str, folder: Path) -> AsyncIterator[str]:
    """The same server behind TLS, as a proxy in front of it would do."""
    host, _, port = url.removeprefix("http://").partition(":")

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection(host, int(port))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(copy(reader, outer))
            tasks.create_task(copy(inner, writer))

    front = await asyncio.start_server(relay, "127.0.0.1", 0, ssl=certificate(folder))
    async with front:
        yield f"https://127.0.0.1:{front.sockets[0].getsockname()[1]}"


# 1.27 asks for reviews in versions that were dropped since.
ASKING = [path for path in binaries.varied() if not path.name.endswith("1.27")]


@pytest.mark.parametrize("binary", ASKING, ids=lambda path: path.name)
async def test_a_token_is_made_and_makes_one_somebody_else(binary: Path, tmp_path: Path):
    async with running() as api, over_tls(api.url, tmp_path) as url:
        plain = binaries.Kubectl(binary, api.url, tmp_path)
        secure = binaries.Kubectl(binary, url, tmp_path)
        trusted = f"--certificate-authority={tmp_path / 'cert.pem'}"

        async def kubectl(*arguments: str) -> str:
            return await asyncio.to_thread(plain, *arguments)

        await kubectl("create", "serviceaccount", "ci")
        token = (await kubectl("create", "token", "ci", "--duration=20m")).strip()
        said = jwt.decode(token, options={"verify_signature": False})
        assert said["sub"] == "system:serviceaccount:default:ci"
        assert said["exp"] - said["iat"] == 1200
        await kubectl("create", "secret", "generic", "s")
        bound = await kubectl(
            "create", "token", "ci", "--bound-object-kind=Secret", "--bound-object-name=s",
            "--audience=vault", "-o", "json",
        )  # fmt: skip
        assert json.loads(bound)["spec"]["audiences"] == ["vault"]
        wrong = await asyncio.to_thread(plain.fails, "create", "token", "ci", "--duration=1m")
        assert "may not specify a duration less than 10 minutes" in wrong

        who = ("auth", "whoami", "-o", "json")
        asked = json.loads(await asyncio.to_thread(secure, *who, trusted, f"--token={token}"))
        assert asked["status"]["userInfo"]["username"] == said["sub"]
        assert "system:serviceaccounts:default" in asked["status"]["userInfo"]["groups"]
        asked = json.loads(await kubectl(*who))
        assert asked["status"]["userInfo"]["username"] == "longshore-admin"
        refused = await asyncio.to_thread(
            secure.fails, "get", "pods", trusted, f"--token={token[:-5]}"
        )
        assert "You must be logged in to the server" in refused
        can = ("auth", "can-i", "create", "pods", trusted, f"--token={token}")
        assert await asyncio.to_thread(secure, *can) == "yes\n"
        assert "*.*" in await kubectl("auth", "can-i", "--list")
