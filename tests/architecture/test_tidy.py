"""What reviewers would otherwise have to say again and again."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("proto", "orchestrator", "node_agent")
CORES = ("orchestrator/core", "node_agent/core", "proto/kinds")

FILE_LINES_MAX = 465
FUNCTION_LINES_MAX = 62
TEST_FILE_LINES_MAX = 600

BANNED_FILE_NAMES = {"manager", "managers", "helper", "helpers", "util", "utils", "common", "misc"}


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def named(path: Path, node: ast.AST | None = None) -> str:
    """As editors jump to it."""
    line = f":{node.lineno}" if isinstance(node, ast.stmt | ast.expr) else ""
    return f"{path.relative_to(ROOT)}{line}"


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def literals(tree: ast.AST) -> Iterator[ast.Constant]:
    """Texts that are not docstrings."""
    told = {
        id(statement.value)
        for statement in ast.walk(tree)
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node


def test_the_sources_are_found():
    assert len(list(sources(*PACKAGES))) > 80
    assert len(list(sources("tests"))) > 40


def test_cores_decide_at_once_and_keep_nothing():
    """No coroutine, no global, no cache that outlives a call but a decorator's."""
    waiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith, ast.Global)
    found = [
        named(path, node)
        for path in sources(*CORES)
        for node in ast.walk(parsed(path))
        if isinstance(node, waiting)
    ]
    assert found == []


def test_nothing_is_kept_in_module_globals():
    found = [
        named(path, node)
        for path in sources(*PACKAGES)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Global)
    ]
    assert found == []


def test_no_file_holds_two_ideas():
    sizes = {path: len(path.read_text().splitlines()) for path in sources(*PACKAGES)}
    assert [named(path) for path, size in sizes.items() if size > FILE_LINES_MAX] == []
    sizes = {path: len(path.read_text().splitlines()) for path in sources("tests")}
    assert [named(path) for path, size in sizes.items() if size > TEST_FILE_LINES_MAX] == []


def test_a_function_fits_a_screen():
    found = [
        named(path, node)
        for path in sources(*PACKAGES)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES_MAX
    ]
    assert found == []


def test_file_names_say_what_is_inside():
    found = [named(path) for path in sources(*PACKAGES, "tests") if path.stem in BANNED_FILE_NAMES]
    assert found == []


def test_every_module_tells_its_theory():
    found = [named(path) for path in sources(*PACKAGES) if not ast.get_docstring(parsed(path))]
    assert found == []


def test_bus_subjects_are_spelled_in_one_place():
    found = [
        named(path, text)
        for path in sources(*PACKAGES)
        if path != ROOT / "proto/subjects.py"
        for text in literals(parsed(path))
        if re.search(r"longshore\.v\d", text.value)
    ]
    assert found == []


def test_store_keys_are_spelled_in_one_place():
    found = [
        named(path, text)
        for path in sources(*PACKAGES)
        if path != ROOT / "orchestrator/store/keys.py"
        for text in literals(parsed(path))
        if text.value.startswith("/longshore/")
    ]
    assert found == []


def test_log_events_are_constant_dotted_names():
    levels = {"debug", "info", "warning", "error", "exception", "critical"}
    found = []
    for path in sources(*PACKAGES):
        for node in ast.walk(parsed(path)):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=level), args=args):
                    if level not in levels:
                        continue
                    name = args[0].value if args and isinstance(args[0], ast.Constant) else ""
                    names = (
                        [branch.value for branch in (args[0].body, args[0].orelse)]
                        if args and isinstance(args[0], ast.IfExp)
                        else [name]
                    )
                    dotted = r"[a-z][a-z_]*(\.[a-z_]+)+"
                    if not all(re.fullmatch(dotted, str(one)) for one in names):
                        found.append(named(path, node))
    assert found == []


def test_tests_are_named_by_sentences():
    found = [
        named(path, node)
        for path in sources("tests")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and node.name.count("_") < 2
    ]
    assert found == []


LONG_SLEEP_S = 1.0
"""On the real clock. Shorter ones only pace the polling of a condition."""

VIRTUAL = ("tests/unit", "tests/simulation", "tests/property")
"""Where time is virtual, sleeping is how it passes."""


def test_no_test_on_the_real_clock_waits_and_hopes():
    found = []
    for path in sources("tests"):
        if named(path).startswith(VIRTUAL):
            continue
        for node in ast.walk(parsed(path)):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="sleep"),
                    args=[ast.Constant(value=int() | float() as s)],
                ) if s >= LONG_SLEEP_S:
                    found.append(named(path, node))
    assert found == []


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ('x = "longshore.v1.deploy"', True),
        ('"""longshore.v1 in a docstring"""', False),
        ('def f():\n    """longshore.v1"""', False),
    ],
)
def test_texts_are_told_from_docstrings(text: str, is_found: bool):
    assert any("longshore.v1" in found.value for found in literals(ast.parse(text))) == is_found
