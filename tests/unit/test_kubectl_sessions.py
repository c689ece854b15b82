"""How sessions with kubectl are read, compared and counted."""

import pytest

from tests.e2e.kubectl import commands, sessions, table
from tests.e2e.kubectl.sessions import NOTICES, Step, pattern, tidy

PAGE = """\
# A page

```yaml all.yaml
kind: Pod
```

## First things

Why one would.

```yaml own.yaml
kind: Node
```

```console
$ kubectl get pods
NAME
a
$ kubectl apply -f - <<END  # within 20s
> kind: Pod
> END
$ kubectl get whales  # refused: there are none
error: no
[1]
```

## Second

```console
$ kubectl version
```
"""


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    return path


def test_a_page_is_read_as_scenes_of_steps(page):
    first, second = sessions.read(page)
    assert (first.id, second.id) == ("page-first-things", "page-second")
    assert first.files == {"all.yaml": "kind: Pod\n", "own.yaml": "kind: Node\n"}
    assert second.files == {"all.yaml": "kind: Pod\n"}
    shown, applied, refused = first.steps
    assert shown == Step("page.md:16", "kubectl get pods", "NAME\na")
    assert applied.command.splitlines()[1:] == ["kind: Pod", "END"]
    assert (applied.expected, applied.within_s) == ("", 20)
    assert (refused.expected, refused.code, refused.refused) == ("error: no", 1, "there are none")


@pytest.mark.parametrize(
    ("expected", "printed", "is_met"),
    [
        ("a", "a\n", True),
        ("a", "a\nb\n", False),
        ("a", "ab\n", False),
        ("", "", True),
        ("", "a\n", False),
        ("a.c", "abc\n", False),  # no character is a wildcard
        ("web-…  1", "web-x2z4c   1  \n", True),
        ("web-…  1", "web-x2z4c 1\n", False),  # one space is no column
        ("a  b", "a\tb\n", True),
        ("  a: b", "  a: b\n", True),
        ("  a: b", "    a: b\n", False),  # depth means something in YAML
        ("…\nlast", "one\ntwo\nlast\n", True),
        ("…\nlast", "last\n", True),
        ("first\n…", "first\ntwo\n", True),
        ("first\n…", "second\n", False),
        ("first\n…\nlast", "first\n", False),
    ],
)
def test_what_is_printed_is_compared_with_what_was_expected(expected, printed, is_met):
    assert (pattern(expected).fullmatch(tidy(printed)) is not None) is is_met


def test_the_exit_code_counts_as_much_as_the_output():
    step = Step("", "", "out", code=7)
    assert step.is_met_by(7, "out\n")
    assert not step.is_met_by(0, "out\n")


def test_notices_of_kinds_may_be_left_out_and_other_warnings_not():
    notice = min(NOTICES)
    assert Step("", "", "made").is_met_by(0, f"{notice}made\n")
    assert Step("", "", f"{notice}made").is_met_by(0, f"{notice}made\n")
    assert not Step("", "", f"{notice}made").is_met_by(0, "made\n")
    assert not Step("", "", "made").is_met_by(0, "Warning: mind the gap\nmade\n")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("kubectl get pods", [("get", set())]),
        ("kubectl -n x get po -oyaml", [("get", {"--namespace", "--output"})]),
        ("kubectl exec -it p -- kubectl delete", [("exec", {"--stdin", "--tty"})]),
        ("kubectl get -l a=b|kubectl apply -f -", [("get", {"--selector"}), ("apply", {"--filename"})]),
        ("X=$(kubectl version) && echo kubectl", [("version", set())]),
        ("kubectl rollout status -w deploy/x > log &", [("rollout status", {"--watch"})]),
        ("kubectl delete cm --cascade=orphan x", [("delete", {"--cascade"})]),
        ("kubectl hello world", []),
        ("echo 'kubectl get'", []),
    ],
)  # fmt: skip
def test_invocations_are_found_in_command_lines(line, expected):
    found = commands.invocations(line, commands.kept())
    assert [(one.command, one.flags | one.shared) for one in found] == expected


def test_a_commands_own_flag_is_not_that_of_every_command():
    [found] = commands.invocations("kubectl debug p --profile=legacy -n x", commands.kept())
    assert (found.flags, found.shared) == ({"--profile"}, {"--namespace"})


def test_the_table_tells_what_works_from_what_is_refused_and_what_nobody_tried(page):
    written = table.page(sessions.read(page), commands.kept(), "1.32")
    assert "| **`version`** |  | works | 1 |" in written
    assert "| **`get`** |  | works in part | 2 |" in written
    assert "| **`scale`** |  | not tried | 0 |" in written
    assert "* `kubectl get whales`: there are none\n" in written
