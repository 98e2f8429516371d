"""`quickthaw deploy --check` of files as a deployer may write them: each passes, or is refused with the cause."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from click.testing import Result
from hypothesis import HealthCheck, given, settings

from tests.made_up import examples
from tests.unit.cli.conftest import Run
from tests.unit.sdk.fake_gateway import FakeGateway
from tests.unit.sdk.test_function_files_fuzz import odd, written

FILE = """
import quickthaw
app = quickthaw.App("demo")

@app.function(model="m")
def handle(model): pass

import pathlib
if pathlib.Path.cwd().name.startswith("quickthaw-check-"):
    {}
"""
"""A file that does something else in the process that has nothing but its bundle."""

ALONE = {
    "raises": ("raise KeyError('lost')", "line 10: KeyError: 'lost'"),
    "raises-what-no-exception-is": ("raise GeneratorExit('mine')", "line 10: GeneratorExit: mine"),
    "raises-endlessly": ("(f := lambda: f())()", "RecursionError"),
    "exits": ("raise SystemExit", "SystemExit"),
    "ends-its-process-well": ("import os; os._exit(0)", "it exits with status 0"),
    "ends-its-process": ("import os; os._exit(3)", "it exits with status 3"),
    "is-killed": ("import os; os.kill(os.getpid(), 9)", "it is killed by signal 9"),
    "writes-no-text": ("import os; os.write(2, bytes([255])); 1 / 0", "ZeroDivisionError"),
    "has-no-handler": ("del handle", "does not hold 'handle'"),
    "has-another-thing": ("handle = 3", "does not hold 'handle'"),
}


def check(run: Run, content: bytes) -> Result:
    """Check a file, and see that nothing but an answer comes of it."""
    gateway = FakeGateway([])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "function.py"
        file.write_bytes(content)
        result = run(gateway, "deploy", "--check", str(file))
    assert gateway.requests == []
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert (result.exit_code, "can be deployed" in result.stdout) in ((0, True), (1, False)), result.output
    assert result.exit_code == 0 or result.stderr.strip()
    return result


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(written)
def test_whatever_is_declared_can_be_deployed_or_is_refused_with_the_cause(run: Run, content: bytes) -> None:
    check(run, content)


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(odd)
def test_what_defines_no_function_is_refused(run: Run, content: bytes) -> None:
    assert check(run, content).exit_code == 1


@pytest.mark.parametrize("what", ALONE)
def test_what_goes_wrong_only_in_an_instance_is_told(run: Run, what: str) -> None:
    code, cause = ALONE[what]
    said = check(run, FILE.format(code).encode()).stderr
    assert "its bundle does not run by itself" in said
    assert cause in said
