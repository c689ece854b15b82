import pytest

from orchestrator.cli.durations import seconds, span
from orchestrator.cli.refused import Refused
from orchestrator.cli.screen import Screen, style_of
from orchestrator.cli.verbs.events import last_seen, time_of
from orchestrator.cli.verbs.outline import Named, Outline, words_of
from orchestrator.cli.verbs.tables import TableOptions, TableView

DEFINITIONS = [
    {"name": "Name", "priority": 0},
    {"name": "Ready", "priority": 0},
    {"name": "Node", "priority": 1},
]


def row(name: str, namespace: str = "n", **labels: str) -> dict:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"cells": [name, "1/1", None], "object": {"metadata": metadata}}


def test_less_important_columns_are_shown_with_wide_only() -> None:
    narrow = TableView(DEFINITIONS, TableOptions(), "pod")
    assert (narrow.header, narrow.row(row("web"))) == (["NAME", "READY"], ["web", "1/1"])
    wide = TableView(DEFINITIONS, TableOptions(is_wide=True), "pod")
    assert wide.row(row("web")) == ["web", "1/1", "<none>"]


def test_columns_for_the_namespace_and_for_labels_stand_where_kubectl_has_them() -> None:
    options = TableOptions(
        has_namespaces=True, has_labels=True, label_columns=("a/tier",), is_prefixed=True
    )
    view = TableView(DEFINITIONS, options, "pod")
    assert view.header == ["NAMESPACE", "NAME", "READY", "TIER", "LABELS"]
    assert view.row(row("web", "n", app="x")) == ["n", "pod/web", "1/1", "<none>", "app=x"]
    assert view.row(row("web", "n"))[-1] == "<none>"


def test_a_table_is_plain_text_where_nobody_looks(capsys) -> None:
    columns = Screen().table(["NAME", "STATUS"], [["web", "Running"], ["database", "Failed"]])
    columns.print(["x", "Pending"])
    assert capsys.readouterr().out.splitlines() == [
        "NAME       STATUS",
        "web        Running",
        "database   Failed",
        "x          Pending",
    ]


def test_what_objects_hold_moves_no_cursor(capsys) -> None:
    Screen().table(["NAME", "MESSAGE"], [["web", "a\x1b[2Jb\nc"]])
    assert capsys.readouterr().out == "NAME   MESSAGE\nweb    a?[2Jb c\n"
    outline = Outline()
    outline.add("Message", "a\x1b]0;evil\x07")
    assert described(outline, capsys) == "Message:  a?]0;evil?\n"


@pytest.mark.parametrize(
    ("column", "cell", "style"),
    [
        ("STATUS", "Running", "green"),
        ("STATUS", "Ready", "green"),
        ("STATUS", "Completed", "green"),
        ("STATUS", "ContainerCreating", "yellow"),
        ("STATUS", "Ready,SchedulingDisabled", "yellow"),
        ("STATUS", "CrashLoopBackOff", "red"),
        ("STATUS", "Init:ImagePullBackOff", "red"),
        ("STATUS", "NotReady,SchedulingDisabled", "red"),
        ("STATUS", "whatever", ""),
        ("READY", "2/2", "green"),
        ("READY", "0/1", "yellow"),
        ("NAME", "Running", ""),
        ("TYPE", "Warning", "yellow"),
    ],
)
def test_a_state_has_a_colour(column: str, cell: str, style: str) -> None:
    assert style_of(column, cell) == style


@pytest.mark.parametrize(
    ("elapsed", "text"),
    [
        (0, "0s"), (119, "119s"), (120, "2m"), (125, "2m5s"), (600, "10m"), (10799, "179m"),
        (10800, "3h"), (11000, "3h3m"), (28800, "8h"), (172799, "47h"), (172800, "2d"),
        (180000, "2d2h"), (691200, "8d"), (63072000, "2y"), (-5, "0s"),
    ],
)  # fmt: skip
def test_ages_are_written_as_kubectl_does(elapsed: int, text: str) -> None:
    assert span(elapsed) == text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("30s", 30),
        ("1m30s", 90),
        ("1h", 3600),
        ("250ms", 0.25),
        ("7", 7),
        ("0", 0),
        ("-1s", 604800),
    ],
)
def test_durations_are_read(text: str, found: float) -> None:
    assert seconds(text) == found


@pytest.mark.parametrize("text", ["", "s", "1x", "1 s", "m30", "1m x"])
def test_what_is_no_duration_is_told(text: str) -> None:
    with pytest.raises(Refused, match="is no duration"):
        seconds(text)


def test_an_event_that_came_again_says_how_often() -> None:
    event = {
        "metadata": {"creationTimestamp": "2020-01-01T00:00:00Z"},
        "firstTimestamp": "2020-01-01T00:00:00Z",
        "lastTimestamp": "2020-02-01T00:00:00Z",
        "count": 3,
    }
    assert time_of(event) == "2020-02-01T00:00:00Z"
    assert "(x3 over " in last_seen(event)
    assert "x1" not in last_seen(event | {"count": 1})


def described(outline: Outline, capsys) -> str:
    outline.show(Screen())
    return capsys.readouterr().out


def test_an_outline_puts_values_side_by_side_and_nests_the_rest(capsys) -> None:
    outline = Outline()
    outline.add("Name", "web")
    outline.pairs("Labels", {"b": "2", "a": "1"}, "=")
    outline.field("spec", {"minReadySeconds": 5, "nodeSelector": {"disk": "fast"}, "paused": False})
    outline.add("Ports", [{"port": 80, "targetPort": "http"}, {"port": 443}])
    outline.add("Nothing", None)
    assert described(outline, capsys) == (
        "Name:     web\n"
        "Labels:   a=1\n"
        "          b=2\n"
        "Spec:\n"
        "  Min Ready Seconds:  5\n"
        "  Node Selector:\n"
        "    disk:  fast\n"
        "  Paused:             false\n"
        "Ports:\n"
        "  - Port:         80\n"
        "    Target Port:  http\n"
        "  - Port:  443\n"
        "Nothing:  <none>\n"
    )


def test_the_users_own_keys_are_left_as_they_are(capsys) -> None:
    outline = Outline()
    outline.field("data", {"appMode": "fast"})
    outline.add("Containers", Named({"webServer": {"image": "x"}}))
    assert described(outline, capsys) == (
        "Data:\n  appMode:  fast\nContainers:\n  webServer:\n    Image:  x\n"
    )


@pytest.mark.parametrize(
    ("field", "words"),
    [("clusterIP", "Cluster IP"), ("podIPs", "Pod IPs"), ("type", "Type"), ("a.b/c", "a.b/c")],
)
def test_fields_become_words(field: str, words: str) -> None:
    assert words_of(field) == words
