"""Manifests: nothing in them changes its meaning, and hostile ones cost little."""

import time

import pytest

from proto import manifest
from proto.errors import BadRequest


def test_words_and_dates_stay_text_and_numbers_numbers():
    (found,) = manifest.load_all(
        b"{a: yes, b: on, c: 12:30, d: 2024-01-01, e: 0644, f: 0o644, g: 0x10, h: 1.5, i: true,"
        b" j: null, k: ~, l: '1', m: -7, n: 1e3, o: 08}"
    )
    assert found == {
        "a": "yes",
        "b": "on",
        "c": "12:30",
        "d": "2024-01-01",
        "e": 0o644,
        "f": 0o644,
        "g": 16,
        "h": 1.5,
        "i": True,
        "j": None,
        "k": None,
        "l": "1",
        "m": -7,
        "n": 1000.0,
        "o": 8,  # as Go's YAML has it
    }


def test_keys_are_text_whatever_they_look_like():
    assert manifest.load(b"{1: a, true: b, null: c}") == {"1": "a", "true": "b", "null": "c"}


def test_documents_are_told_apart_and_empty_ones_left_out():
    assert manifest.load_all(b"---\na: 1\n---\n---\n# nothing\n---\nb: 2\n") == [{"a": 1}, {"b": 2}]
    assert manifest.load_all(b"") == manifest.load_all(b"\n# a comment") == []
    assert manifest.load_all(b' {"a": 1}') == [{"a": 1}]
    with pytest.raises(BadRequest, match="expected one document, found 2"):
        manifest.load(b"a: 1\n---\nb: 2")


def test_anchors_and_merges_work_within_reason():
    (found,) = manifest.load_all(b"base: &base {a: 1, b: 2}\nmine: {<<: *base, b: 3}")
    assert found["mine"] == {"a": 1, "b": 3}


BOMB = b"a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (n, n, b",".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"a: [", "line 2: did not find"),
        (b"a: 1\nb: 2\na: 3", "line 3: key 'a' is there twice"),
        (b"- a", "a manifest is an object"),
        (b"? [a]\n: b", "a key must be a text"),
        (b"a: " + b"[" * 200 + b"]" * 200, "nested too deeply"),
        (b"{" * 100_000, "not YAML"),
        (b"\x00", "not YAML"),
        (b"\xff\xfe\xff", "not YAML"),
        (b"a: " + b"9" * 5_000, "the number is too long"),
        (b"a: !!python/object:os.system x", "not YAML"),
        (BOMB, "too many values"),
        (b"a: &a {b: *a}", "too many values"),
        (b"a: &a [*a]", "too many values"),
    ],
)
def test_other_bytes_are_refused_with_the_place_and_at_once(payload: bytes, said: str):
    started = time.perf_counter()
    with pytest.raises(BadRequest, match=said):
        manifest.load_all(payload)
    assert time.perf_counter() - started < 2
