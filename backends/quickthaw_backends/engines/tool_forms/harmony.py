"""The form of gpt-oss: everything is said in a channel, and a call goes to `functions.<name>`."""

from __future__ import annotations

import re

from quickthaw_backends.engines.tool_forms import lark
from quickthaw_backends.engines.tool_forms.form import Asked, Form, Tools
from quickthaw_backends.engines.tool_forms.named_call import NamedCall
from quickthaw_backends.engines.tool_forms.piece import Gathering

_TURN, _CHANNEL, _MESSAGE, _CONSTRAIN = "<|start|>assistant", "<|channel|>", "<|message|>", "<|constrain|>"
_FINAL, _PREAMBLE = f"{_CHANNEL}final{_MESSAGE}", f"{_CHANNEL}commentary{_MESSAGE}"
_TO = "to=functions."
_HEAD = re.compile(r"([^\s<]+)\s*(?:<\|channel\|>commentary)?\s*(?:<\|constrain\|>)?\s*(?:json)?\s*<\|message\|>")


def _block(tools: Tools, gathering: Gathering) -> NamedCall:
    return NamedCall(tools, gathering, _HEAD)


def _rules(asked: Asked) -> str:
    """Return the rules of one call: the turn ends with it."""
    head = asked.marker(f" {_CONSTRAIN}json{_MESSAGE}")
    names = [lark.literal(function["name"]) for function in asked.functions]
    ways = " | ".join(f"{name} {head} arguments_{index}" for index, name in enumerate(names))
    return f"calls: {ways}\n{lark.arguments(asked.functions)}"


HARMONY = Form(
    "harmony",
    block=_block,
    rules=_rules,
    openings=(
        f"{_TURN}{_CHANNEL}commentary {_TO}",
        f"{_CHANNEL}commentary {_TO}",
        f"{_TURN} {_TO}",
        _TO,
    ),
    asked=2,
    closings=("<|call|>", "<|end|>"),
    specials=("<|start|>", _CHANNEL, _MESSAGE, _CONSTRAIN, "<|end|>", "<|call|>"),
    silent=(f"{_TURN}{_FINAL}", _FINAL, f"{_TURN}{_PREAMBLE}", _PREAMBLE, "<|end|>"),
    leads=(f"{_TURN}{_FINAL}", _FINAL),
)
