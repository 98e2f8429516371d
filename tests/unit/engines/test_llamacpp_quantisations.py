"""Quantisations that only llama.cpp's own tools write: blocks of random bytes with scales of a sensible size."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Quantization
from numpy.typing import NDArray

from quickthaw_backends.engines.llamacpp_engine import LlamaCppEngine
from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.store import DiskStore
from tests.unit.checkpoints import gguf_files
from tests.unit.engines.tiny import generate

pytestmark = pytest.mark.skipif(LlamaCppEngine.missing() is not None, reason=str(LlamaCppEngine.missing()))

BLOCK_VALUES = 256
SCALES_AT = {  # where the float16 scales stand in a block of ggml-common.h, in bytes
    Quantization.Q2_K: (80, 82),
    Quantization.Q3_K: (108,),
    Quantization.Q4_K: (0, 2),
    Quantization.Q5_K: (0, 2),
    Quantization.Q6_K: (208,),
    Quantization.IQ4_XS: (0,),
    Quantization.IQ2_XXS: (0,),
    Quantization.IQ3_S: (0,),
}


def random_blocks(values: NDArray[np.float32], kind: Quantization) -> NDArray[np.uint8]:
    """Return a matrix of the shape of `values` in random blocks of `kind`."""
    size = gguf.GGML_QUANT_SIZES[kind][1]
    rows, columns = values.shape
    blocks = np.random.default_rng(rows).integers(0, 256, (rows, columns // BLOCK_VALUES, size), dtype=np.uint8)
    for at in SCALES_AT[kind]:
        blocks[:, :, at : at + 2] = np.frombuffer(np.float16(0.002).tobytes(), dtype=np.uint8)
    return blocks.reshape(rows, -1)


@pytest.mark.parametrize("kind", SCALES_AT, ids=lambda kind: kind.name)
def test_every_kind_of_blocks_is_served_and_resumes_bit_by_bit(
    kind: Quantization, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf_files, "WIDTH", BLOCK_VALUES)
    monkeypatch.setattr(gguf_files, "HEAD_WIDTH", BLOCK_VALUES // gguf_files.HEADS)
    monkeypatch.setattr(gguf_files, "FEED_FORWARD", BLOCK_VALUES)
    monkeypatch.setattr(gguf.quants, "quantize", lambda values, k: random_blocks(values, k) if k is kind else values)
    (file,) = gguf_files.write_llama(tmp_path / "random.gguf", kind, file_type=None, context_tokens=256)
    engine = LlamaCppEngine()
    engine.prepare(import_checkpoint(str(file), DiskStore(tmp_path / "store")).checkpoint, {}, lambda _n, _s: None)
    engine.start("cpu", 2, 64 << 20)
    tokens = engine.tokenizer.encode("The quick brown fox jumps over the lazy dog.")
    whole = generate(engine, tokens, seed=9, max_tokens=8, ignore_eos=True, logprobs=0)
    for cut in (1, 4, 7):
        rest = generate(
            engine, tokens + whole.tokens[:cut], generated=cut, seed=9, max_tokens=8, ignore_eos=True, logprobs=0
        )
        assert [d.logprobs for d in rest.deltas] == [d.logprobs for d in whole.deltas[cut:]]  # to the last bit
    engine.close()
