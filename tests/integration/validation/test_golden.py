"""The same numbers as those whose protocols these are: lm-eval, transformers' documentation, GPTQ's code, llama.cpp."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType
from transformers import AutoModelForCausalLM, AutoTokenizer

from quickthaw_backends.engines.llamacpp_engine import LlamaCppEngine
from quickthaw_backends.engines.llamacpp_engine.batch import Piece
from quickthaw_backends.engines.llamacpp_engine.context import LlamaContext, Room
from quickthaw_backends.engines.llamacpp_engine.model import LlamaModel
from quickthaw_backends.engines.transformers_engine import TransformersEngine
from quickthaw_backends.engines.transformers_engine.linear import native_bf16
from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.manifest import weights_paths
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.contracts import Checkpoint, Engine
from quickthaw_platform.validation import subjects
from quickthaw_platform.validation.corpus import Corpus
from quickthaw_platform.validation.result import ProtocolName, ValidationResult
from quickthaw_platform.validation.running import Wish, validate
from quickthaw_platform.validation.tokenizers import TextTokenizer, tokenizer_of
from tests.integration.validation.engine_server import completing, serving
from tests.unit.checkpoints import gguf_files
from tests.unit.engines import tiny

LM_EVAL = Path(sys.prefix) / "lm-eval"
WINDOW, STRIDE = 64, 24
PAGE = (
    ' = Robert {n} = \n \n Robert {n} is an English actor ; he said " it \'s {n} @.@ 5 " , and left ( at once ) . \n'
    " \n = = Career = = \n \n In 200{n} he had 1 @,@ 000 roles , ° N of them small . \n \n"
)
RAW = " \n" + "".join(PAGE.format(n=n) for n in range(1, 6))
WIKITEXT = Corpus("wiki.test.raw", "wikitext", (RAW,))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("golden")


@pytest.fixture(scope="module")
def llama(folder: Path) -> Checkpoint:
    return tiny.checkpoint(folder)


@pytest.fixture(scope="module")
def source(folder: Path, llama: Checkpoint) -> Path:
    """What the checkpoint was made of, as transformers reads it."""
    assert llama.id
    return folder / "source-llama"


@pytest.fixture(scope="module")
def url(llama: Checkpoint) -> Iterator[str]:
    engine = TransformersEngine()
    with served(engine, llama) as found:
        yield found


class served:
    """A checkpoint behind an OpenAI-compatible server, for a `with` block."""

    def __init__(self, engine: Engine, checkpoint: Checkpoint, **options: Any) -> None:
        self._engine = engine
        engine.prepare(checkpoint, options, lambda _name, _seconds: None)
        engine.start("cpu", 1, 64 << 20)
        self._serving = serving(completing(engine))

    def __enter__(self) -> str:
        return self._serving.__enter__()

    def __exit__(self, *exc_info: object) -> None:
        self._serving.__exit__(None, None, None)
        self._engine.close()


def scored(
    url: str, tokenizer: TextTokenizer, protocol: ProtocolName, folder: Path, stride: int | None = None
) -> ValidationResult:
    found = subjects.endpoint(url, "tiny", None)
    return validate(found, WIKITEXT, tokenizer, Wish(protocol, WINDOW, stride), folder / "journals")


def test_hf_is_the_loop_of_transformers_documentation(url: str, llama: Checkpoint, source: Path, folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(source)
    text = "\n\n".join(line if line.strip() else "" for line in RAW.splitlines(keepends=True))
    ids = AutoTokenizer.from_pretrained(source)(text, return_tensors="pt").input_ids
    # From here on "Perplexity of fixed-length models", with its names.
    nll_sum, n_tokens, prev_end_loc = 0.0, 0, 0
    for begin_loc in range(0, ids.size(1), STRIDE):
        end_loc = min(begin_loc + WINDOW, ids.size(1))
        trg_len = end_loc - prev_end_loc
        input_ids = ids[:, begin_loc:end_loc]
        target_ids = input_ids.clone()
        target_ids[:, :-trg_len] = -100
        with torch.no_grad():
            neg_log_likelihood = model(input_ids, labels=target_ids).loss
        num_loss_tokens = int((target_ids != -100).sum()) - 1
        nll_sum += float(neg_log_likelihood) * num_loss_tokens
        n_tokens += num_loss_tokens
        prev_end_loc = end_loc
        if end_loc == ids.size(1):
            break
    found = scored(url, tokenizer_of(llama), "hf", folder, stride=STRIDE)
    assert found.perplexity.value == pytest.approx(math.exp(nll_sum / n_tokens), rel=1e-5)
    assert found.sums.tokens == ids.size(1) - 1
    assert found.perplexity.interval is not None
    assert found.perplexity.interval.low < found.perplexity.value < found.perplexity.interval.high


def test_gptq_is_the_loop_of_its_code(url: str, llama: Checkpoint, source: Path, folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(source)
    text = "\n\n".join(line if line.strip() else "" for line in RAW.splitlines(keepends=True))
    testenc = AutoTokenizer.from_pretrained(source)(text, return_tensors="pt").input_ids
    nsamples, nlls = testenc.numel() // WINDOW, []
    for i in range(nsamples):
        batch = testenc[:, i * WINDOW : (i + 1) * WINDOW]
        with torch.no_grad():
            logits = model(batch).logits[:, :-1]
        nlls.append(torch.nn.functional.cross_entropy(logits[0], batch[0, 1:]) * WINDOW)
    expected = float(torch.exp(torch.stack(nlls).sum() / (nsamples * WINDOW)))
    assert scored(url, tokenizer_of(llama), "gptq", folder).perplexity.value == pytest.approx(expected, rel=1e-5)


MIXED_TOLERANCE = 0.005
"""Relative, of a perplexity: what is rounded to bfloat16 differs in where transformers and our engine round."""


@pytest.mark.skipif(not native_bf16(), reason="this CPU does not multiply bfloat16")
@pytest.mark.parametrize("protocol", ["hf", "gptq", "lm-eval", "llamacpp"])
def test_mixed_products_say_the_same_to_half_a_percent(
    url: str, llama: Checkpoint, folder: Path, protocol: ProtocolName
) -> None:
    """The exact path is what the other tests here hold to the protocols' own code."""
    narrow = tiny.checkpoint(folder, dtype="bfloat16")
    with served(TransformersEngine(), narrow, compute="mixed", exact=False) as mixed:
        found = scored(mixed, tokenizer_of(llama), protocol, folder)
    exact = scored(url, tokenizer_of(llama), protocol, folder)
    assert found.perplexity.value == pytest.approx(exact.perplexity.value, rel=MIXED_TOLERANCE)
    assert found.perplexity.value != exact.perplexity.value
    assert found.sums.tokens == exact.sums.tokens


