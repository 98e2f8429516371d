"""The model as handlers see it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, overload

from quickthaw.answer import Answer
from quickthaw.generation import Structure
from quickthaw.tool import AnyTool

T = TypeVar("T")


class Model(Protocol):
    """What a handler receives as its first argument: the loaded model, bound to the invocation that runs.

    Keyword arguments are the fields of `Sampling` and, for `chat`, of `ChatOptions`; where one is not given or None,
    the caller's request decides, and then the default. An unknown one is refused with InvalidRequest.
    """

    @overload
    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Iterable[AnyTool] | None = None,
        *,
        response_format: type[T],
        tool_choice: str | Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Answer[T]: ...

    @overload
    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Iterable[AnyTool] | None = None,
        *,
        response_format: Mapping[str, Any] | Structure | None = None,
        tool_choice: str | Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Answer[Any]: ...

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Iterable[AnyTool] | None = None,
        *,
        response_format: Any = None,
        tool_choice: str | Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Answer[Any]:
        """Answer a conversation: messages with `role` and `content`, rendered by the model's own chat template.

        `tools` are Python functions, or what OpenAI's chat completions describe tools as; the model may call them,
        and it is the handler that does (see `quickthaw.tools.run`). A handler that names tools names all of them:
        the caller's `tools`, `tool_choice` and `allowed_tools` do not count then. `tool_choice` is "none", "auto",
        "required", the name of a tool, or OpenAI's object. `response_format` is what the answer has to be: a type
        that Pydantic knows, such as a model of its own, of which `Answer.parsed` makes an instance; OpenAI's object;
        or a Structure.
        """

    @overload
    def complete(
        self,
        prompt: str | Sequence[int],
        suffix: str | None = None,
        *,
        response_format: type[T],
        **fields: Any,
    ) -> Answer[T]: ...

    @overload
    def complete(
        self,
        prompt: str | Sequence[int],
        suffix: str | None = None,
        *,
        response_format: Mapping[str, Any] | Structure | None = None,
        **fields: Any,
    ) -> Answer[Any]: ...

    def complete(
        self,
        prompt: str | Sequence[int],
        suffix: str | None = None,
        *,
        response_format: Any = None,
        **fields: Any,
    ) -> Answer[Any]:
        """Continue a text, or a sequence of token ids; with `suffix`, write what stands between the two texts.

        Raises NotServable for a suffix where the model was not taught to fill in.
        """

    def embed(self, texts: str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]]) -> list[list[float]]:
        """Embed texts, or sequences of token ids: one vector (unit length) for each, in order."""

    def count_tokens(self, text: str) -> int:
        """Return how many tokens the text has."""
