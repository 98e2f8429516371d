"""The invariants of ARCHITECTURE.md about who imports whom."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.roots import AREAS, ROOT, imports, modules, within

OURS = ("quickthaw", "quickthaw_platform", "quickthaw_backends")
BACKENDS_MAY_IMPORT = (
    "quickthaw_platform.contracts",
    "quickthaw_platform.errors",
    "quickthaw_platform.parent_death",
    "quickthaw_platform.serving",
    "quickthaw_platform.signals",
    "quickthaw_platform.checkpoints.arrival",
    "quickthaw_platform.checkpoints.gguf_header",
    "quickthaw_platform.checkpoints.gguf_joining",
    "quickthaw_platform.checkpoints.header",
    "quickthaw_platform.checkpoints.manifest",
    "quickthaw_backends",
    "quickthaw.generation",
    "quickthaw.types",
    "quickthaw.resources",
    "quickthaw.errors",
    "quickthaw.proxies",
)
PURE_NAMES = (
    ".policy", ".plan", ".levels", ".eviction", ".averages", ".table", ".view_table", ".estimator", ".device_meter",
    ".period_clock", "_platform.contracts",
)  # fmt: skip
PURE_MODULES = [name for name, _ in modules("quickthaw_platform") if name.endswith(PURE_NAMES) or ".policies." in name]
PURE_MAY_IMPORT = (
    "__future__", "collections", "dataclasses", "enum", "functools", "math", "numpy", "pathlib", "random", "typing",
    "quickthaw.generation", "quickthaw.types", "quickthaw.errors", "quickthaw_platform.contracts",
    "quickthaw_platform.errors",
    "quickthaw_platform.averages", "quickthaw_platform.cage.levels",
    "quickthaw_platform.router.table", "quickthaw_platform.router.view_table", "quickthaw_platform.router.estimator",
    "quickthaw_platform.router.policies",
)  # fmt: skip


def ours(file: Path) -> set[str]:
    return {name for name in imports(file) if any(within(name, area) for area in OURS)}


def test_the_sdk_imports_no_other_area() -> None:
    for name, file in modules("quickthaw"):
        assert {n for n in ours(file) if not within(n, "quickthaw")} == set(), name


def test_functions_import_only_the_sdk_of_ours() -> None:
    files = sorted((ROOT / "functions").rglob("*.py"))
    assert files
    for file in files:
        assert {n for n in ours(file) if not within(n, "quickthaw")} == set(), file


def test_backends_import_only_contracts_errors_and_how_checkpoints_are_read() -> None:
    for name, file in modules("quickthaw_backends"):
        other = {n for n in ours(file) if not any(within(n, allowed) for allowed in BACKENDS_MAY_IMPORT)}
        assert other == set(), name


def test_the_platform_finds_backends_only_by_entry_point() -> None:
    for name, file in modules("quickthaw_platform"):
        assert {n for n in imports(file) if within(n, "quickthaw_backends")} == set(), name


def test_the_ground_floor_imports_nothing_above_it() -> None:
    ground = ("contracts", "serving", "errors", "setting_values", "settings", "plugins")
    allowed = tuple(f"quickthaw_platform.{module}" for module in ground)
    area = AREAS["quickthaw_platform"]
    for module in ground:
        files = [*area.glob(f"{module}.py"), *area.glob(f"{module}/*.py")]
        assert files, module
        used = {name for file in files for name in ours(file)}
        assert {n for n in used if within(n, "quickthaw_platform") and not n.startswith(allowed)} == set(), module


def test_there_is_a_policy_to_look_at() -> None:
    assert "quickthaw_platform.router.policies.startup_time" in PURE_MODULES


@pytest.mark.parametrize("module", PURE_MODULES)
def test_what_decides_does_no_io_reads_no_clock_and_logs_nothing(module: str) -> None:
    file = dict(modules("quickthaw_platform"))[module]
    assert {n for n in imports(file) if not any(within(n, allowed) for allowed in PURE_MAY_IMPORT)} == set()


def loaded_by(statement: str) -> set[str]:
    """Return the top-level packages in `sys.modules` after a statement in a fresh process."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


HEAVY = {"torch", "transformers", "numpy", "gevent", "celery", "flask", "redis"}


def test_importing_the_sdk_loads_nothing_heavy() -> None:
    assert loaded_by("import quickthaw, quickthaw.cli.main") & {*HEAVY, "quickthaw_platform"} == set()


@pytest.mark.parametrize(
    "module",
    [
        "quickthaw_platform.gateway.app",
        "quickthaw_platform.worker.celery_app, quickthaw_platform.worker.tasks",  # the agent forks nothing with torch
        "quickthaw_platform.controller.tasks",
        "quickthaw_platform.commands.up, quickthaw_platform.commands.models_import",  # --help must be quick
        "quickthaw_platform.checkpoints.manifest, quickthaw_platform.checkpoints.store",
    ],
)
def test_torch_is_loaded_only_where_a_model_is(module: str) -> None:
    assert loaded_by(f"import {module}") & {"torch", "transformers"} == set()


def test_finding_an_engine_and_checking_its_options_loads_no_torch() -> None:
    code = (
        "from quickthaw_platform import plugins\n"
        "plugins.engine_class('transformers').check_options({})\nplugins.engine_class('echo').check_options({})"
    )
    assert loaded_by(code) & {"torch", "transformers"} == set()
