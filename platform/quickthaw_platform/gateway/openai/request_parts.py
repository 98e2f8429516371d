"""What the OpenAI endpoints' requests are made of: messages, tools, and what an answer must be."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from quickthaw_platform.gateway.many import Many

ToolName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,128}$")]
JsonSchema = dict[str, Any] | bool


class Loose(BaseModel):
    """Base of what others define and may extend; whoever maps it checks what it does not name."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Strict(BaseModel):
    """Base of parts that have these fields only."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StreamOptions(Strict):
    """Of `stream`."""

    include_usage: bool | None = Field(None, description="one more chunk at the end, with the usage")
    include_obfuscation: bool | None = Field(None, description="changes nothing: chunks are never padded")
    continuous_usage_stats: Literal[False] | None = Field(None, description="vLLM's; not served")


class NamedSchema(Strict):
    """Of `response_format`: a schema, and what it is called."""

    name: str | None = None
    description: str | None = None
    strict: bool | None = Field(None, description="answers follow the schema in any case")
    json_schema: JsonSchema | None = Field(None, alias="schema")


class ResponseFormat(Strict):
    """What an answer must be."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None
    object_schema: JsonSchema | None = Field(None, alias="schema", description="llama.cpp's, beside json_object")


class StructuredOutputs(Strict):
    """vLLM's way to say what an answer must be: one of these."""

    json_value: JsonSchema | str | None = Field(None, alias="json")
    regex: str | None = None
    choice: Many[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None
    disable_any_whitespace: bool | None = Field(None, description="changes nothing: there is no free whitespace")
    disable_additional_properties: Literal[False] | None = None


class ContentPart(Loose):
    """A part of a message; only text is served."""

    type: str
    text: str | None = None
    refusal: str | None = None


class CalledFunction(Strict):
    """The function that an earlier answer called; `arguments` is JSON text."""

    name: str = Field(min_length=1)
    arguments: str


class ToolCall(Loose):
    """A call that an earlier answer made."""

    id: str | None = None
    type: Literal["function"] = "function"
    function: CalledFunction


class ChatMessage(Loose):
    """A message of a conversation."""

    role: str = Field(min_length=1)
    content: str | Many[ContentPart] | None = None
    name: str | None = None
    tool_calls: Many[ToolCall] | None = None
    tool_call_id: str | None = None
    function_call: CalledFunction | None = Field(None, description="the older form of tool_calls")
    refusal: str | None = None
    reasoning_content: str | None = Field(None, description="what the model thought before it answered")
    reasoning: str | None = Field(None, description="another name of reasoning_content")


class FunctionDefinition(Strict):
    """A function that the model may call."""

    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = Field(None, description="JSON schema of its arguments; none: it takes none")
    strict: bool | None = Field(None, description="calls that must be made follow the schema in any case")


class Tool(Loose):
    """A tool; only functions are served."""

    type: Literal["function"]
    function: FunctionDefinition


class FunctionName(Strict):
    """Which function."""

    name: ToolName


class ToolReference(Strict):
    """Which tool."""

    type: Literal["function"] = "function"
    function: FunctionName


class AllowedTools(Strict):
    """Those of the tools that may be called now."""

    mode: Literal["auto", "required"]
    tools: Many[ToolReference] = Field(min_length=1)


class AllowedToolsChoice(Strict):
    """OpenAI's way to say which tools may be called."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools
