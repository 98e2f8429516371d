"""The form of DeepSeek V3, R1 and V3.1: marks of its own around the name and the arguments."""

from __future__ import annotations

import re
from dataclasses import replace

from quickthaw_backends.engines.tool_forms import lark
from quickthaw_backends.engines.tool_forms.form import Asked, Form, Tools
from quickthaw_backends.engines.tool_forms.named_call import NamedCall
from quickthaw_backends.engines.tool_forms.piece import Gathering

_CALLS, _CALLS_END = "<\uff5ctool\u2581calls\u2581begin\uff5c>", "<\uff5ctool\u2581calls\u2581end\uff5c>"
_CALL, _CALL_END = "<\uff5ctool\u2581call\u2581begin\uff5c>", "<\uff5ctool\u2581call\u2581end\uff5c>"
_SEPARATOR = "<\uff5ctool\u2581sep\uff5c>"
_FENCE = "```"
_HEAD = re.compile(
    rf"(?:{_CALL}\s*)?(?:function{_SEPARATOR}(?P<fenced>[^\s<]+)\s*{_FENCE}json|(?P<plain>[^\s<]+)\s*{_SEPARATOR})"
)


def _block(tools: Tools, gathering: Gathering) -> NamedCall:
    return NamedCall(tools, gathering, _HEAD)


def _rules(asked: Asked, head: str, tail: str) -> str:
    """Return the rules of calls whose head and tail are given as words, NAME standing for the name."""
    indices = range(len(asked.functions))
    marks = {text: asked.marker(text) for text in (_CALL, _CALL_END, _CALLS_END)}
    names = [function["name"] for function in asked.functions]
    calls = [
        f"call_{i}: {marks[_CALL]} {head.replace('NAME', names[i])} arguments_{i} {tail} {marks[_CALL_END]}"
        for i in indices
    ]
    following = asked.repeated(r'"\n"? call')
    call = " | ".join(f"call_{i}" for i in indices)
    first = f"calls: call {following} {marks[_CALLS_END]}"
    return "\n".join([first, f"call: {call}", *calls, lark.arguments(asked.functions)])


def _fenced_rules(asked: Asked) -> str:
    head = f'"function" {asked.marker(_SEPARATOR)} "NAME\\n{_FENCE}json\\n"'
    return _rules(asked, head, rf'"\n{_FENCE}"')


def _plain_rules(asked: Asked) -> str:
    return _rules(asked, f'"NAME" {asked.marker(_SEPARATOR)}', "")


DEEPSEEK = Form(
    "deepseek",
    block=_block,
    rules=_fenced_rules,
    openings=(_CALLS, _CALL),
    closings=(_FENCE, _CALL_END, _CALLS_END),
    specials=(_CALLS, _CALLS_END, _CALL, _CALL_END, _SEPARATOR),
)
DEEPSEEK_PLAIN = replace(DEEPSEEK, name="deepseek_plain", rules=_plain_rules)
