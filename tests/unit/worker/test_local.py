"""A model in this very process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quickthaw.errors import CheckpointNotFound, InvalidRequest
from quickthaw.model import Model
from quickthaw.types import FunctionSpec
from quickthaw_backends.engines.echo_engine import EchoEngine
from quickthaw_backends.engines.llamacpp_engine import LlamaCppEngine
from quickthaw_platform import plugins
from quickthaw_platform import settings as settings_module
from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.worker.instance import KV_SHARE
from quickthaw_platform.worker.local import open_model
from tests.integration.worker.echo_checkpoint import MODEL, write_checkpoint
from tests.unit.checkpoints.gguf_files import write_adapter, write_llama


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A data folder with one checkpoint, which the settings of this process point to."""
    monkeypatch.setenv("QUICKTHAW_DATA_DIR", str(tmp_path))
    settings_module.load.cache_clear()
    write_checkpoint(tmp_path / "checkpoints")
    yield
    settings_module.load.cache_clear()


def function(model: str = MODEL, engine: str | None = "echo", **fields: Any) -> FunctionSpec:
    return FunctionSpec(name="here", model=model, engine=engine, **fields)


def said(model: Model, prompt: str, **fields: Any) -> str:
    return "".join(str(delta) for delta in model.complete(prompt, **fields))


def test_a_local_model_answers_with_the_engine_and_options_asked_for() -> None:
    with open_model(function(options={"context_tokens": 100})) as model:
        assert "".join(str(delta) for delta in model.complete("abc")) == "abc"
        assert model.count_tokens("abc") == 3


def test_it_says_on_stderr_what_it_waits_for_and_leaves_stdout_to_the_function(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with open_model(function()):
        said = capsys.readouterr()
    assert said.out == ""
    assert f"loading {MODEL} with the engine echo" in said.err
    assert f"{MODEL} is loaded" in said.err


def test_without_an_engine_the_checkpoints_format_chooses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import_checkpoint(str(write_llama(tmp_path / "tiny.gguf")[0]), DiskStore(tmp_path / "checkpoints"))
    monkeypatch.setattr(plugins, "names", lambda _group: ["echo", "transformers"])
    with open_model(function("tiny", None)) as model:
        assert model.count_tokens("hello") == 2  # hell and o


def test_an_adapter_cannot_be_opened_as_a_model(tmp_path: Path) -> None:
    import_checkpoint(str(write_adapter(tmp_path / "lora.gguf")), DiskStore(tmp_path / "checkpoints"))
    with pytest.raises(InvalidRequest, match="is a LoRA adapter"), open_model(function("lora")):
        pass


@pytest.mark.skipif(LlamaCppEngine.missing() is not None, reason=str(LlamaCppEngine.missing()))
def test_a_local_model_takes_an_adapter(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "checkpoints")
    import_checkpoint(str(write_llama(tmp_path / "tiny.gguf")[0]), store)
    import_checkpoint(str(write_adapter(tmp_path / "lora.gguf")), store)
    said = []
    for adapter in (None, "lora"):
        with open_model(function("tiny", "llamacpp", adapter=adapter)) as model:
            answer = model.complete("hello there", max_tokens=16, ignore_eos=True, temperature=0)
            said.append([token for delta in answer for token in delta.tokens])
    assert said[0] != said[1]


def test_an_adapter_for_an_engine_that_takes_none_is_refused(tmp_path: Path) -> None:
    import_checkpoint(str(write_adapter(tmp_path / "lora.gguf")), DiskStore(tmp_path / "checkpoints"))
    with pytest.raises(InvalidRequest, match="'echo' takes no adapters"), open_model(function(adapter="lora")):
        pass


def test_an_unknown_model_lists_what_there_is() -> None:
    with pytest.raises(CheckpointNotFound, match=MODEL), open_model(function("echo-modle")):
        pass


def test_answers_are_as_long_as_the_function_has_it() -> None:
    with open_model(function(max_tokens=3, max_tokens_limit=5)) as model:
        assert said(model, "abcdefgh") == "abc"
        assert said(model, "abcdefgh", max_tokens=5) == "abcde"
        with pytest.raises(InvalidRequest, match="max_tokens 6 is more than this function allows"):
            model.complete("abcdefgh", max_tokens=6)


def test_without_a_number_of_its_own_a_handler_answers_as_long_as_the_context_is() -> None:
    prompt = "a" * 3000
    with open_model(function()) as model:
        assert said(model, prompt) == prompt


def test_the_functions_memory_is_what_its_model_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    start = EchoEngine.start

    def noted(engine: EchoEngine, device: str, threads: int, memory_bytes: int) -> None:
        given.append(memory_bytes)
        start(engine, device, threads, memory_bytes)

    monkeypatch.setattr(EchoEngine, "start", noted)
    for memory in ("64MiB", None):
        with open_model(function(memory=memory)):
            pass
    assert given == [int(KV_SHARE * (64 << 20)), int(KV_SHARE * (1 << 30))]
