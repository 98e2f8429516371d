"""What the engine llamacpp does beside the promises of the contract suite, on tiny files with random weights."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import gguf
import pytest
from gguf import GGMLQuantizationType as Quantization

from quickthaw.errors import StartFailed
from quickthaw_backends.engines.llamacpp_engine import LlamaCppEngine, guiding, library
from quickthaw_backends.engines.llamacpp_engine.zero_pages import give_back_zero_pages
from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.contracts import Checkpoint
from tests.unit.checkpoints import gguf_files
from tests.unit.engines.tiny import Collector, generate, request

pytestmark = pytest.mark.skipif(LlamaCppEngine.missing() is not None, reason=str(LlamaCppEngine.missing()))

CONTEXT_TOKENS = 1024
MEMORY_BYTES = 64 << 20
SYSTEM = "You are a careful assistant. Answer in one short sentence, and say when you do not know. " * 2


def checkpoint(folder: Path, quantisation: Quantization = Quantization.Q8_0, parts: int = 1, **more: Any) -> Checkpoint:
    file = folder / f"{quantisation.name.lower()}.gguf"
    files = gguf_files.write_llama(file, quantisation, parts=parts, context_tokens=CONTEXT_TOKENS, **more)
    return import_checkpoint(str(files[0]), DiskStore(folder / "checkpoints")).checkpoint


def prepared(found: Checkpoint, **options: Any) -> LlamaCppEngine:
    engine = LlamaCppEngine()
    engine.prepare(found, options, lambda _name, _seconds: None)
    return engine


@pytest.fixture(scope="module")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return checkpoint(tmp_path_factory.mktemp("gguf"))


@pytest.fixture
def running(tiny_checkpoint: Checkpoint) -> Iterator[LlamaCppEngine]:
    engine = prepared(tiny_checkpoint)
    engine.start("cpu", 2, MEMORY_BYTES)
    yield engine
    engine.close()


def in_a_fork(work: Callable[[], Any]) -> Any:
    """Return what `work` gives in a forked child, as JSON carries it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.write(writing, json.dumps(work()).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    _, status = os.waitpid(child, 0)
    assert status == 0
    return json.loads(text)


def private_bytes() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) << 10


def served(engine: LlamaCppEngine, tokens: list[int]) -> dict[str, Any]:
    """Start a forked engine, ask once, and tell what came of it."""
    engine.start("cpu", 2, MEMORY_BYTES)
    answer = generate(engine, tokens, seed=3, max_tokens=24, ignore_eos=True)
    engine.close()
    return {"tokens": answer.tokens, "cached": answer.deltas[0].cached_tokens}


def test_a_fork_computes_on_two_threads_what_its_template_prepared_on_one(tiny_checkpoint: Checkpoint) -> None:
    engine = prepared(tiny_checkpoint)
    tokens = engine.tokenizer.encode(SYSTEM + "Who?")
    first = in_a_fork(lambda: served(engine, tokens))
    assert first == in_a_fork(lambda: served(engine, tokens))
    assert len(first["tokens"]) == 24


