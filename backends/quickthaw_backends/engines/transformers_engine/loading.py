"""A model from a checkpoint: a skeleton without memory, and weights put into it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedModel
from transformers.initialization import no_init_weights

from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.errors import StartFailed


def refuse_unknown(manifest: Manifest) -> None:
    """Raise StartFailed for a GGUF checkpoint that transformers could make no configuration and tokenizer of."""
    if manifest.weights_format == "gguf" and not manifest.files:
        reason = f"it does not know the architecture {manifest.architecture} or its tokenizer"
        if manifest.task != "generate":
            reason = f"of GGUF it takes generating models only, and this one is for {manifest.task!r}"
        raise StartFailed(
            f"engine transformers cannot run the GGUF checkpoint {manifest.name!r}: {reason}; deploy it with "
            "`engine` llamacpp"
        )


def build_skeleton(path: Path, manifest: Manifest, attention: str) -> PreTrainedModel:
    """Build the model of a checkpoint's folder on the meta device: no memory, no numbers."""
    config = AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    kind: Any = AutoModel if manifest.task == "embed" else AutoModelForCausalLM
    dtype = getattr(torch, manifest.dtype)
    with torch.device("meta"), no_init_weights():
        model: PreTrainedModel = kind.from_config(
            config, attn_implementation=attention, dtype=dtype, trust_remote_code=False
        )
    model.eval()
    model.requires_grad_(False)
    return model


def with_aliases(tensors: Mapping[str, torch.Tensor], tied: Mapping[str, str]) -> dict[str, torch.Tensor]:
    """Return the tensors by all of their names; `tied` maps aliases to the names that are stored."""
    return {**tensors, **{alias: tensors[name] for alias, name in tied.items() if name in tensors}}


def assign_weights(model: PreTrainedModel, tensors: Mapping[str, torch.Tensor], tied: Mapping[str, str]) -> None:
    """Put the tensors into the skeleton, without a copy, and rebuild what is not stored.

    `tied` names aliases of tensors. Raises StartFailed for a tensor that is missing or has the wrong shape.
    """
    named = with_aliases(tensors, tied)
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
