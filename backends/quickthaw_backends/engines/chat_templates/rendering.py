"""A model's chat template: renders a conversation, and says how the answer to it is taken apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jinja2 import TemplateError
from jinja2.meta import find_undeclared_variables

from quickthaw.errors import InvalidRequest
from quickthaw.generation import ChatOptions
from quickthaw_backends.engines.chat_templates.environment import chat_environment
from quickthaw_backends.engines.chat_templates.limits import MAX_TEMPLATE_CHARACTERS, limited_time
from quickthaw_backends.engines.chat_templates.taught import calls_as_text, taught
from quickthaw_backends.engines.chat_templates.tools import allowed_tools, checked_tools, shown_tools
from quickthaw_backends.engines.chat_templates.variables import template_variables
from quickthaw_backends.engines.chat_templates.watched import watched
from quickthaw_backends.engines.messages import plain_messages
from quickthaw_backends.engines.tool_forms.table import TAUGHT, always_read, form_of, with_specials
from quickthaw_backends.engines.tool_forms.thoughts import Thoughts, thoughts_of
from quickthaw_platform.contracts import Prompt, Reading

NO_TEMPLATE = "this model has no chat template; send a prompt to be completed instead"
"""What is said of a model that takes no conversations."""
_PROBE = "quickthaw_probe"
_END = "\ue000quickthaw\ue000"  # marks where the text of the last message ends


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as text, and how the answer is read: None where all of it is text."""

    text: str
    reading: Reading | None


class ChatTemplate:
    """One template with the texts of the tokenizer's special tokens (bos_token and so on).

    All that takes time is done when it is made, so that forks share it.
    """

    def __init__(self, source: str, special: Mapping[str, str]) -> None:
        """Compile it. Raises InvalidRequest where it is no template, or too long for one."""
        if len(source) > MAX_TEMPLATE_CHARACTERS:
            raise InvalidRequest(
                f"the model's chat template has {len(source):,} characters, more than {MAX_TEMPLATE_CHARACTERS:,}",
                param="messages",
            )
        self._source, self._special = source, dict(special)
        try:
            environment = chat_environment()
            with limited_time():
                parsed = watched(environment.parse(source), environment)
                self._variables = frozenset(find_undeclared_variables(parsed))
                self._template = environment.from_string(parsed)
        except (TemplateError, RecursionError, MemoryError) as error:
            raise InvalidRequest(f"the model's chat template cannot be read: {error}", param="messages") from error
        self.shows_tools = self._shows_tools()

    def _shows_tools(self) -> bool:
        """Return whether a tool that it is given appears in what it renders."""
        if "tools" not in self._variables:
            return False
        function = {"name": _PROBE, "description": "", "parameters": {"type": "object", "properties": {}}}
        probe = {"messages": [{"role": "user", "content": "a"}], "tools": [{"type": "function", "function": function}]}
        try:
            return _PROBE in self._render({**probe, "add_generation_prompt": True})
        except InvalidRequest:
            return True  # it looks at tools, and wants to be asked otherwise

    @cached_property
    def thoughts(self) -> Thoughts | None:
        """The form of what the model thinks first; None: it does not."""
        return thoughts_of(self._source)

    @cached_property
    def after_answer(self) -> str:
        """What the template writes after an answer: it begins with the mark that ends a turn, where there is one."""
        turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": _PROBE}]
        try:
            _, shown, after = self._render({"messages": turns, "add_generation_prompt": False}).rpartition(_PROBE)
        except InvalidRequest:
            return ""
        return after if shown else ""

    def render(self, messages: Sequence[Mapping[str, Any]], options: ChatOptions | None = None) -> Rendered:
        """Return the conversation as text.

        Raises InvalidRequest for messages and tools that are none, for what the template refuses, and, naming it, for
        an option that it has no place for.
        """
        options = options or ChatOptions()
        plain, tools = plain_messages(messages), checked_tools(options)
        variables = template_variables(options, self._variables, thinks=self.thoughts is not None)
        if self.thoughts is not None:
            plain = [_with_thoughts(message, self.thoughts.field) for message in plain]
        if options.continue_final_message:
            plain = _open_ended(plain)
        if self.shows_tools:
            text = self._render({**variables, "messages": plain, "tools": shown_tools(tools) or None})
        else:
            text = self._render_taught(plain, shown_tools(tools), variables)
        prefill = plain[-1]["content"].removesuffix(_END) if options.continue_final_message else None
        if prefill is not None:
            text = _cut(text)
        return Rendered(text, self._reading(text, allowed_tools(tools, options), options, prefill))

    def _render(self, variables: Mapping[str, Any]) -> str:
        try:
            with limited_time():
                return self._template.render(**self._special, **variables)
        except Exception as error:  # a template is a program: whatever it raises is for whoever sent the messages
            raise InvalidRequest(f"the chat template refuses the messages: {error}", param="messages") from error

    def _render_taught(
        self, plain: list[dict[str, Any]], tools: list[dict[str, Any]], variables: Mapping[str, Any]
    ) -> str:
        """Describe the tools in the system's turn, or where the template has none, in the first turn of the user."""
        system = taught(plain, tools)
        try:
            return self._render({**variables, "messages": system})
        except InvalidRequest:
            if not tools or plain[0]["role"] != "user":
                raise
        first, *others = calls_as_text(plain)
        content = f"{system[0]['content']}\n\n{first['content']}"
        return self._render({**variables, "messages": [{**first, "content": content}, *others]})

    def _reading(
        self, text: str, tools: tuple[dict[str, Any], ...], options: ChatOptions, prefill: str | None
    ) -> Reading | None:
        thoughts, thinking = self.thoughts, False
        if thoughts is not None:
            thinking = thoughts.open_in(prefill) if prefill else thoughts.open_at_end(text)
            over = not thinking if prefill else thoughts.over_at_end(text)
            thoughts = None if over else thoughts
        calls = (form_of(self._source) if self.shows_tools else TAUGHT) if tools else always_read(self._source)
        if calls is None and thoughts is None:
            return None
        return Reading(
            calls=calls,
            tools=tools,
            must_call=bool(tools) and options.tool_choice == "required",
            parallel=options.parallel_tool_calls,
            thoughts=None if thoughts is None else thoughts.name,
            thinking=thinking,
        )


def chat_prompt(
    rendered: Rendered, encode: Callable[[str], list[int]], decode: Callable[[Sequence[int]], str]
) -> Prompt:
    """Return the prompt: `encode` knows special tokens and adds none, `decode` leaves them out."""
    tokens = encode(rendered.text)
    if rendered.reading is None:
        return Prompt(tokens)
    return Prompt(tokens, with_specials(rendered.reading, encode, decode))


def _with_thoughts(message: dict[str, Any], field: str) -> dict[str, Any]:
    """Return the message with what was thought where its template looks for it."""
    thought = message.get("reasoning_content")
    return message if thought is None else {**message, field: thought}


def _open_ended(plain: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages with a mark after the last one's text. Raises InvalidRequest unless it is the assistant's."""
    last = plain[-1]
    if last["role"] != "assistant" or "tool_calls" in last:
        raise InvalidRequest(
            "continue_final_message needs a last message of the assistant, with text", param="continue_final_message"
        )
    return [*plain[:-1], {**last, "content": last["content"] + _END}]


def _cut(text: str) -> str:
    """Return what comes before the mark."""
    before, mark, _ = text.rpartition(_END)
    if not mark:
        raise InvalidRequest(
            "the chat template does not show the last message as it is, so it cannot be continued",
            param="continue_final_message",
        )
    return before
