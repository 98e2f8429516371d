"""A Llama of a given shape with random weights and a tokenizer of bytes, imported as a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from benchmarks.load_weights.shapes import Shape
from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.contracts import Checkpoint

STANDARD_DEVIATION = 0.02
CONTEXT_TOKENS = 2048


def make(shape: Shape, folder: Path, device: str = "cpu") -> Checkpoint:
    """Write the Hugging Face folder `source` and import it to the store `checkpoints`; numbers come from `device`."""
    source = folder / "source"
    source.mkdir(parents=True)
    config = {**shape.config(), "max_position_embeddings": CONTEXT_TOKENS, "bos_token_id": 0, "eos_token_id": 1}
    (source / "config.json").write_text(json.dumps(config))
    generator = torch.Generator(device).manual_seed(0)
    tensors = {
        name: torch.empty(sizes, dtype=torch.bfloat16, device=device)
        .normal_(std=STANDARD_DEVIATION, generator=generator)
        .cpu()
        for name, sizes in shape.tensors().items()
    }
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    _tokenizer().save_pretrained(source)
    return import_checkpoint(str(source), DiskStore(folder / "checkpoints"), f"random-{shape.name}").checkpoint


def _tokenizer() -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={symbol: index for index, symbol in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core)
