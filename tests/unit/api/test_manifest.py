import pytest
from hypothesis import given, strategies as st

from proto import manifest
from proto.errors import BadRequest


def value(text):
    return manifest.load(b"v: " + text)["v"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b"yes", "yes"), (b"off", "off"), (b"y", "y"), (b"true", True), (b"False", False),
        (b"12:30", "12:30"), (b"2024-01-01", "2024-01-01"), (b"1_000", "1_000"), (b"0644", 420),
        (b"0o644", 420), (b"0x1F", 31), (b"-7", -7), (b"08", 8.0), (b"1.5", 1.5), (b"1e3", 1000.0),
        (b"1.2.3", "1.2.3"), (b"~", None), (b"null", None), (b"", None), (b"'1'", "1"), (b".5", 0.5),
        (b"500m", "500m"), (b".inf", ".inf"), (b".nan", ".nan"),
    ],
)  # fmt: skip
def test_plain_words_mean_what_they_say(text, wanted):
    assert value(text) == wanted


def test_keys_are_texts():
    assert manifest.load(b"on: 1\n2: x\ntrue: y\n") == {"on": 1, "2": "x", "true": "y"}


def test_several_documents_are_read_and_empty_ones_left_out():
    text = b"---\na: 1\n---\n# nothing\n---\nb: 2\n"
    assert manifest.load_all(text) == [{"a": 1}, {"b": 2}]


def test_json_is_read_too():
    assert manifest.load_all(b' {"a": [1, {"b": null}]}') == [{"a": [1, {"b": None}]}]


def test_references_and_merges_are_followed():
    text = b"base: &b {x: 1, y: 2}\nmine: {<<: *b, y: 3}\n"
    assert manifest.load(text)["mine"] == {"x": 1, "y": 3}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"a: 1\na: 2", "line 2: key 'a' is there twice"),
        (b"m: {b: 1, b: 2}", "twice"),
        (b"? [a]\n: 1", "a key must be a text"),
        (b"- 1", "a manifest is an object"),
        (b"x", "a manifest is an object"),
        (b"a: [", "line 2"),
        (b"a: !!python/name:os.system", "not YAML"),
        (b"a: " + b"[" * 200 + b"]" * 200, "nested too deeply"),
        (b"\xff\xfe\xfa", "not YAML"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text, said):
    with pytest.raises(BadRequest, match=said):
        manifest.load_all(text)


def test_a_few_lines_cannot_name_billions_of_values():
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    with pytest.raises(BadRequest, match="too many values"):
        manifest.load_all("\n".join(lines).encode())


@pytest.mark.parametrize("text", [b"", b"a: 1\n---\nb: 2"])
def test_one_document_is_wanted_where_one_is(text):
    with pytest.raises(BadRequest, match="expected one document"):
        manifest.load(text)


@given(
    st.binary(max_size=60)
    | st.text(alphabet="ab:-{}[]&*!<>|\n \"'#%,", max_size=40).map(str.encode)
)
def test_random_bytes_are_a_manifest_or_a_bad_request(raw):
    try:
        assert all(isinstance(document, dict) for document in manifest.load_all(raw))
    except BadRequest:
        pass
