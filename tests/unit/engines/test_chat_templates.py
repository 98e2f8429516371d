"""Conversations rendered: what templates are given, what they have no place for, and how the answer is read."""

from __future__ import annotations

from typing import Any

import pytest

from quickthaw.errors import InvalidRequest
from quickthaw.generation import ChatOptions
from quickthaw_backends.engines.chat_templates import ChatTemplate, Rendered
from quickthaw_platform.contracts import Reading
from tests.unit.engines import template_sources as sources

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather <now>",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        "strict": True,
    },
}
SHOWN = '"name": "weather", "description": "Weather <now>", "parameters": {"type": "object", "properties": {"city": '
ASKED: dict[str, Any] = {"role": "user", "content": "Weather in Köln?"}
CALLED: dict[str, Any] = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "abcdefghi", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln"}'}}
    ],
}
RESULT: dict[str, Any] = {"role": "tool", "tool_call_id": "abcdefghi", "content": "rain"}
ROUND: list[dict[str, Any]] = [ASKED, CALLED, RESULT, {"role": "user", "content": "And tomorrow?"}]


def template(source: str) -> ChatTemplate:
    return ChatTemplate(source, {"bos_token": "<s>", "eos_token": "</s>"})


def rendered(source: str, messages: list[dict[str, Any]], **options: Any) -> Rendered:
    return template(source).render(messages, ChatOptions(**options))


def reading(source: str, **options: Any) -> Reading:
    found = rendered(source, [ASKED], **options).reading
    assert found is not None
    return found


