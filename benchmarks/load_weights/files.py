"""The checkpoints that are loaded: random bf16 weights in each format that a loader reads, made once and kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.assets import ASSETS, staged
from benchmarks.load_weights.shapes import Shape
from quickthaw_platform.checkpoints.layout import write_weights
from quickthaw_platform.checkpoints.manifest import FILE_NAME, Manifest, WeightsFile, read_manifest

if TYPE_CHECKING:
    import torch

SAFETENSORS = "model.safetensors"
STANDARD_DEVIATION = 0.02


@dataclass(frozen=True, slots=True)
class Files:
    """The folder of one shape: a checkpoint of ours that is a Hugging Face folder too, and two foreign formats."""

    folder: Path

    @property
    def safetensors(self) -> Path:
        """The weights in our layout, which is plain safetensors: the one file that all of its readers share."""
        return self.folder / SAFETENSORS

    @property
    def pickle(self) -> Path:
        """The weights as `torch.save` writes them."""
        return self.folder / "weights.pt"

    @property
    def tensorizer(self) -> Path:
        """The weights as tensorizer writes them."""
        return self.folder / "weights.tensors"

    @property
    def manifest(self) -> Manifest:
        """What our loader knows of the checkpoint."""
        return read_manifest(self.folder)


def files_of(shape: Shape) -> Files:
    """Return the files of a shape; the first time they are written, which takes three times its bytes."""
    folder = ASSETS / "load" / shape.name
    if not folder.exists():
        with staged(folder) as made:
            made.mkdir()
            _write(shape, Files(made))
    return Files(folder)


def _write(shape: Shape, files: Files) -> None:
    import torch
    from tensorizer import TensorSerializer

    torch.manual_seed(0)
    tensors = {
        name: torch.empty(sizes, dtype=torch.bfloat16).normal_(std=STANDARD_DEVIATION)
        for name, sizes in shape.tensors().items()
    }
    (files.folder / "config.json").write_text(json.dumps(shape.config()))
    weights = _write_safetensors(files, tensors)
    (files.folder / FILE_NAME).write_text(_manifest(shape, weights).model_dump_json())
    torch.save(tensors, files.pickle)
    serializer = TensorSerializer(str(files.tensorizer))
    serializer.write_state_dict(tensors)
    serializer.close()


def _write_safetensors(files: Files, tensors: dict[str, torch.Tensor]) -> WeightsFile:
    (written,) = write_weights(files.folder, tensors).files
    (files.folder / written.path).rename(files.safetensors)  # as from_pretrained looks for it
    return written.model_copy(update={"path": SAFETENSORS})


def _manifest(shape: Shape, weights: WeightsFile) -> Manifest:
    return Manifest(
        name=f"bench-{shape.name}",
        task="generate",
        architecture="LlamaForCausalLM",
        dtype="bfloat16",
        bytes=shape.bytes,
        context_tokens=2048,
        license=None,
        source="random numbers",
        source_digest=weights.sha256,
        files=(),
        weights=(weights,),
        created_at=0.0,
    )