def test_a_primed_fork_says_the_same_and_computes_only_what_is_new(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    bare, primed, again = (prepared(tiny_checkpoint) for _ in range(3))
    beginning = bare.tokenizer.encode(SYSTEM)
    tokens = beginning + bare.tokenizer.encode("Who?")
    file = tmp_path / "beginning.kv"
    assert in_a_fork(lambda: primed.prime(beginning, file)) is True
    assert in_a_fork(lambda: again.prime(beginning, file)) is False

    def ask_primed() -> Any:
        again.prime(beginning, file)
        return in_a_fork(lambda: served(again, tokens))

    plain = in_a_fork(lambda: served(bare, tokens))
    found = in_a_fork(ask_primed)
    assert found["tokens"] == plain["tokens"]
    assert plain["cached"] in (None, 0)
    assert found["cached"] >= len(beginning) - 1


@pytest.mark.parametrize("content", [b"", b"not keys and values", None])
def test_a_prefix_file_of_something_else_is_computed_anew(
    tiny_checkpoint: Checkpoint, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "beginning.kv"
    tokens = list(range(10, 60))

    def other() -> bool:
        return prepared(tiny_checkpoint).prime([*tokens[:-1], 99], file)

    in_a_fork(other) if content is None else file.write_bytes(content)
    assert in_a_fork(lambda: prepared(tiny_checkpoint).prime(tokens, file)) is True
    assert in_a_fork(lambda: prepared(tiny_checkpoint).prime(tokens, file)) is False


def test_the_context_of_a_template_takes_no_memory_before_it_is_used(tiny_checkpoint: Checkpoint) -> None:
    def growth() -> int:
        before = private_bytes()
        engine = prepared(tiny_checkpoint, kv_tokens=1_000_000)  # of 256 bytes each, and an eighth more
        return private_bytes() - before + 0 * engine.context_tokens

    assert in_a_fork(growth) < 150 << 20  # much of it the test's own pages, written after the fork


def test_pages_of_zeros_are_given_back_and_read_as_before() -> None:
    def work() -> list[int]:
        block = bytearray(16 << 20)
        block[5 << 20] = 7
        given = give_back_zero_pages()
        return [given, block[5 << 20], sum(block[:100])]

    given, kept, zeros = in_a_fork(work)
    assert given >= 8 << 20
    assert (kept, zeros) == (7, 0)


def test_garbage_that_holds_memory_is_not_collected_while_that_is_looked_at() -> None:
    class Maps:
        """Lists the mappings, and has garbage collected at the next chance."""

        def read_text(self) -> str:
            text = Path("/proc/self/maps").read_text()
            gc.set_threshold(1)
            return text

    def work() -> int:
        gc.disable()
        gc.collect()
        garbage: list[Any] = [bytearray(256 << 20)]
        garbage.append(garbage)
        del garbage
        gc.enable()
        return give_back_zero_pages(cast("Path", Maps()))

    assert in_a_fork(work) >= 128 << 20


@pytest.mark.parametrize(
    "quantisation",
    [Quantization.Q4_0, Quantization.Q4_1, Quantization.Q5_0, Quantization.Q5_1, Quantization.Q8_0],
)
def test_a_stream_of_whole_number_weights_resumes_bit_by_bit(tmp_path: Path, quantisation: Quantization) -> None:
    engine = prepared(checkpoint(tmp_path, quantisation))
    engine.start("cpu", 2, MEMORY_BYTES)
    tokens = engine.tokenizer.encode(SYSTEM * 4)  # longer than the 512 cells from which llama.cpp splits attention
    whole = generate(engine, tokens, seed=9, max_tokens=12, ignore_eos=True, logprobs=0)
    for cut in (1, 5, 11):
        rest = generate(
            engine, tokens + whole.tokens[:cut], generated=cut, seed=9, max_tokens=12, ignore_eos=True, logprobs=0
        )
        assert rest.tokens == whole.tokens[cut:]
        assert [d.logprobs for d in rest.deltas] == [d.logprobs for d in whole.deltas[cut:]]  # to the last bit
    engine.close()


def test_weights_of_floating_point_numbers_are_served_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepared(checkpoint(tmp_path, Quantization.F16, file_type=int(gguf.LlamaFileType.MOSTLY_F16)))
    assert "may differ where tokens are near-ties" in caplog.text


def test_a_split_file_says_what_the_whole_one_says(tmp_path: Path, tiny_checkpoint: Checkpoint) -> None:
    split = checkpoint(tmp_path, parts=3)
    assert len(split.manifest["weights"]) == 3
    whole, parts = prepared(tiny_checkpoint), prepared(split)
    tokens = whole.tokenizer.encode("hello there")
    assert in_a_fork(lambda: served(parts, tokens)) == in_a_fork(lambda: served(whole, tokens))


def test_streams_stay_what_they_are_while_the_cells_are_moved_together(running: LlamaCppEngine) -> None:
    tokens = running.tokenizer.encode(SYSTEM)
    alone = [generate(running, tokens, seed=n, max_tokens=120, ignore_eos=True).tokens for n in range(3)]
    for _round in range(4):  # each leaves some 400 cells of waste behind what still runs
        long = Collector()
        running.submit(request(tokens, "long", seed=0, max_tokens=120, ignore_eos=True), long)
        for n in (1, 2, 1, 2):
            assert generate(running, tokens, f"short{n}", seed=n, max_tokens=120, ignore_eos=True).tokens == alone[n]
        assert long.wait().tokens == alone[0]
    assert running.stats().kv_bytes == 0


def test_another_build_is_refused_with_the_right_one_s_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "version", lambda _name: "2020.1.1")
    missing = LlamaCppEngine.missing()
    assert missing is not None
    assert library.BUILD in missing
    assert "2020.1.1" in missing


def test_a_file_that_is_no_model_fails_with_its_name(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    file = tmp_path / "weights.gguf"
    content = bytearray((tiny_checkpoint.path / "weights.gguf").read_bytes())
    content[200:400] = bytes(200)
    file.write_bytes(content)
    broken = Checkpoint(tiny_checkpoint.id, tiny_checkpoint.path, tiny_checkpoint.manifest, weights=(file,))
    with pytest.raises(StartFailed, match=r"weights\.gguf"):
        prepared(broken)


def test_what_a_template_settled_its_forks_need_not_do_for_their_first_structure(
    tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = prepared(tiny_checkpoint)
    engine.settle()
    monkeypatch.setattr(guiding, "LLTokenizer", None)  # whoever needed one now would fail

    def answer() -> str:
        engine.start("cpu", 1, MEMORY_BYTES)
        said = generate(engine, [65, 66], max_tokens=20, structure={"choice": ["yes", "no"]})
        engine.close()
        return said.text

    assert in_a_fork(answer) in ("yes", "no")
