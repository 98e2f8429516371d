"""Options of the transformers engine. Imports nothing heavy: the gateway checks options with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from quickthaw.errors import InvalidRequest
from quickthaw_backends.engines.options import reject_unknown

Compute = Literal["auto", "steady", "mixed", "native"]
Dtype = Literal["auto", "bfloat16", "float16", "float32"]

_COMPUTE = ("auto", "steady", "mixed", "native")
_DTYPES = ("auto", "bfloat16", "float16", "float32")


@dataclass(frozen=True, slots=True)
class TransformersOptions:
    """How the model is computed and batched."""

    exact: bool = True  # on a CPU a token does not depend on what is computed with it: see `linear`
    compute: Compute = "auto"  # auto: steady; native: by the model's own modules; see `linear`
    dtype: Dtype = "auto"  # of the weights in memory; auto: as stored, mapped without a copy
    max_batch: int = 64  # requests in one step
    step_tokens: int = 64  # most tokens in a step that others decode in
    prefill_tokens: int = 512  # most tokens in a step in which nobody decodes
    context_tokens: int | None = None  # None: what the model was made for

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> TransformersOptions:
        """Read options; InvalidRequest names the wrong one and what it may be."""
        reject_unknown(options, cls.__dataclass_fields__, "transformers")
        _check_choice(options, "compute", _COMPUTE)
        _check_choice(options, "dtype", _DTYPES)
        if not isinstance(options.get("exact", True), bool):
            raise InvalidRequest(f"option exact is true or false, not {options['exact']!r}", param="options.exact")
        for name in ("max_batch", "step_tokens", "prefill_tokens", "context_tokens"):
            _check_count(options, name)
        return cls(**options)


def _check_choice(options: Mapping[str, Any], name: str, known: tuple[str, ...]) -> None:
    if name in options and options[name] not in known:
        raise InvalidRequest(
            f"option {name} is one of {', '.join(known)}, not {options[name]!r}", param=f"options.{name}"
        )


def _check_count(options: Mapping[str, Any], name: str) -> None:
    value = options.get(name, 1)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidRequest(f"option {name} must be a positive whole number, not {value!r}", param=f"options.{name}")
