import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from orchestrator.cli.app import app
from orchestrator.cli.declare import normalized
from tests.unit.cli.program import longshore


def commands(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, *path, name)


COMMANDS = dict(commands(typer.main.get_command(app)))


def test_the_verbs_of_daily_work_are_there() -> None:
    daily = (
        "run create apply get describe edit delete scale label annotate patch logs exec attach "
        "port-forward cp drain cordon uncordon taint wait events explain diff api-resources version"
    )
    assert {(verb,) for verb in daily.split()} <= COMMANDS.keys()
    for group, verbs in {
        "rollout": "status history undo restart pause resume",
        "set": "image env",
        "top": "nodes pods",
        "create": "deployment namespace configmap secret job serviceaccount",
    }.items():
        assert {(group, verb) for verb in verbs.split()} <= COMMANDS.keys()


@pytest.mark.parametrize("path", [path for path in COMMANDS if path], ids=" ".join)
def test_the_help_of_every_command_says_what_it_does_and_has_an_example(path) -> None:
    command = COMMANDS[path]
    assert (command.help or "").strip()
    typed = rf"longshore {'' if command.hidden else re.escape(' '.join(path))}\b"
    assert re.search(typed, command.epilog or "")


@pytest.mark.parametrize("path", [path for path in COMMANDS if path], ids=" ".join)
def test_every_option_has_a_line_of_help(path) -> None:
    silent = [
        param.opts[0]
        for param in COMMANDS[path].params
        if param.opts[0].startswith("-") and not param.help and param.opts[0] != "--help"
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["-o=json"], ["-o", "json"]),
        (["-n=a", "pods"], ["-n", "a", "pods"]),
        (["--watch=false"], []),
        (["--watch=true"], ["--watch"]),
        (["--output=json"], ["--output=json"]),
        (["a=b"], ["a=b"]),
        (["--", "-o=json", "--watch=false"], ["--", "-o=json", "--watch=false"]),
    ],
)
def test_options_may_be_written_as_for_kubectl(typed, meant) -> None:
    assert list(normalized(typed, COMMANDS[("get",)].params)) == meant


def test_a_switch_that_is_on_can_be_put_off() -> None:
    params = COMMANDS[("delete",)].params
    assert list(normalized(["--wait=false"], params)) == ["--no-wait"]


def test_wrong_use_is_exit_code_1_and_says_what_is_near() -> None:
    done = longshore("gett", "pods")
    assert (done.returncode, done.stdout) == (1, "")
    assert "No such command 'gett'" in done.stderr
    assert "'get'" in done.stderr
    assert longshore("get", "--nonsense").returncode == 1
    assert longshore("rollout", "statu").returncode == 1


def test_nothing_is_completed_where_there_is_no_cluster() -> None:
    env = {"_LONGSHORE_COMPLETE": "complete_bash", "COMP_CWORD": "2"}
    done = longshore(COMP_WORDS="longshore get ", **env)
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_verbs_are_completed_without_a_cluster() -> None:
    env = {"_LONGSHORE_COMPLETE": "complete_bash", "COMP_CWORD": "1"}
    assert longshore(COMP_WORDS="longshore uncor", **env).stdout.split() == ["uncordon"]
