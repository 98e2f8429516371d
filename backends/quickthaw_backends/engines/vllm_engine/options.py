"""Options of the vllm engine. Imports nothing heavy: the gateway checks options with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from quickthaw.errors import InvalidRequest
from quickthaw_backends.engines.options import reject_unknown

Dtype = Literal["auto", "bfloat16", "float16", "float32"]

_DTYPES = ("auto", "bfloat16", "float16", "float32")


@dataclass(frozen=True, slots=True)
class VllmOptions:
    """What is handed on to vLLM. How much memory the KV cache gets is the instance's limit, not an option."""

    dtype: Dtype = "auto"  # what is computed in; auto: as stored, float32 as bfloat16 or float16 by vLLM's own rule
    max_batch: int = 64  # requests in one step
    step_tokens: int | None = None  # most tokens in one step; None: what vLLM finds right
    context_tokens: int | None = None  # None: what the model was made for, less where the KV cache is too small
    enforce_eager: bool | None = None  # no compiled graphs; None: on a CPU, where compiling takes longer than it saves
    prefix_caching: bool = True  # keys and values of prompts' beginnings are shared between requests
    can_sleep: bool = True  # stopped, an instance gives back what its device has, and waits for the next start

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> VllmOptions:
        """Read options; InvalidRequest names the wrong one and what it may be."""
        reject_unknown(options, cls.__dataclass_fields__, "vllm")
        if options.get("dtype", "auto") not in _DTYPES:
            raise InvalidRequest(
                f"option dtype is one of {', '.join(_DTYPES)}, not {options['dtype']!r}", param="options.dtype"
            )
        for name in ("enforce_eager", "prefix_caching", "can_sleep"):
            if not isinstance(options.get(name, True), bool):
                raise InvalidRequest(f"option {name} is true or false, not {options[name]!r}", param=f"options.{name}")
        for name in ("max_batch", "step_tokens", "context_tokens"):
            _check_count(options, name)
        return cls(**options)


def _check_count(options: Mapping[str, Any], name: str) -> None:
    value = options.get(name, 1)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidRequest(f"option {name} must be a positive whole number, not {value!r}", param=f"options.{name}")
