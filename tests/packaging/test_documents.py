from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

import quickthaw_platform.gateway.metrics
import quickthaw_platform.metering.metrics  # noqa: F401 - both register what is looked for
from tests.packaging.roots import AREAS, ROOT
from tests.packaging.settings_table import settings_table

LINK = re.compile(r"(?<!`)\]\(([^)\s]+)\)")
METRIC = re.compile(r"`(quickthaw_\w+)`")
GAUGE = re.compile(r'(?:_gauge\("|GaugeMetricFamily\("quickthaw_)(\w+)')
DOCUMENTS = (
    "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/quickstart.md", "docs/cli.md",
    "docs/http-api.md", "docs/checkpoints.md", "docs/configuration.md", "docs/security.md", "docs/operations.md",
    "docs/reliability.md", "docs/troubleshooting.md", "docs/functions.md",
)  # fmt: skip
REGISTRY_HOSTS = ("pypi" + ".org", "python" + "hosted", "download.py" + "torch", "test." + "pypi")


def tracked(*patterns: str) -> list[str]:
    done = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.split()


def test_every_setting_is_documented_as_the_code_describes_it() -> None:
    assert settings_table() in (ROOT / "docs" / "configuration.md").read_text()


def test_the_metrics_of_the_document_are_those_that_there_are() -> None:
    counted = {f"{each.name}_total" if each.type == "counter" else each.name for each in REGISTRY.collect()}
    gauges = set(GAUGE.findall((AREAS["quickthaw_platform"] / "gateway" / "metrics.py").read_text()))
    document = (ROOT / "docs" / "operations.md").read_text()
    ours = {name for name in counted if name.startswith("quickthaw_")} | {f"quickthaw_{name}" for name in gauges}
    assert set(METRIC.findall(document)) == ours


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_document_exists_and_says_something(document: str) -> None:
    assert len((ROOT / document).read_text().splitlines()) > 5


def test_every_link_between_documents_resolves() -> None:
    for name in tracked("*.md"):
        folder = (ROOT / name).parent
        for target in LINK.findall((ROOT / name).read_text()):
            path = target.partition("#")[0]
            if path and "://" not in path and not path.startswith("mailto:"):
                assert (folder / path).exists(), f"{name} links to {target}"


def test_every_function_folder_explains_itself() -> None:
    folders = [path for path in (ROOT / "functions").iterdir() if (path / "function.py").is_file()]
    assert {"chat", "complete", "embed"} <= {path.name for path in folders}
    for folder in folders:
        assert (folder / "README.md").read_text().startswith(f"# {folder.name}\n")


def test_no_file_names_the_host_of_a_package_registry() -> None:
    for name in tracked():
        content = (ROOT / name).read_bytes().decode(errors="replace")
        assert not [host for host in REGISTRY_HOSTS if host in content], name


def test_every_make_target_explains_itself_in_the_help() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = makefile.split(".PHONY:")[1].splitlines()[0].split()
    explained = re.findall(r"^([a-z0-9-]+):.*## \S", makefile, re.MULTILINE)
    assert sorted(phony) == sorted(explained)


def test_every_promise_of_the_table_of_security_names_tests_that_are_there() -> None:
    rows = [line for line in (ROOT / "docs" / "security.md").read_text().splitlines() if line.startswith("| ")]
    begin = next(place for place, line in enumerate(rows) if line.startswith("| who |"))
    table = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[begin + 1 : begin + 10]]
    assert {len(row) for row in table} == {6}
    known = {Path(name).name for name in tracked("tests/**/test_*.py")}
    for who, *cells in table:
        named = [set(re.findall(r"`(test_\w+\.py)`", cell)) for cell in cells]
        assert all(tests for cell, tests in zip(cells, named, strict=True) if cell.startswith("nothing")), who
        assert set().union(*named) <= known, who
