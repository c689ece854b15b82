"""An API over memory parts in a thread of its own, and what must hold of each of its answers."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from hypothesis import HealthCheck, Phase, given, seed as seeded, settings, strategies as st

from tests.fuzz import examples
from tests.unit.api.server import Running, running

HANG_S = 10
"""Nothing that is sent takes so long: no request watches or follows."""

Request = dict[str, Any]
"""Arguments of `requests.Session.request`; the URL without its server."""


@contextmanager
def serving() -> "Iterator[Server]":
    """A server that has the examples."""
    started: list[tuple[Running, asyncio.Event, asyncio.AbstractEventLoop]] = []
    is_up = threading.Event()

    async def serve() -> None:
        async with running() as api:
            stop = asyncio.Event()
            started.append((api, stop, asyncio.get_running_loop()))
            is_up.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=[serve()])
    thread.start()
    assert is_up.wait(HANG_S)
    [(api, stop, loop)] = started
    try:
        with requests.Session() as session:
            yield Server(api, session)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


class Server:
    """See the module.

    Attributes:
        answers: How many, by status.
    """

    def __init__(self, api: Running, session: requests.Session) -> None:
        self.answers: Counter[int] = Counter()
        self._api = api
        self._session = session
        self._restore()

    def drive(self, name: str, strategy: st.SearchStrategy[Request], count: int, seed: int) -> None:
        """Send that many requests.

        Raises:
            AssertionError: An answer was wrong.
        """

        @seeded(f"{name} {seed}")
        @settings(
            max_examples=count,
            deadline=None,
            database=None,
            phases=[Phase.generate],  # the state changes: a smaller example might not fail
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def send(request: Request) -> None:
            self._send(request)

        send()

    def _send(self, request: Request) -> None:
        before = self._api.world.version
        asked = request | {"url": self._api.url + request["url"]}
        try:
            answer = self._session.request(**asked, timeout=HANG_S, allow_redirects=False)
        except requests.Timeout as error:
            raise AssertionError(f"no answer to {request}") from error
        self.answers[answer.status_code] += 1
        # As Kubernetes says it of a version that is yet to come.
        is_ahead = "Too large resource version" in answer.text and answer.status_code == 504
        assert answer.status_code < 500 or is_ahead, (request, answer.text)
        if answer.status_code >= 400:
            assert self._api.world.version == before, ("refused, but stored", request, answer.text)
            if request["method"] != "HEAD":
                assert answer.headers["Content-Type"].startswith("application/json"), (
                    request,
                    answer.text,
                )
                said = answer.json()
                assert (said["kind"], said["code"]) == ("Status", answer.status_code), request
                assert said["message"], request
        elif self._api.world.version != before:
            self._restore()

    def _restore(self) -> None:
        """Make the examples that are not there (any more)."""
        for path, manifest in examples.objects():
            answer = self._session.post(self._api.url + path, json=manifest, timeout=HANG_S)
            assert answer.status_code in (201, 403, 409), answer.text
