"""How tokens are chosen, by OpenAI's, vLLM's and llama.cpp's names, as fields of Sampling. Pure."""

from __future__ import annotations

from typing import Any

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.openai.schema import OpenAIRequest

_SAME = (
    "max_tokens", "temperature", "top_p", "top_k", "min_p", "n", "stop", "seed", "frequency_penalty",
    "presence_penalty", "repetition_penalty", "ignore_eos", "min_tokens", "stop_token_ids", "truncate_prompt_tokens",
)  # fmt: skip
_RENAMED = {
    "n_predict": "max_tokens",
    "repeat_penalty": "repetition_penalty",
    "include_stop_str_in_output": "include_stop",
}


def sampling_of(request: OpenAIRequest) -> dict[str, Any]:
    """Return the fields of Sampling that a request sets, but for its structure."""
    found = {name: value for name in _SAME if (value := getattr(request, name)) is not None}
    if found.get("top_k") == -1:
        found["top_k"] = 0
    for name, ours in _RENAMED.items():
        if (value := getattr(request, name)) is not None:
            found.setdefault(ours, value)
    if request.logit_bias:
        found["logit_bias"] = _biases(request.logit_bias)
    return found


def _biases(sent: dict[str, float] | list[tuple[int, float]]) -> dict[int, float]:
    if isinstance(sent, list):
        return dict(sent)
    strange = next((token for token in sent if not (token.isascii() and token.isdigit())), None)
    if strange is not None:
        raise InvalidRequest(f"logit_bias: {strange[:50]!r} is not a token id", param="logit_bias")
    return {int(token): value for token, value in sent.items()}