RUN_LM_EVAL = """
import json, sys
import lm_eval
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
model, folder, window = sys.argv[1], sys.argv[2], int(sys.argv[3])
lm = HFLM(pretrained=model, device="cpu", dtype="float32", max_length=window, batch_size=1)
tasks = TaskManager(include_path=folder, include_defaults=False)
found = lm_eval.simple_evaluate(model=lm, tasks=["wikitext_local"], task_manager=tasks, bootstrap_iters=0)
print(json.dumps({name: value for name, value in found["results"]["wikitext_local"].items() if "," in name}))
"""
TASK = """
task: wikitext_local
dataset_path: json
dataset_kwargs: {data_files: {test: PAGES}}
output_type: loglikelihood_rolling
test_split: test
doc_to_text: ""
doc_to_target: !function preprocess_wikitext.wikitext_detokenizer
process_results: !function preprocess_wikitext.process_results
metric_list: [{metric: word_perplexity}, {metric: byte_perplexity}, {metric: bits_per_byte}]
metadata: {version: 2.0}
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not LM_EVAL.exists(), reason="lm-eval is not installed in .venv/lm-eval; `make test` installs it")
def test_lm_eval_itself_says_the_same_to_four_digits(url: str, llama: Checkpoint, source: Path, folder: Path) -> None:
    pages = folder / "pages.jsonl"
    pages.write_text("".join(json.dumps({"page": page}) + "\n" for page, _ in WIKITEXT.pages()))
    task = folder / "task"
    task.mkdir()
    (task / "wikitext_local.yaml").write_text(TASK.replace("PAGES", str(pages)))
    theirs = LM_EVAL / "lm_eval" / "tasks" / "wikitext" / "preprocess_wikitext.py"
    (task / theirs.name).write_text(theirs.read_text())
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / "home")}
    done = subprocess.run(
        [sys.executable, "-c", RUN_LM_EVAL, str(source), str(task), str(WINDOW)], capture_output=True, text=True,
        env={**os.environ, **offline, "PYTHONPATH": str(LM_EVAL)}, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    expected = json.loads(done.stdout.splitlines()[-1])
    found = scored(url, tokenizer_of(llama), "lm-eval", folder)
    assert found.word_perplexity is not None
    assert found.byte_perplexity is not None
    assert found.bits_per_byte is not None
    assert f"{found.word_perplexity.value:.4g}" == f"{expected['word_perplexity,none']:.4g}"
    assert f"{found.byte_perplexity.value:.4g}" == f"{expected['byte_perplexity,none']:.4g}"
    assert found.bits_per_byte.value == pytest.approx(expected["bits_per_byte,none"], rel=1e-5)


@pytest.mark.skipif(LlamaCppEngine.missing() is not None, reason=str(LlamaCppEngine.missing()))
def test_llamacpp_is_its_algorithm_over_its_own_logits(folder: Path) -> None:
    """No wheel that we know carries llama-perplexity, so its algorithm runs here, over the C library's logits.

    The context is that of its tool: keys and values in f16, which the engine has otherwise for exactness.
    """
    (file,) = gguf_files.write_llama(folder / "tiny.gguf", GGMLQuantizationType.Q8_0, context_tokens=256)
    checkpoint = import_checkpoint(str(file), DiskStore(folder / "checkpoints")).checkpoint
    tokenizer = tokenizer_of(checkpoint)
    with served(LlamaCppEngine(), checkpoint) as url:
        found = scored(url, tokenizer, "llamacpp", folder)
    model = LlamaModel(weights_paths(checkpoint), repack=False, layers_on_gpu=0)
    context = LlamaContext(model, Room(WINDOW, 1, WINDOW), exact=False)
    tokens = tokenizer.encode(RAW.removesuffix("\n"))
    nll, count = 0.0, 0
    for start in range(0, len(tokens) - WINDOW + 1, WINDOW):
        chunk = tokens[start : start + WINDOW]
        if tokenizer.beginning:
            chunk[0] = tokenizer.beginning[0]
        (logits,) = context.compute([Piece(0, 0, chunk, WINDOW)])
        for place in range(WINDOW // 2, WINDOW - 1):
            row = logits[place].astype(np.float64)
            nll += math.log(np.exp(row - row.max()).sum()) + row.max() - row[chunk[place + 1]]
            count += 1
        context.cut(0, 0)
    context.close()
    assert found.sums.tokens == count
    assert found.perplexity.value == pytest.approx(math.exp(nll / count), rel=0.005)
