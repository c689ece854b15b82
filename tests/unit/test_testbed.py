"""What the testbed says where it cannot be made, and what waiting says when it was in vain."""

import os

import pytest

from tests.e2e import testbed
from tests.e2e.waiting import eventually, throughout


def test_without_root_the_reason_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert testbed.why_unavailable() == "the multi-host testbed needs root"


def test_missing_tools_are_named_with_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", "/nowhere")
    reason = testbed.why_unavailable()
    assert "dockerd" in reason
    assert reason.endswith(
        "apt-get install busybox-static docker.io iproute2 iptables nftables procps util-linux"
    )


def test_waiting_ends_with_the_first_true_value() -> None:
    seen = iter((0, [], "found", "too late"))
    assert eventually(lambda: next(seen), within_s=5, what="something") == "found"


def test_waiting_in_vain_tells_for_what_and_what_was_there_instead() -> None:
    with pytest.raises(AssertionError, match=r"not within 0 s: six pods; last seen: \[\]"):
        eventually(list, within_s=0, what="six pods")


def test_what_should_last_fails_when_it_ends() -> None:
    seen = iter((True, True, False))
    with pytest.raises(AssertionError, match=r"no longer so after .* s: the pods are the same"):
        throughout(lambda: next(seen), for_s=5, what="the pods are the same")