def refused(source: str, messages: list[dict[str, Any]], **options: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        rendered(source, messages, **options)
    return caught.value


@pytest.mark.parametrize(
    ("source", "shows", "form"),
    [
        (sources.PLAIN, False, "hermes"),  # taught
        (sources.QWEN, True, "hermes"),
        (sources.MISTRAL, True, "mistral"),
        (sources.MISTRAL.replace("[TOOL_CALLS][", "[TOOL_CALLS]name[ARGS]"), True, "mistral_named"),
        (sources.LLAMA, True, "llama"),
        (sources.LLAMA.replace('{"name": function', "[func_name1(a=1)] {"), True, "pythonic"),
        (sources.LLAMA.replace('"parameters":', ""), True, "json"),
        (sources.LLAMA + "{# <｜tool▁sep｜> #}", True, "deepseek_plain"),
        (sources.LLAMA + "{# function<｜tool▁sep｜> #}", True, "deepseek"),
        (sources.DEEPSEEK_R1, False, "hermes"),
        ("{% if tools %}{{ raise_exception('no') }}{% endif %}<tool_call>", True, "hermes"),  # asked in vain
    ],
)
def test_a_template_tells_whether_it_shows_tools_and_the_form_of_calls(source: str, shows: bool, form: str) -> None:
    assert template(source).shows_tools is shows
    if "raise_exception('no')" not in source:
        assert reading(source, tools=[WEATHER]).calls == form


@pytest.mark.parametrize("source", [sources.QWEN, sources.MISTRAL, sources.PLAIN])
def test_tools_reach_the_model_as_plain_json(source: str) -> None:
    text = rendered(source, ROUND, tools=[WEATHER]).text
    assert SHOWN in text
    assert "strict" not in text


@pytest.mark.parametrize(
    ("source", "call", "result"),
    [
        (sources.QWEN, '<tool_call>\n{"name": "weather", "arguments": {"city": "Köln"}}\n</tool_call>', "rain"),
        (sources.LLAMA, '{"name": "weather", "parameters": {"city": "Köln"}}', "ipython<|end_header_id|>\n\nrain"),
        (sources.MISTRAL, '"arguments": {"city": "Köln"}, "id": "abcdefghi"}', '{"content": "rain"'),
        (
            sources.PLAIN,
            '<|im_start|>assistant\n<tool_call>\n{"name": "weather", "arguments": {"city": "Köln"}}\n</tool_call>',
            "<|im_start|>user\n<tool_response>\nrain\n</tool_response>",
        ),
    ],
)
def test_earlier_calls_reach_the_model_as_objects(source: str, call: str, result: str) -> None:
    for options in ({}, {"tools": [WEATHER]}):
        text = rendered(source, ROUND, **options).text
        assert call in text
        assert result in text


def test_the_older_form_of_calls_is_read_as_the_newer() -> None:
    old = [
        ASKED,
        {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": '{"city": "Köln"}'}},
        {"role": "function", "name": "weather", "content": "rain"},
        ROUND[-1],
    ]
    text = rendered(sources.MISTRAL, old).text.replace("earlier00", "abcdefghi")
    assert text == rendered(sources.MISTRAL, ROUND).text


def test_a_tool_described_in_a_system_turn_joins_the_one_that_is_there() -> None:
    text = rendered(sources.PLAIN, [{"role": "system", "content": "Be kind."}, ASKED], tools=[WEATHER]).text
    assert text.startswith("<|im_start|>system\nBe kind.\n\nYou may call functions.")
    assert text.count("<|im_start|>system") == 1
    assert text.endswith("<|im_start|>user\nWeather in Köln?<|im_end|>\n<|im_start|>assistant\n")


def test_where_a_template_has_no_system_turn_the_users_first_one_describes_tools() -> None:
    source = sources.MISTRAL.replace("{%- if loop.last and tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}", "{% if 0 %}")
    assert not template(source).shows_tools
    text = rendered(source, [ASKED], tools=[WEATHER]).text
    assert text.startswith("<s>[INST]You may call functions.")
    assert text.endswith("\n\nWeather in Köln?[/INST]")
    assert refused(source, [{"role": "system", "content": "x"}, ASKED], tools=[WEATHER]).param == "messages"


def test_results_that_follow_each_other_are_one_turn() -> None:
    text = rendered(sources.PLAIN, [ASKED, CALLED, RESULT, RESULT]).text
    assert text.count("<|im_start|>user") == 2
    assert "rain\n</tool_response>\n<tool_response>\nrain" in text


def test_no_choice_shows_no_tools_and_reads_no_calls() -> None:
    for source in (sources.PLAIN, sources.QWEN.replace("think>", "x>")):
        assert rendered(source, [ASKED], tools=[WEATHER], tool_choice="none") == rendered(source, [ASKED])
        assert rendered(source, [ASKED]).reading is None


def test_the_reading_says_what_may_be_called() -> None:
    other = {"type": "function", "function": {"name": "news"}}
    found = reading(
        sources.PLAIN,
        tools=[WEATHER, other],
        tool_choice="required",
        allowed_tools=["news"],
        parallel_tool_calls=False,
    )
    assert [tool["function"]["name"] for tool in found.tools] == ["news"]
    assert (found.must_call, found.parallel, found.thoughts) == (True, False, None)
    assert reading(sources.PLAIN, tools=[WEATHER]).tools[0]["function"]["strict"] is True


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [WEATHER, {"type": "function"}]}, "tools[1].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tools": [WEATHER, WEATHER]}, "tools[1].function.name"),
        ({"tools": [{"function": {"name": "a", "description": 1}}]}, "tools[0].function.description"),
        ({"tools": [{"function": {"name": "a", "parameters": {"type": "string"}}}]}, "tools[0].function.parameters"),
        ({"tools": [{"function": {"name": "a", "parameters": [1]}}]}, "tools[0].function.parameters"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [WEATHER], "allowed_tools": ["news"]}, "tool_choice"),
        ({"tools": [WEATHER], "allowed_tools": [], "tool_choice": "required"}, "tool_choice"),
        ({"documents": [{"text": "a"}]}, "documents"),
        ({"reasoning_effort": "high"}, "reasoning_effort"),
        ({"chat_template_kwargs": {"tone": "kind"}}, "chat_template_kwargs.tone"),
        ({"chat_template_kwargs": {"enable_thinking": True}}, "chat_template_kwargs.enable_thinking"),
        ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs.messages"),
        ({"add_generation_prompt": False, "continue_final_message": True}, "continue_final_message"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(options: dict[str, Any], param: str) -> None:
    assert refused(sources.PLAIN, [ASKED], **options).param == param


def test_documents_and_effort_reach_a_template_that_looks_at_them() -> None:
    documents = [{"title": "Atlas", "text": "Rome"}]
    text = rendered(sources.DOCUMENTS, [ASKED], documents=documents, reasoning_effort="high").text
    assert text == "[Atlas: Rome]Weather in Köln?|high|"


def test_not_to_think_is_honoured_by_a_model_that_does_not() -> None:
    plain = rendered(sources.PLAIN, [ASKED])
    for options in ({"reasoning_effort": "none"}, {"chat_template_kwargs": {"enable_thinking": False}}):
        assert rendered(sources.PLAIN, [ASKED], **options) == plain
        assert rendered(sources.QWEN, [ASKED], **options).text.endswith("<think>\n\n</think>\n\n")
        assert rendered(sources.QWEN, [ASKED], **options).reading is None
    assert refused(sources.QWEN, [ASKED], reasoning_effort="high").param == "reasoning_effort"


@pytest.mark.parametrize(
    ("source", "thinking"), [(sources.QWEN, False), (sources.DEEPSEEK_R1, True)]
)  # the model opens its thoughts itself; the template has opened them
def test_thoughts_are_expected_where_the_template_speaks_of_them(source: str, thinking: bool) -> None:
    assert reading(source) == Reading(thoughts="think", thinking=thinking)


def test_earlier_thoughts_reach_the_template() -> None:
    said = {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}
    assert "<think>\nHm.\n</think>\n\nYes." in rendered(sources.QWEN, [ASKED, said, ASKED]).text


def test_channels_are_read_without_tools_too() -> None:
    assert reading(sources.GPT_OSS) == Reading("harmony", thoughts="harmony")
    assert reading(sources.GPT_OSS, tools=[WEATHER], tool_choice="required").must_call
    said = {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}
    assert "<|channel|>analysis<|message|>Hm.<|end|>" in rendered(sources.GPT_OSS, [ASKED, said, ASKED]).text


@pytest.mark.parametrize(
    ("begun", "read"),
    [
        ("It is ", None),
        ("", Reading(thoughts="think")),
        ("<think>It is ", Reading(thoughts="think", thinking=True)),
        ("<think>Hm.</think>It is", None),
    ],
)
def test_the_last_message_can_be_the_beginning_of_the_answer(begun: str, read: Reading | None) -> None:
    messages = [ASKED, {"role": "assistant", "content": begun}]
    found = rendered(sources.QWEN, messages, add_generation_prompt=False, continue_final_message=True)
    assert found.text.endswith(f"<|im_start|>assistant\n{begun}")  # not trimmed, not ended
    assert found.reading == read


def test_a_prompt_need_not_end_where_the_assistant_speaks() -> None:
    assert rendered(sources.PLAIN, [ASKED], add_generation_prompt=False).text.endswith("Köln?<|im_end|>\n")


@pytest.mark.parametrize("messages", [[ASKED], [ASKED, CALLED]])
def test_only_a_text_of_the_assistant_is_continued(messages: list[dict[str, Any]]) -> None:
    options = {"add_generation_prompt": False, "continue_final_message": True}
    assert refused(sources.PLAIN, messages, **options).param == "continue_final_message"
    said = [ASKED, {"role": "assistant", "content": "It is"}]
    assert refused("nothing of it", said, **options).param == "continue_final_message"


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception('roles must alternate') }}",
        "{{ messages.x.y }}",  # UndefinedError
        "{{ 1 // 0 }}",
        "{{ messages[0].content.foo() }}",
        "{{ messages[0].content + 1 }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "{{ ''.__class__.__mro__ }}",  # out of the sandbox
        "{{ messages.append(1) }}",
        "{{ '%d' % 'x' }}",
        "{{ messages | tojson | int / 0 }}",
        "{{ range(10 ** 9) }}",
    ],
)
def test_whatever_a_template_raises_is_a_refusal_of_the_messages(source: str) -> None:
    error = refused(source, [ASKED])
    assert error.param == "messages"
    assert "the chat template refuses the messages" in error.message


def test_a_template_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="chat template cannot be read"):
        ChatTemplate("{% if %}", {})


def test_the_dialect_is_that_of_hugging_face() -> None:
    source = (
        "{% for message in messages %}\n    {% if loop.index > 1 %}\n    {% break %}\n    {% endif %}\n"
        "{% generation %}{{ message | tojson }}{% endgeneration %}{% endfor %}{{ strftime_now('%%') }}{{ bos_token }}"
    )
    assert rendered(source, [{"role": "user", "content": "<é>"}, ASKED]).text == (
        '{"role": "user", "content": "<é>"}%<s>'
    )
