"""What is asked of a model, and what it says: chosen by callers and handlers, computed by engines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from quickthaw.numbers import Integer, Number
from quickthaw.types import Wire

TokenId = Annotated[int, Field(ge=0)]
MAX_STOPS = 128
MAX_CHOICES = 128
AS_MANY_AS_FIT = -1
"""As `max_tokens`: what llama.cpp's server and others take for "until the context is full"."""

LEAST_TOP_P = 1e-6
"""What `top_p: 0` means, and whatever is below it: no second token is as likely before the first has been taken."""

LEAST_REPETITION_PENALTY = 1e-6
"""What a smaller one counts as: by this factor no other token is left, and engines compute in float32."""


class Structure(Wire):
    """What an answer must be, token by token: exactly one of the fields is set."""

    json_schema: dict[str, Any] | bool | None = Field(None, description="a JSON value that this schema allows")
    regex: str | None = Field(None, description="a text that the whole of this expression matches (Rust's syntax)")
    choice: tuple[Annotated[str, Field(min_length=1)], ...] | None = Field(
        None, min_length=1, max_length=10_000, description="one of these texts"
    )
    grammar: str | None = Field(None, description="a text of this grammar, in Lark's syntax or in llama.cpp's (GBNF)")

    @model_validator(mode="after")
    def _one(self) -> Structure:
        named = [name for name in ("json_schema", "regex", "choice", "grammar") if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError(f"name exactly one of json_schema, regex, choice and grammar; got {named or 'none'}")
        return self


class Sampling(Wire):
    """How tokens are chosen. The defaults are OpenAI's; `temperature=0` is greedy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_tokens: Integer | None = Field(
        None, ge=0, description="most tokens to generate; None, or -1: as many as the context holds"
    )
    temperature: Number = Field(1.0, ge=0, le=2, allow_inf_nan=False)
    top_p: Number = Field(1.0, ge=0, le=1, description="0: the likeliest token alone")
    top_k: Integer = Field(0, ge=0, description="0: all")
    min_p: Number = Field(0.0, ge=0, le=1)
    repetition_penalty: Number = Field(1.0, gt=0, le=10)
    frequency_penalty: Number = Field(0.0, ge=-2, le=2)
    presence_penalty: Number = Field(0.0, ge=-2, le=2)
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = Field((), max_length=MAX_STOPS)
    seed: Integer | None = Field(None, ge=-(2**63), lt=2**63, description="None: one is drawn and recorded")
    n: Integer = Field(1, ge=1, le=MAX_CHOICES, description="how many answers to one prompt")
    logprobs: Integer | None = Field(
        None, ge=0, le=20, description="None: none; k: the chosen token and the k likeliest"
    )
    echo: bool = Field(False, description="begin with the prompt's own tokens")
    ignore_eos: bool = False
    min_tokens: Integer = Field(
        0,
        ge=0,
        description="before so many tokens only a full context, or a structure that is complete, ends the answer",
    )
    logit_bias: dict[int, Annotated[float, Field(ge=-100, le=100)]] = Field(
        default_factory=dict, max_length=1024, description="token id to what is added to its score"
    )
    stop_token_ids: tuple[TokenId, ...] = Field((), max_length=128, description="tokens that end the answer as well")
    include_stop: bool = Field(False, description="whether the stop string that ended the answer is part of its text")
    truncate_prompt_tokens: Integer | None = Field(
        None, ge=-1, description="how many of the prompt's last tokens are read; -1: as many as the context holds"
    )
    structure: Structure | None = None

    @field_validator("max_tokens", mode="before")
    @classmethod
    def _no_number(cls, value: object) -> object:
        return None if value == AS_MANY_AS_FIT else value

    @field_validator("top_p")
    @classmethod
    def _some_token(cls, value: float) -> float:
        return max(value, LEAST_TOP_P)

    @field_validator("repetition_penalty")
    @classmethod
    def _in_range(cls, value: float) -> float:
        return max(value, LEAST_REPETITION_PENALTY)

    @field_validator("stop", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        if value is None or isinstance(value, str):
            return (value,) if value else ()
        return tuple(text for text in value if text != "") if isinstance(value, list | tuple) else value


class ChatOptions(Wire):
    """How a conversation is shown to the model, and whether it may call tools."""

    tools: tuple[dict[str, Any], ...] = Field(
        (), max_length=128, description="functions the model may call, as OpenAI's chat completions describe them"
    )
    tool_choice: Literal["none", "auto", "required"] = Field(
        "auto", description="whether the answer is a text, may be calls, or must be calls"
    )
    allowed_tools: tuple[str, ...] | None = Field(
        None, description="names of the tools that may be called; the model is shown all; None: all may"
    )
    parallel_tool_calls: bool = Field(True, description="whether one answer may make several calls")
    documents: tuple[dict[str, Any], ...] = Field((), description="shown by templates that have a place for documents")
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict, description="variables of the chat template")
    reasoning_effort: str | None = Field(None, description="shown by templates that know it")
    add_generation_prompt: bool = Field(True, description="end the prompt where the assistant begins to speak")
    continue_final_message: bool = Field(
        False, description="the last message is the beginning of the answer; needs add_generation_prompt to be false"
    )

    @model_validator(mode="after")
    def _consistent(self) -> ChatOptions:
        if self.continue_final_message and self.add_generation_prompt:
            raise ValueError("continue_final_message and add_generation_prompt exclude each other")
        return self


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Log-probability (natural) of one token; None for the first token of an echoed prompt.

    `top` has the texts and log-probabilities of the likeliest tokens, `top_tokens` their ids. `own_bytes` is what the
    token adds to the answer's text where that is not `text` in UTF-8: a part of a character, whose text is U+FFFD, or
    nothing, as of a special token. `top_bytes` has the same of the likeliest ones; it is empty where all are None.
    """

    token: int
    text: str
    logprob: float | None
    top: tuple[tuple[str, float], ...] = ()
    top_tokens: tuple[int, ...] = ()
    own_bytes: bytes | None = None
    top_bytes: tuple[bytes | None, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the wire form; bytes are lists of numbers, and left out where a text has them."""
        body: dict[str, Any] = {
            "token": self.token,
            "text": self.text,
            "logprob": self.logprob,
            "top": [list(pair) for pair in self.top],
        }
        if self.top_tokens:
            body["top_tokens"] = list(self.top_tokens)
        if self.own_bytes is not None:
            body["bytes"] = list(self.own_bytes)
        if self.top_bytes:
            body["top_bytes"] = [None if found is None else list(found) for found in self.top_bytes]
        return body

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> TokenLogprob:
        """Read the wire form."""
        top = tuple((str(text), float(value)) for text, value in body.get("top", ()))
        return cls(
            body["token"],
            body["text"],
            body["logprob"],
            top,
            tuple(body.get("top_tokens", ())),
            _bytes(body.get("bytes")),
            tuple(map(_bytes, body.get("top_bytes", ()))),
        )


def _bytes(numbers: list[int] | None) -> bytes | None:
    return None if numbers is None else bytes(numbers)


FinishReason = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a call that the model makes. The first piece of call `index` has its id and name.

    The `arguments` of all pieces of a call, joined, are JSON text.
    """

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the wire form; fields that say nothing are left out."""
        fields = {"id": self.id, "name": self.name, "arguments": self.arguments}
        return {"index": self.index, **{name: value for name, value in fields.items() if value}}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> ToolCallDelta:
        """Read the wire form."""
        return cls(body["index"], body.get("id", ""), body.get("name", ""), body.get("arguments", ""))


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of generated text with the tokens it came from; `str(delta)` is the text.

    `text` may be empty while a character or a possible stop string is incomplete; `tokens` never repeat, so the
    tokens of all deltas of a `choice`, in order, are what was generated. The first delta of a `choice` has
    `prompt_tokens` and, where the engine knows, `cached_tokens`: how many of these were not computed, because their
    keys and values were there. What a model thinks before it answers is `reasoning`, and calls of tools are
    `tool_calls`: neither is part of `text`. `stop` is the stop string that ended the answer, beside its
    `finish_reason`.
    """

    text: str = ""
    tokens: tuple[int, ...] = ()
    choice: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()
    finish_reason: FinishReason | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    stop: str | None = None

    def __str__(self) -> str:
        return self.text

    def to_json(self) -> dict[str, Any]:
        """Return the wire form; fields that say nothing are left out."""
        body: dict[str, Any] = {"text": self.text, "tokens": list(self.tokens)}
        if self.choice:
            body["choice"] = self.choice
        if self.logprobs:
            body["logprobs"] = [entry.to_json() for entry in self.logprobs]
        if self.finish_reason is not None:
            body["finish_reason"] = self.finish_reason
        if self.prompt_tokens is not None:
            body["prompt_tokens"] = self.prompt_tokens
        if self.cached_tokens is not None:
            body["cached_tokens"] = self.cached_tokens
        if self.reasoning:
            body["reasoning"] = self.reasoning
        if self.tool_calls:
            body["tool_calls"] = [call.to_json() for call in self.tool_calls]
        if self.stop is not None:
            body["stop"] = self.stop
        return body

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Delta:
        """Read the wire form."""
        return cls(
            text=body["text"],
            tokens=tuple(body.get("tokens", ())),
            choice=body.get("choice", 0),
            logprobs=tuple(TokenLogprob.from_json(entry) for entry in body.get("logprobs", ())),
            finish_reason=body.get("finish_reason"),
            prompt_tokens=body.get("prompt_tokens"),
            cached_tokens=body.get("cached_tokens"),
            reasoning=body.get("reasoning", ""),
            tool_calls=tuple(ToolCallDelta.from_json(call) for call in body.get("tool_calls", ())),
            stop=body.get("stop"),
        )
