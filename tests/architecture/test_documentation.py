import re
from pathlib import Path

import msgspec
import pytest

from node_agent.settings import Settings as NodeAgentSettings
from orchestrator.settings import Settings as OrchestratorSettings
from tests.architecture import pod_spec
from tests.e2e.kubectl import table

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize(
    ("daemon", "settings"),
    [("orchestrator", OrchestratorSettings), ("node-agent", NodeAgentSettings)],
)
def test_every_setting_is_documented_with_its_default(
    daemon: str, settings: type[msgspec.Struct]
) -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    section = page.partition(f"### {daemon}\n")[2].partition("\n## ")[0].partition("\n### ")[0]
    documented = dict(re.findall(r"^\| `(\w+)` \| `?([^|`]*)`? \|", section, re.MULTILINE))
    actual = {}
    for field in msgspec.structs.fields(settings):
        default = field.default if field.default is not msgspec.NODEFAULT else ""
        actual[field.name] = str(default).lower() if isinstance(default, bool) else str(default)
    assert {name: default.strip() for name, default in documented.items()} == actual


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_every_decision_is_in_the_list() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\]\((\d{4}-[^)]+)\)", (folder / "README.md").read_text())
    assert listed == sorted(path.name for path in folder.glob("[0-9]*.md"))


def test_the_table_of_kubectls_commands_says_what_the_sessions_say() -> None:
    assert table.PAGE.read_text() == table.written(), "make table writes it anew"


def test_the_table_of_a_pods_fields_says_what_the_kinds_say() -> None:
    assert pod_spec.PAGE.read_text() == pod_spec.written(), "make table writes it anew"


def test_nothing_that_kubernetes_has_in_a_pod_is_unknown() -> None:
    found = pod_spec.tables(pod_spec.messages())
    rows = [(message, row) for message, rows in found.items() for row in rows]
    assert [f"{message}.{row.name}" for message, row in rows if row.state == "unknown"] == []
    reasoned = [row for _, row in rows if row.state != "supported"]
    assert all(row.reason for row in reasoned)
    assert {"PodSpec", "Container", "SecurityContext", "Probe", "KeyToPath"} <= {
        message.removeprefix("core.v1.") for message in found
    }


def test_a_field_that_is_in_none_of_the_three_is_unknown() -> None:
    known = pod_spec.messages() | {"core.v1.PodSpec": [pod_spec.Field("brandNew", "")]}
    rows = pod_spec.tables(known)["core.v1.PodSpec"]
    assert pod_spec.Row("brandNew", "unknown", "") in rows


def test_every_make_target_has_a_line_of_help() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z]+):", makefile, re.MULTILINE)
    explained = re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE)
    assert set(targets) - set(explained) == {"python"}  # for the others' use
