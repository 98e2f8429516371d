"""What a model needs of its cache, learnt from one pass on the meta device: shapes without numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from quickthaw_backends.engines.transformers_engine import attention
from quickthaw_backends.engines.transformers_engine.attention import RaggedBatch, Segment
from quickthaw_backends.engines.transformers_engine.kv_cache import CacheShape, Run, StepCache

_LAYER_TYPES = frozenset({"full_attention", "sliding_attention"})
_PROBE_TOKENS = 3


@dataclass(frozen=True, slots=True)
class Shape:
    """`kv_elements`: numbers a token takes in the cache; `cache`: its shape, where ragged attention serves it."""

    kv_elements: int
    cache: CacheShape | None = None


class _Recorder(RaggedBatch):
    """A batch without requests that counts what each layer stores and where attention was called."""

    def __init__(self) -> None:
        super().__init__([])
        self.layers: dict[int, tuple[Run, Run]] = {}
        self.windows: list[int | None] = []  # of each call

    def attend(self, window: int | None) -> list[Segment]:
        self.windows.append(window)
        return []

    def store(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        self.layers[layer] = (keys.shape[1], keys.shape[3]), (values.shape[1], values.shape[3])


def probe(model: PreTrainedModel) -> Shape:
    """Run three tokens through a skeleton on the meta device and see what reaches cache and attention."""
    config = model.config.get_text_config()
    layers = config.num_hidden_layers
    types = getattr(config, "layer_types", None)
    if model._supports_attention_backend and set(types or ()) <= _LAYER_TYPES:
        recorder = _Recorder()
        sliding = types.count("sliding_attention") if types else layers * bool(getattr(config, "sliding_window", None))
        complete = (
            _run(model, recorder) and [*range(layers)] == sorted(recorder.layers) and layers == len(recorder.windows)
        )
        if complete and sliding == sum(window is not None for window in recorder.windows):
            cache = CacheShape([recorder.layers[layer] for layer in sorted(recorder.layers)])
            return Shape(cache.elements, cache)
    return Shape(_estimate(config))


def _run(model: PreTrainedModel, recorder: _Recorder) -> bool:
    """Return whether the model can run so."""
    tokens = torch.zeros((1, _PROBE_TOKENS), dtype=torch.long, device="meta")
    attention.current.batch = recorder
    try:
        with torch.inference_mode():
            model(
                input_ids=tokens, position_ids=tokens.clone(), past_key_values=StepCache(recorder.store), use_cache=True
            )
    except Exception:  # noqa: BLE001 (whatever a model raises, it says that it cannot run this way)
        return False
    finally:
        attention.current.batch = None
    return True


def _estimate(config: Any) -> int:
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    dimension = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * dimension)
