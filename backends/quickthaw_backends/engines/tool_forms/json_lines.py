"""Calls as bare JSON at the answer's beginning: the form of Llama 3, and of templates that speak of no other."""

from __future__ import annotations

from quickthaw_backends.engines.tool_forms import lark
from quickthaw_backends.engines.tool_forms.form import Asked, Form, Tools
from quickthaw_backends.engines.tool_forms.json_call import JsonCall
from quickthaw_backends.engines.tool_forms.json_scanner import SPACE, Step
from quickthaw_backends.engines.tool_forms.piece import Gathering

_BEGINNING = r'\[?\{"name"'


class ListedCall:
    """Reads an object, and the bracket of a list of objects before it."""

    def __init__(self, tools: Tools, gathering: Gathering) -> None:
        self._call = JsonCall(tools, gathering, needs_arguments=True)
        self._before = True  # whether nothing came but space
        self._begun = False

    def push(self, character: str) -> Step:
        """Take the next character: DONE with the object's last brace."""
        if self._before and (character in SPACE or character == "["):
            self._before = character in SPACE
            return Step.MORE
        self._before = False
        return self._call.push(character)


def _llama_rules(asked: Asked) -> str:
    following = asked.repeated('"; " object')
    objects = lark.call_objects(asked.functions, "parameters", apart=asked.beside_json)
    return f"calls: object {following}\n{objects}"


def _json_rules(asked: Asked) -> str:
    following = asked.repeated(r'"\n" object')
    objects = lark.call_objects(asked.functions, "arguments", apart=asked.beside_json)
    return f"calls: object {following}\n{objects}"


LLAMA = Form(
    "llama",
    block=ListedCall,
    rules=_llama_rules,
    openings=("<|python_tag|>",),
    closings=(";", ",", "]"),
    specials=("<|python_tag|>",),
    first="{[",
    beginning=_BEGINNING,
    again="{",
)

JSON = Form(
    "json", block=ListedCall, rules=_json_rules, closings=(";", ",", "]"), first="{[", beginning=_BEGINNING, again="{"
)
