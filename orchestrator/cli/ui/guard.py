"""Who may ask this server for what. Pure.

It has the user's credentials, and every page that the user's browser shows can send requests to
loopback. So only requests that name this server by a loopback name are answered (a foreign name
that was pointed at 127.0.0.1 does not), none that another site's page makes, and only reads that
run nothing. Source: kubectl proxy (``--accept-hosts``, ``--reject-paths``), Fetch Metadata.
"""

from collections.abc import Iterable
from urllib.parse import unquote

from msgspec import Struct

NAMES = ("127.0.0.1", "localhost", "[::1]")
"""What a browser on this machine may call it."""

OWN_SITES = ("", "same-origin", "none")
"""Sec-Fetch-Site of a request by our own page, by the address bar, and by no browser at all."""

ROOTS = frozenset({"api", "apis", "openapi", "version"})
"""What is proxied."""

RUNNING = frozenset({"exec", "attach", "portforward", "proxy"})
"""Subresources that run things, or hand out what others wrote as if it were ours."""

PATH_BYTES_MAX = 4096


class Asked(Struct, frozen=True, kw_only=True):
    """A request, as far as it decides.

    Attributes:
        path: As sent: still escaped, with its query.
    """

    method: str
    path: str
    host: str
    origin: str = ""
    fetch_site: str = ""


def refusal(asked: Asked, port: int) -> str:
    """Why it is not answered; empty when it may be.

    Args:
        asked: The request.
        port: That this server listens on.
    """
    hosts = {f"{name}:{port}" for name in NAMES} | (set(NAMES) if port == 80 else set())
    if asked.host.lower() not in hosts:
        return "this server answers to loopback names only"
    if asked.origin and asked.origin.lower() not in {f"http://{host}" for host in hosts}:
        return "no other site's page may ask"
    if asked.fetch_site not in OWN_SITES:
        return "no other site's page may ask"
    if asked.method != "GET":
        return "this server only reads"
    return ""


def proxied_path(path: str) -> str | None:
    """The path to ask the API for, escaped as it came; None when it must not be asked.

    Args:
        path: As sent, without the query.
    """
    if not path.startswith("/") or len(path) > PATH_BYTES_MAX:
        return None
    segments = path.removesuffix("/").split("/")[1:]
    plain = [unquote(segment, errors="strict") if _is_utf8(segment) else "" for segment in segments]
    if not all(map(_is_plain, plain)) or not ROOTS & set(plain[:1]):
        return None
    return None if RUNNING & set(_after_names(plain)) else path


def _is_utf8(segment: str) -> bool:
    try:
        unquote(segment, errors="strict")
    except UnicodeDecodeError:
        return False
    return True


def _is_plain(segment: str) -> bool:
    """Whether nobody on the way can take it for something else."""
    is_way = segment in ("", ".", "..") or unquote(segment) != segment
    return not is_way and segment.isprintable() and not set(segment) & set("/\\%?#;")


def _after_names(segments: Iterable[str]) -> list[str]:
    """Subresources, and anything behind them: what follows TYPE/NAME of a namespace or not.

    >>> _after_names(["api", "v1", "namespaces", "exec", "pods", "proxy", "log"])
    ['log']
    """
    rest = list(segments)
    rest = rest[2:] if rest[:1] == ["api"] else rest[3:]
    if rest[:1] == ["namespaces"] and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        rest = rest[2:]
    return rest[2:]
