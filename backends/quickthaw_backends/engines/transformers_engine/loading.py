"""A model from a checkpoint: a skeleton without memory, and weights mapped into it."""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedModel
from transformers.initialization import no_init_weights

from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.errors import StartFailed

_DTYPES = {
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "F32": torch.float32,
    "F64": torch.float64,
    "I64": torch.int64,
    "I32": torch.int32,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def build_skeleton(path: Path, manifest: Manifest, attention: str) -> PreTrainedModel:
    """Build the model of a checkpoint's folder on the meta device: no memory, no numbers."""
    config = AutoConfig.from_pretrained(path, local_files_only=True)
    kind: Any = AutoModel if manifest.task == "embed" else AutoModelForCausalLM
    dtype = getattr(torch, manifest.dtype)
    with torch.device("meta"), no_init_weights():
        model: PreTrainedModel = kind.from_config(config, attn_implementation=attention, dtype=dtype)
    model.eval()
    model.requires_grad_(False)
    return model


def map_tensors(file: Path) -> dict[str, torch.Tensor]:
    """Map a safetensors file; the tensors share its pages with every process that maps it. Nothing is read yet.

    The mapping is private and copy-on-write, so that a stray write reaches neither the file nor other processes.
    """
    with file.open("rb") as opened:
        size = file.stat().st_size
        mapping = mmap.mmap(opened.fileno(), size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    (header_bytes,) = struct.unpack("<Q", mapping[:8])
    header: dict[str, Any] = json.loads(mapping[8 : 8 + header_bytes])
    header.pop("__metadata__", None)
    return {name: _view(mapping, 8 + header_bytes, entry, name) for name, entry in header.items()}


def _view(mapping: mmap.mmap, base: int, entry: Mapping[str, Any], name: str) -> torch.Tensor:
    begin, end = entry["data_offsets"]
    if entry["dtype"] not in _DTYPES:
        raise StartFailed(f"tensor {name!r} has type {entry['dtype']}, which this engine does not know")
    dtype = _DTYPES[entry["dtype"]]
    if base + end > len(mapping):
        raise StartFailed(f"the file is cut off: tensor {name!r} ends at byte {base + end:,} of {len(mapping):,}")
    if begin == end:
        return torch.empty(entry["shape"], dtype=dtype)
    flat = torch.frombuffer(mapping, dtype=dtype, count=(end - begin) // dtype.itemsize, offset=base + begin)
    return flat.view(entry["shape"])


def assign_weights(model: PreTrainedModel, tensors: Mapping[str, torch.Tensor], tied: Mapping[str, str]) -> None:
    """Put the tensors into the skeleton, without a copy, and rebuild what is not stored.

    `tied` names aliases of tensors. Raises StartFailed for a tensor that is missing or has the wrong shape.
    """
    named = {**tensors, **{alias: tensors[name] for alias, name in tied.items() if name in tensors}}
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    named = {name: tensor for name, tensor in named.items() if name in expected}
    for name, tensor in named.items():
        if tensor.shape != expected[name]:
            raise StartFailed(f"tensor {name!r} is {list(tensor.shape)}, the model needs {list(expected[name])}")
    model.load_state_dict(named, strict=False, assign=True)
    model.requires_grad_(False)
    model.tie_weights()
    missing = sorted(name for name, parameter in model.named_parameters() if parameter.is_meta)
    if missing:
        raise StartFailed(f"the weights lack {len(missing)} tensors that the model needs: {', '.join(missing[:5])}")
    _rebuild_buffers(model)


def _rebuild_buffers(model: PreTrainedModel) -> None:
    """Compute the buffers that checkpoints do not store, such as rotary frequencies, by the model's own code."""
    for module in model.modules():
        on_meta = [name for name, buffer in module.named_buffers(recurse=False) if buffer.is_meta]
        for name in on_meta:
            buffer = module.get_buffer(name)
            module.register_buffer(name, torch.empty_like(buffer, device="cpu"), persistent=False)
        for parameter in module.parameters(recurse=False):
            vars(parameter)["_is_hf_initialized"] = True  # so that _init_weights leaves it alone
        if on_meta:
            model._init_weights(module)
