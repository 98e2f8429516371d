"""LoRA adapters on one prepared model: what they change, what they share, what is refused."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter

from quickthaw.errors import StartFailed
from quickthaw_backends.engines.echo_engine import EchoEngine
from quickthaw_backends.engines.llamacpp_engine import LlamaCppEngine
from quickthaw_platform.checkpoints.arrival import ArrivalWriter
from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.manifest import weights_paths
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.contracts import Checkpoint, TakesAdapters
from tests.unit.checkpoints import gguf_files
from tests.unit.engines.test_llamacpp_engine import MEMORY_BYTES, checkpoint, in_a_fork, prepared, served
from tests.unit.engines.tiny import generate

pytestmark = pytest.mark.skipif(LlamaCppEngine.missing() is not None, reason=str(LlamaCppEngine.missing()))

QUESTION = "hello there, who are you and where do you live?"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return checkpoint(tmp_path_factory.mktemp("gguf"))


def adapter(folder: Path, seed: int = 0, **more: Any) -> Checkpoint:
    file = gguf_files.write_adapter(folder / f"lora{seed}.gguf", seed, **more)
    return import_checkpoint(str(file), DiskStore(folder / "checkpoints")).checkpoint


def adapted(engine: LlamaCppEngine, with_adapter: Checkpoint, tokens: list[int]) -> dict[str, Any]:
    """Adapt a forked engine and ask it once."""
    engine.adapt(with_adapter)
    return served(engine, tokens)


def test_forks_of_one_template_answer_each_by_its_own_adapter(base: Checkpoint, tmp_path: Path) -> None:
    engine = prepared(base)
    first, second = (adapter(tmp_path, seed) for seed in (1, 2))
    tokens = engine.tokenizer.encode(QUESTION)
    plain = in_a_fork(lambda: served(engine, tokens))
    answers = [in_a_fork(lambda lora=lora: adapted(engine, lora, tokens)) for lora in (first, second, first)]  # type: ignore[misc]
    assert answers[0] == answers[2]
    assert len({tuple(answer["tokens"]) for answer in (plain, answers[0], answers[1])}) == 3
    assert in_a_fork(lambda: served(engine, tokens)) == plain  # nothing of it came into the template


def test_an_adapter_adds_the_product_of_its_matrices_to_the_model_s_own(base: Checkpoint, tmp_path: Path) -> None:
    """Compared with a file whose matrix holds the sum already, in 32 bits."""
    low_rank = dict(_matrices(gguf_files.write_adapter(tmp_path / "lora.gguf", 1)))
    scale = 8.0 / 4  # alpha over rank
    delta = scale * low_rank["blk.0.attn_q.weight.lora_b"] @ low_rank["blk.0.attn_q.weight.lora_a"]
    plain, merged = (_dense(tmp_path / name, change) for name, change in (("a", None), ("b", delta)))
    engine, other = prepared(plain), prepared(merged)
    tokens = engine.tokenizer.encode(QUESTION)
    found = in_a_fork(lambda: _logprobs(engine, tokens, adapter(tmp_path, 1)))
    assert found == pytest.approx(in_a_fork(lambda: _logprobs(other, tokens, None)), abs=2e-2)
    assert found != pytest.approx(in_a_fork(lambda: _logprobs(engine, tokens, None)), abs=2e-2)


def test_what_the_model_computed_without_it_is_not_used_with_it(base: Checkpoint, tmp_path: Path) -> None:
    engine = prepared(base)
    tokens = engine.tokenizer.encode(QUESTION)
    lora = adapter(tmp_path, 1)
    fresh = in_a_fork(lambda: adapted(engine, lora, tokens))

    def after_priming() -> dict[str, Any]:
        engine.prime(tokens[:32], tmp_path / "beginning.kv")
        return adapted(engine, lora, tokens)

    assert in_a_fork(after_priming) == fresh
    assert fresh["cached"] in (None, 0)


def test_an_adapter_that_still_arrives_is_waited_for(base: Checkpoint, tmp_path: Path) -> None:
    whole = adapter(tmp_path, 1)
    content = weights_paths(whole)[0].read_bytes()
    file = tmp_path / "arriving.gguf"
    file.write_bytes(bytes(len(content)))
    writer = ArrivalWriter()
    arriving = Checkpoint(whole.id, whole.path, whole.manifest, (file,), Path(f"/proc/self/fd/{writer.fd}"))
    engine = prepared(base)

    def arrive() -> None:
        file.write_bytes(content)
        writer.advance(0, len(content))
        writer.complete()

    timer = threading.Timer(0.05, arrive)
    timer.start()
    engine.adapt(arriving)
    timer.join()
    assert engine.arrival_seconds > 0
    writer.close()


def test_weights_of_an_adapter_that_never_arrive_fail_the_start_with_the_cause(
    base: Checkpoint, tmp_path: Path
) -> None:
    whole = adapter(tmp_path, 1)
    writer = ArrivalWriter()
    writer.fail("the disk is gone")
    arriving = Checkpoint(whole.id, whole.path, whole.manifest, arrival=Path(f"/proc/self/fd/{writer.fd}"))
    with pytest.raises(StartFailed, match="the disk is gone"):
        prepared(base).adapt(arriving)
    writer.close()


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ({"architecture": "qwen2"}, "for models of the architecture 'qwen2', and this one is of 'llama'"),
        ({"width": 32}, r"cannot put the adapter on the model: .*shape"),  # of a narrower model
    ],
)
def test_an_adapter_of_another_model_is_refused_with_the_reason(
    base: Checkpoint, tmp_path: Path, made: dict[str, Any], reason: str
) -> None:
    with pytest.raises(StartFailed, match=reason):
        prepared(base).adapt(adapter(tmp_path, **made))


def test_an_adapter_that_works_from_certain_tokens_on_only_is_refused(base: Checkpoint, tmp_path: Path) -> None:
    file = tmp_path / "activated.gguf"
    writer = GGUFWriter(file, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 8.0)
    kinds = GGUFValueType.ARRAY, GGUFValueType.UINT32
    writer.add_key_value("adapter.alora.invocation_tokens", [5, 6], kinds[0], sub_type=kinds[1])
    for name, array in _matrices(gguf_files.write_adapter(tmp_path / "lora.gguf")):
        writer.add_tensor(name, array)
    gguf_files.close(writer)
    found = import_checkpoint(str(file), DiskStore(tmp_path / "checkpoints")).checkpoint
    with pytest.raises(StartFailed, match="activated LoRA"):
        prepared(base).adapt(found)


def test_an_adapter_of_whole_numbers_resumes_bit_by_bit_and_without_a_warning(
    base: Checkpoint, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = prepared(base)
    engine.adapt(adapter(tmp_path, 1, rank=32, quantisation=GGMLQuantizationType.Q8_0))
    assert "near-ties" not in caplog.text
    engine.start("cpu", 2, MEMORY_BYTES)
    tokens = engine.tokenizer.encode(QUESTION * 4)
    asked: dict[str, Any] = {"seed": 9, "max_tokens": 12, "ignore_eos": True, "logprobs": 0}
    whole = generate(engine, tokens, **asked)
    for cut in (1, 5, 11):
        rest = generate(engine, tokens + whole.tokens[:cut], generated=cut, **asked)
        assert rest.tokens == whole.tokens[cut:]
        assert [d.logprobs for d in rest.deltas] == [d.logprobs for d in whole.deltas[cut:]]  # to the last bit
    engine.close()


def test_an_adapter_of_floating_point_numbers_is_served_with_a_warning(
    base: Checkpoint, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepared(base).adapt(adapter(tmp_path, 1))
    assert "may differ where tokens are near-ties" in caplog.text


def test_only_engines_that_can_say_that_they_take_adapters() -> None:
    assert issubclass(LlamaCppEngine, TakesAdapters)
    assert not issubclass(EchoEngine, TakesAdapters)


def _matrices(file: Path) -> list[tuple[str, Any]]:
    return [(tensor.name, np.array(tensor.data)) for tensor in GGUFReader(file).tensors]


def _dense(folder: Path, change: Any) -> Checkpoint:
    folder.mkdir()
    tensors = gguf_files.tensors

    def changed(*given: Any, **more: Any) -> Any:
        for name, weights in tensors(*given, **more):
            yield name, weights + change if change is not None and name == "blk.0.attn_q.weight" else weights

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gguf_files, "tensors", changed)
        return checkpoint(folder, GGMLQuantizationType.F32, file_type=0)


def _logprobs(engine: LlamaCppEngine, tokens: list[int], with_adapter: Checkpoint | None) -> list[float]:
    if with_adapter is not None:
        engine.adapt(with_adapter)
    engine.start("cpu", 1, MEMORY_BYTES)
    answer = generate(engine, tokens, seed=0, max_tokens=0, echo=True, logprobs=0)
    engine.close()
    return [entry.logprob for delta in answer.deltas for entry in delta.logprobs if entry.logprob is not None]
