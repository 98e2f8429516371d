"""docs/functions.md: its example does the same where it was written, by itself, and in an instance."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from quickthaw import checking, loading, runtime
from quickthaw_platform import settings as settings_module
from quickthaw_platform.worker import local
from tests.integration.worker.echo_checkpoint import MODEL, write_checkpoint
from tests.integration.worker.node_process import NodeProcess

TEXT = (Path(__file__).parents[3] / "docs" / "functions.md").read_text()
FILES = dict(re.findall(r"^`letters/([^`]+)`:\n\n```\w+\n(.*?)```", TEXT, re.MULTILINE | re.DOTALL))
INPUT = {"to": {"name": "Ada", "born": "1815-12-10"}, "tone": "stern", "words": 20}
ECHO = {"model": MODEL, "engine": "echo"}


@pytest.fixture
def own_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let `.local()` load a model of this test."""
    monkeypatch.setenv("QUICKTHAW_DATA_DIR", str(tmp_path / "data"))
    settings_module.load.cache_clear()
    write_checkpoint(tmp_path / "data" / "checkpoints")
    monkeypatch.setattr(runtime, "open_model", lambda given: local.open_model(given.model_copy(update=ECHO)))
    yield
    settings_module.load.cache_clear()


def test_the_example_gives_the_same_here_and_in_an_instance(node: NodeProcess, own_model: None, tmp_path: Path) -> None:
    for name, text in FILES.items():
        file = tmp_path / "letters" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (function,) = loading.functions(tmp_path / "letters" / "function.py")
    spec = function.spec()
    assert set(spec.source) == {"function.py", "helpers.py", "prompts/system.txt"}
    checking.check(spec)
    here = function.local(**INPUT)
    assert here["to"] == INPUT["to"]
    assert (here["tone"], here["written"]) == ("stern", "2026-01-02")
    assert "ADA" in here["text"]
    version = node.registry.deploy(spec.model_copy(update=ECHO))
    info = node.call(version, INPUT)
    assert info.result == here, info.error
