"""Answers with calls, as the families write them."""

from __future__ import annotations

from typing import Any

Calls = tuple[tuple[str, str], ...]


def _tool(name: str, required: list[str]) -> dict[str, Any]:
    properties = {"a": {"type": "integer"}, "b": {"type": "string"}}
    parameters = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


TOOLS = (_tool("f", ["a"]), _tool("g", []))
_F, _G = ("f", '{"a": 1, "b": "ü, )"}'), ("g", "{}")

EXACT: tuple[tuple[str, str, Calls], ...] = (
    (
        "hermes",
        '<tool_call>\n{"name": "f", "arguments": {"a": 1, "b": "ü, )"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call>',
        (_F, _G),
    ),
    (
        "qwen_coder",
        "<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n<parameter=b>\nü, )\n</parameter>\n</function>\n"
        "</tool_call>\n<tool_call>\n<function=g>\n</function>\n</tool_call>",
        (_F, _G),
    ),
    (
        "llama",
        '{"name": "f", "parameters": {"a": 1, "b": "ü, )"}}; {"name": "g", "parameters": {}}',
        (_F, _G),
    ),
    ("json", '{"name": "f", "arguments": {"a": 1, "b": "ü, )"}}\n{"name": "g", "arguments": {}}', (_F, _G)),
    ("pythonic", '[f(a=1, b="ü, )"), g()]', (_F, _G)),
    (
        "mistral",
        '[TOOL_CALLS][{"name": "f", "arguments": {"a": 1, "b": "ü, )"}}, {"name": "g", "arguments": {}}]',
        (_F, _G),
    ),
    ("mistral_named", '[TOOL_CALLS]f[ARGS]{"a": 1, "b": "ü, )"}[TOOL_CALLS]g[ARGS]{}', (_F, _G)),
    (
        "deepseek",
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{"a": 1, "b": "ü, )"}\n```'
        "<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>g\n```json\n{}\n```<｜tool▁call▁end｜>"
        "<｜tool▁calls▁end｜>",
        (_F, _G),
    ),
    (
        "deepseek_plain",
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{"a": 1, "b": "ü, )"}<｜tool▁call▁end｜>'
        "<｜tool▁call▁begin｜>g<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        (_F, _G),
    ),
)
"""Form, an answer as its grammar asks for it, and the calls."""

_LOOSE: tuple[tuple[str, str, str, Calls], ...] = (
    ("hermes", 'Let me see. <tool_call>{"name":"g"}</tool_call> Done.', "Let me see. Done.", (_G,)),
    ("hermes", '<tool_call>\n{"name": "g", "arguments": {}}\n{"name": "g", "arguments": {}}', "", (_G, _G)),
    ("hermes", '\n\n<tool_call>{"name": "g"}', "", (_G,)),  # the closing mark never came
    (
        "qwen_coder",
        "<tool_call><function=f><parameter=c>[1, 2]</parameter><parameter=d>\nsome </x>\n</parameter>"
        '<parameter=b>if "x":\n\t<y>\n\n</parameter></function></tool_call>',
        "",
        (("f", '{"c": [1, 2], "d": "some </x>", "b": "if \\"x\\":\\n\\t<y>\\n"}'),),
    ),
    ("qwen_coder", "<tool_call>\n<function=h>\n", "<tool_call>\n<function=h>\n", ()),
    (
        "harmony",
        "<|channel|>commentary<|message|>Let me see.<|end|><|start|>assistant<|channel|>commentary to=functions.f "
        '<|constrain|>json<|message|>{"a": 1}<|call|>',
        "Let me see.",
        (("f", '{"a": 1}'),),
    ),
    ("harmony", "to=functions.g<|channel|>commentary json<|message|>{}", "", (_G,)),
    ("harmony", "<|start|>assistant<|channel|>final<|message|>Rome < x", "Rome < x", ()),
    ("harmony", "Mail to=functions.org", "Mail to=functions.org", ()),
    ("llama", '<|python_tag|>{"type": "function", "name": "g", "parameters": {}}', "", (_G,)),
    ("llama", 'Sure: {"name": "g", "parameters": {}}', 'Sure: {"name": "g", "parameters": {}}', ()),  # only at once
    ("llama", '{"name": "g"}', '{"name": "g"}', ()),  # JSON that is an answer
    ("json", '[{"name": "g", "arguments": {}}, {"name": "g", "parameters": {}}]', "", (_G, _G)),
    ("pythonic", "<|python_start|>[ g ( ) ,f( a = 2 )]<|python_end|>", "", (_G, ("f", '{"a": 2}'))),
    (
        "pythonic",
        "[f(a=-1, b='it''s', c=[True, None, {'k': 1.5}], d=true)]",
        "",
        (("f", '{"a": -1, "b": "its", "c": [true, null, {"k": 1.5}], "d": true}'),),
    ),
    ("pythonic", "[f(a=g)] there", "[f(a=g)] there", ()),
    ("pythonic", "[f(1)]", "[f(1)]", ()),
    ("pythonic", "[1] says so", "[1] says so", ()),
    ("mistral", 'Hm.[TOOL_CALLS] [{"name": "g", "arguments": {}, "id": "abcdefghi"}]', "Hm.", (_G,)),
    ("mistral", "[TOOL_CALLS]g{}", "", (_G,)),
    ("mistral_named", "[TOOL_CALLS]g[CALL_ID]abcdefghi[ARGS]{}", "", (_G,)),
    ("mistral_named", "[TOOL_CALLS]h[ARGS]{}", "[TOOL_CALLS]h[ARGS]{}", ()),
)
"""Form, an answer, its text and its calls."""

EXAMPLES: tuple[tuple[str, str, str, Calls], ...] = (
    *((form, text, "", calls) for form, text, calls in EXACT),
    *_LOOSE,
)
