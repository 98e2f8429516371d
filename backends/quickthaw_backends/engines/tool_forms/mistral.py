"""The forms of Mistral: [TOOL_CALLS][{"name": ..., "arguments": {...}}], and newer [TOOL_CALLS]name[ARGS]{...}."""

from __future__ import annotations

import re
from dataclasses import replace

from quickthaw_backends.engines.tool_forms import lark
from quickthaw_backends.engines.tool_forms.form import Asked, Block, Form, Tools
from quickthaw_backends.engines.tool_forms.json_call import JsonCall
from quickthaw_backends.engines.tool_forms.json_scanner import SPACE, Step
from quickthaw_backends.engines.tool_forms.named_call import NamedCall
from quickthaw_backends.engines.tool_forms.piece import Gathering

_OPENING, _ARGUMENTS, _ID = "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"
_HEAD = re.compile(r"(?P<name>[^\s\[{]+)\s*(?:\[CALL_ID\][^\[]*)?(?:\[ARGS\])?")


class MistralCall:
    """Reads a call in whichever of the two ways it is written."""

    def __init__(self, tools: Tools, gathering: Gathering) -> None:
        self._tools, self._gathering = tools, gathering
        self._call: Block | None = None

    def push(self, character: str) -> Step:
        """Take the next character: DONE with the call's last brace."""
        if self._call is not None:
            return self._call.push(character)
        if character in SPACE:
            return Step.MORE
        self._call = self._written(character)
        return Step.MORE if character == "[" else self._call.push(character)

    def _written(self, first: str) -> Block:
        if first in "[{":
            return JsonCall(self._tools, self._gathering)
        return NamedCall(self._tools, self._gathering, _HEAD)


def _list_rules(asked: Asked) -> str:
    following = asked.repeated('", " object')
    objects = lark.call_objects(asked.functions, "arguments")
    return f'calls: "[" object {following} "]"\n{objects}'


def _named_rules(asked: Asked) -> str:
    indices = range(len(asked.functions))
    call = " | ".join(f"call_{index}" for index in indices)
    names = [lark.literal(function["name"]) for function in asked.functions]
    calls = [f"call_{i}: {names[i]} {asked.marker(_ARGUMENTS)} arguments_{i}" for i in indices]
    following = asked.repeated(f"{asked.marker(_OPENING)} call")
    return "\n".join([f"calls: call {following}", f"call: {call}", *calls, lark.arguments(asked.functions)])


MISTRAL = Form(
    "mistral",
    block=MistralCall,
    rules=_list_rules,
    openings=(_OPENING,),
    closings=(",", "]"),
    specials=(_OPENING, _ARGUMENTS, _ID),
    again="{",
    short_ids=True,
)
MISTRAL_NAMED = replace(MISTRAL, name="mistral_named", rules=_named_rules)
