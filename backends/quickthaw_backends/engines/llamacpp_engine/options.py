"""Options of the engine llamacpp. Imports nothing heavy: the gateway checks options with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quickthaw.errors import InvalidRequest
from quickthaw_backends.engines.options import reject_unknown

_FLAGS = ("exact", "repack")
_COUNTS = ("max_batch", "step_tokens", "prefill_tokens", "context_tokens", "kv_tokens")
MOST_REQUESTS = 128


@dataclass(frozen=True, slots=True)
class LlamaCppOptions:
    """How the model is computed and batched."""

    exact: bool = True  # keys and values in types for which a token does not depend on what is computed with it
    repack: bool = False  # copy weights into an order that is faster for long prompts; each template holds a copy then
    max_batch: int = 32  # requests in one step
    step_tokens: int = 64  # most tokens in a step that others decode in
    prefill_tokens: int = 512  # most tokens in a step in which nobody decodes
    context_tokens: int | None = None  # None: what the model was made for, as far as `kv_tokens` reaches
    kv_tokens: int | None = None  # room of the KV cache, for all requests together; None: see `model.kv_room`

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> LlamaCppOptions:
        """Read options; InvalidRequest names the wrong one and what it may be."""
        reject_unknown(options, cls.__dataclass_fields__, "llamacpp")
        for name in _FLAGS:
            if not isinstance(options.get(name, True), bool):
                raise InvalidRequest(f"option {name} is true or false, not {options[name]!r}", param=f"options.{name}")
        for name in _COUNTS:
            _check_count(options, name)
        if options.get("max_batch", 1) > MOST_REQUESTS:
            raise InvalidRequest(f"option max_batch is at most {MOST_REQUESTS}", param="options.max_batch")
        return cls(**options)


def _check_count(options: Mapping[str, Any], name: str) -> None:
    value = options.get(name, 1)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidRequest(f"option {name} must be a positive whole number, not {value!r}", param=f"options.{name}")
