"""Which cluster a command talks to, and a client that is connected to it.

The first of these that is there decides:

1. ``--server URL`` (with the credentials of the kubeconfig, if there are any)
2. ``--kubeconfig FILE``, in it ``--context NAME``
3. ``$KUBECONFIG``: one file, or several with colons between them
4. ``~/.longshore/kubeconfig`` (``$LONGSHORE_DATA/kubeconfig``), which `longshore up` writes, and
   ``~/.kube/config``: the first one's current context counts, ``--context`` finds all
5. inside a pod, the service account

kr8s reads the files, does the authentication and carries the requests (docs/decisions/0016).
"""

import asyncio
import contextlib
import json
import os
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import httpx_ws
import kr8s
import kr8s.asyncio
import yaml
from msgspec import Struct

from orchestrator.cli.client import Client, decoded, refusal
from orchestrator.cli.refused import Refused, Unreachable
from orchestrator.cli.where import Where
from proto.errors import LongshoreError

NO_FILE = f"{os.devnull}/none"
"""Where kr8s finds nothing; without a path it would look where we have looked already."""

CONNECT_S_MAX = 15.0
"""For the first answer, reading the credentials included: an exec plugin may ask a cloud."""

NOWHERE = "start one with `longshore up`, or name one with --server URL or --kubeconfig FILE"


class Kubeconfig(Struct, frozen=True):
    """Where kr8s finds files.

    Attributes:
        paths: With colons between them; empty when there is none.
        is_chosen: Whether the user named it, so that it has to be there.
    """

    paths: str
    is_chosen: bool


def kubeconfig_of(where: Where) -> Kubeconfig:
    """The files that count, see the module."""
    if where.kubeconfig:
        return Kubeconfig(str(Path(where.kubeconfig).expanduser()), is_chosen=True)
    if named := os.environ.get("KUBECONFIG", ""):
        return Kubeconfig(named, is_chosen=True)
    data = Path(os.environ.get("LONGSHORE_DATA") or "~/.longshore").expanduser()
    usual = (data / "kubeconfig", Path("~/.kube/config").expanduser())
    return Kubeconfig(":".join(str(path) for path in usual if path.exists()), is_chosen=False)


@contextlib.asynccontextmanager
async def connected(where: Where) -> AsyncIterator[Client]:
    """A client of the cluster that was asked for, which has answered once.

    Raises:
        Unreachable: Nothing answers there.
        Refused: There is no such cluster, or it does not let us in.
    """
    kubeconfig = kubeconfig_of(where)
    with _private_folder():
        api = await _api(where, kubeconfig)
        client = Client(api, namespace=where.namespace or api.namespace)
        try:
            with translated(client.server):
                yield client
        finally:
            await client.close()


async def _api(where: Where, kubeconfig: Kubeconfig) -> kr8s.asyncio.Api:
    if not kubeconfig.paths and where.context:
        raise Refused(f"no context {where.context}: there is no kubeconfig", hint=NOWHERE)
    server = where.server or kubeconfig.paths
    try:
        with translated(server), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about versions of Kubernetes that are new to it
            async with asyncio.timeout(CONNECT_S_MAX):
                return await kr8s.asyncio.api(
                    url=where.server or None,
                    kubeconfig=kubeconfig.paths or NO_FILE,
                    context=where.context or None,
                )
    except TimeoutError:
        raise Unreachable(
            f"{server} does not answer within {CONNECT_S_MAX:g} s", hint=NOWHERE
        ) from None
    except json.JSONDecodeError:
        raise Refused(f"{server} is no Kubernetes API: it speaks no JSON") from None
    except (ValueError, LookupError, TypeError, OSError, yaml.YAMLError) as error:
        raise _unusable(kubeconfig, error) from error


def _unusable(kubeconfig: Kubeconfig, error: Exception) -> Refused:
    """What is wrong with the kubeconfig, since kr8s says it in many ways."""
    paths = [path for path in kubeconfig.paths.split(":") if path]
    if not paths:
        return Refused("there is no cluster to talk to", hint=NOWHERE)
    if missing := [path for path in paths if not Path(path).exists()]:
        return Refused(f"the kubeconfig {missing[0]} is not there", hint=NOWHERE)
    if "No such context" in str(error):
        return Refused(f"no context {str(error).split()[-1]} in {kubeconfig.paths}")
    if "Unable to find valid credentials" in str(error) or isinstance(error, IndexError):
        return Refused(f"{kubeconfig.paths} names no cluster", hint=NOWHERE)
    return Refused(f"the kubeconfig {kubeconfig.paths} cannot be used: {error!r}")


@contextlib.contextmanager
def translated(server: str) -> Iterator[None]:
    """What goes wrong on the way to that server and back, as a sentence.

    Raises:
        Unreachable: It does not answer.
        Refused: It, or what it presents, cannot be trusted, or it answers with an error.
    """
    try:
        yield
    except FOREIGN as error:
        raise _translated(server, error) from error
    except BaseExceptionGroup as group:  # of a WebSocket's tasks
        foreign, rest = group.split(FOREIGN)
        if foreign is None or rest is not None:
            raise
        raise _translated(server, _leaf(foreign)) from group


FOREIGN = (
    kr8s.ServerError,
    kr8s.APITimeoutError,
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx_ws.HTTPXWSException,
)


def _leaf(error: BaseException) -> BaseException:
    return _leaf(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _translated(server: str, error: BaseException) -> LongshoreError:
    match error:
        case kr8s.ServerError():
            return _refused(error)
        case kr8s.APITimeoutError() | httpx.TimeoutException():
            return Unreachable(f"{server} does not answer in time")
        case httpx.ConnectError():
            if "certificate" in str(error).lower() or "ssl" in str(error).lower():
                return Refused(
                    f"the certificate of {server} is not trusted: {error}",
                    hint="the kubeconfig's certificate-authority must be the one that signed it",
                )
            return Unreachable(f"nothing answers at {server}: {error}", hint=NOWHERE)
        case httpx.InvalidURL() | httpx.UnsupportedProtocol():
            return Refused(f"{server} is no address: {error}", hint="https://HOST:PORT")
        case _:
            what = str(error) or type(error).__name__
            return Unreachable(f"the connection to {server} broke: {what}")


def _refused(error: kr8s.ServerError) -> Refused:
    response = error.response
    if response is None:
        return Refused(str(error))
    return refusal(response.status_code, decoded(response.content))


@contextlib.contextmanager
def _private_folder() -> Iterator[None]:
    """Where kr8s leaves the keys of a kubeconfig, in files that would outlive us."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="longshore-") as folder:
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = before
