"""The form of Hermes and Qwen: <tool_call>{"name": ..., "arguments": {...}}</tool_call>."""

from __future__ import annotations

from quickthaw_backends.engines.tool_forms import lark
from quickthaw_backends.engines.tool_forms.form import Asked, Form
from quickthaw_backends.engines.tool_forms.json_call import JsonCall

_OPENING, _CLOSING = "<tool_call>", "</tool_call>"


def _rules(asked: Asked) -> str:
    opening, closing = asked.marker(_OPENING), asked.marker(_CLOSING)
    following = asked.repeated(rf'"\n" {opening} call')
    call = rf'call: "\n" object "\n" {closing}'
    return f"calls: call {following}\n{call}\n{lark.call_objects(asked.functions, 'arguments')}"


HERMES = Form(
    "hermes",
    block=JsonCall,
    rules=_rules,
    openings=(_OPENING,),
    closings=(_CLOSING,),
    specials=(_OPENING, _CLOSING),
    again="{",
)
