"""Which tokens end an answer: all that a model's files name, and the end of a turn in its chat template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import LlamaConfig

from quickthaw_backends.engines.end_tokens import end_tokens
from quickthaw_backends.engines.llamacpp_engine import LlamaCppEngine
from quickthaw_backends.engines.transformers_engine.tokenizer import HfTokenizer
from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.store import DiskStore
from tests.unit.checkpoints import gguf_files, models
from tests.unit.engines import tiny

needs_llama_cpp = pytest.mark.skipif(LlamaCppEngine.missing() is not None, reason=str(LlamaCppEngine.missing()))
TURNS = "{% for m in messages %}<s>{{ m['content'] }}{END}\n{% endfor %}"


@pytest.mark.parametrize(
    ("generation", "config", "ends"),
    [
        pytest.param({"eos_token_id": 7}, {"eos_token_id": 2}, {2, 7}, id="they disagree: both"),
        pytest.param({"eos_token_id": [7, 8]}, {"eos_token_id": [2]}, {2, 7, 8}, id="lists"),
        pytest.param({"eos_token_id": None}, {"eos_token_id": 0}, {0}, id="the first token is one"),
        pytest.param({}, {"eos_token_id": 2, "text_config": {"eos_token_id": 9}}, {2, 9}, id="a part of the config"),
        pytest.param(None, {"eos_token_id": 2}, {2}, id="no generation_config.json"),
        pytest.param({}, {}, set(), id="none"),
    ],
)
def test_all_that_the_files_name_end_an_answer(
    tmp_path: Path, generation: dict[str, Any] | None, config: dict[str, Any], ends: set[int]
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    if generation is not None:
        (tmp_path / "generation_config.json").write_text(json.dumps(generation))
    assert end_tokens(tmp_path) == ends


@pytest.mark.parametrize(
    ("template", "ends"),
    [
        pytest.param(TURNS.replace("{END}", "<|turn|>"), {257, 258}, id="another end than the tokenizer's"),
        pytest.param(TURNS.replace("{END}", " \n<|turn|>"), {257, 258}, id="after spaces"),
        pytest.param(TURNS.replace("{END}", "<|end|>"), {257}, id="the tokenizer's own"),
        pytest.param(TURNS.replace("{END}", "User:"), {257}, id="text ends no answer"),
        pytest.param("{% for m in messages %}<|turn|>{{ m['content'] }}{% endfor %}", {257}, id="no end of a turn"),
        pytest.param("{{ raise_exception('no') }}", {257}, id="refuses the conversation"),
        pytest.param("{% for", {257}, id="no template"),
        pytest.param(None, {257}, id="none"),
    ],
)
def test_the_templates_own_end_of_a_turn_ends_an_answer(tmp_path: Path, template: str | None, ends: set[int]) -> None:
    made = tiny.tokenizer()
    made.add_special_tokens({"additional_special_tokens": ["<|turn|>"]})
    made.chat_template = template
    made.save_pretrained(tmp_path)
    assert HfTokenizer(tmp_path).eos == ends


@needs_llama_cpp
def test_a_gguf_files_template_is_asked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf_files, "TEMPLATE", "{% for m in messages %}{{ m['content'] }}<unk>{% endfor %}")
    [file] = gguf_files.write_llama(tmp_path / "tiny.gguf")
    engine = LlamaCppEngine()
    found = import_checkpoint(str(file), DiskStore(tmp_path / "checkpoints")).checkpoint
    engine.prepare(found, {}, lambda _name, _seconds: None)
    assert vars(engine)["_loaded"].tokenizer.eos == {0, 2}


def test_an_import_names_no_end_that_the_source_does_not_name(tmp_path: Path) -> None:
    """transformers' configuration of Llama names token 2 where the file names none."""
    source = tmp_path / "source"
    models.save_llama(source)
    config = json.loads((source / "config.json").read_text())
    del config["eos_token_id"]
    (source / "config.json").write_text(json.dumps(config))
    (source / "generation_config.json").write_text(json.dumps({"eos_token_id": 4}))
    found = import_checkpoint(str(source), DiskStore(tmp_path / "checkpoints")).checkpoint
    assert end_tokens(found.path) == {4}
    (source / "generation_config.json").unlink()
    found = import_checkpoint(str(source), DiskStore(tmp_path / "checkpoints")).checkpoint
    assert end_tokens(found.path) == frozenset()
    assert LlamaConfig().eos_token_id == 2  # what it would have been


@pytest.mark.parametrize("dtype", [None, "float32"])
def test_a_gguf_files_ends_are_all_kept_for_every_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str | None
) -> None:
    add_others = gguf_files.add_metadata

    def add_metadata(writer: Any, *more: Any) -> None:
        add_others(writer, *more)
        writer.add_uint32("tokenizer.ggml.eot_token_id", 5)

    monkeypatch.setattr(gguf_files, "add_metadata", add_metadata)
    [file] = gguf_files.write_llama(tmp_path / "tiny.gguf")
    found = import_checkpoint(str(file), DiskStore(tmp_path / "checkpoints"), dtype=dtype).checkpoint
    assert end_tokens(found.path) == {2, 5}
