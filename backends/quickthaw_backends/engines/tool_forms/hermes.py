"""The form of Hermes and Qwen: <tool_call>{"name": ..., "arguments": {...}}</tool_call>."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quickthaw_backends.engines.tool_forms import lark
from quickthaw_backends.engines.tool_forms.form import Form
from quickthaw_backends.engines.tool_forms.json_call import JsonCall

_OPENING, _CLOSING = "<tool_call>", "</tool_call>"


def _rules(tools: Sequence[Mapping[str, Any]], specials: Mapping[str, int], parallel: bool) -> str:
    opening, closing = (lark.marker(text, specials) for text in (_OPENING, _CLOSING))
    following = rf'("\n" {opening} call)*' if parallel else ""
    return f'calls: call {following}\ncall: "\\n" object "\\n" {closing}\n{lark.call_rules(tools, "arguments")}'


HERMES = Form(
    "hermes",
    block=JsonCall,
    rules=_rules,
    openings=(_OPENING,),
    closings=(_CLOSING,),
    specials=(_OPENING, _CLOSING),
    again="{",
)
