"""LlamaIndex with its `openai-like` model: chats, completions, tools and structured answers."""

from __future__ import annotations

from checking import KEY, MODEL, PERSON_QUESTION, QUESTION, URL, check, run
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel


class Person(BaseModel):
    """Who somebody is."""

    name: str
    age: int


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny in {city}"


def model(**more: object) -> OpenAILike:
    """Return the client's model."""
    own = {"is_chat_model": True, "is_function_calling_model": True, "temperature": 0, "max_tokens": 64}
    return OpenAILike(model=MODEL, api_base=URL, api_key=KEY, context_window=2048, **{**own, **more})


WEATHER = FunctionTool.from_defaults(get_weather)
MESSAGES = [ChatMessage(role="user", content=QUESTION)]


@check
def plain() -> None:
    """A whole chat answer is a text."""
    assert model().chat(MESSAGES).message.content


@check
def streamed() -> None:
    """A stream's pieces make the whole answer."""
    text = "".join(piece.delta or "" for piece in model().stream_chat(MESSAGES))
    assert text == model().chat(MESSAGES).message.content


@check
def completion() -> None:
    """Without chats the model completes."""
    assert model(is_chat_model=False).complete("The capital of France is").text


@check
def completion_streamed() -> None:
    """Completions stream."""
    assert list(model(is_chat_model=False).stream_complete("The capital of France is"))[-1].text


@check
def tool_required() -> None:
    """A required call is parsed into keyword arguments."""
    llm = model()
    answer = llm.chat_with_tools([WEATHER], user_msg=QUESTION, tool_required=True)
    (call, *_) = llm.get_tool_calls_from_response(answer)
    assert call.tool_name == "get_weather"
    assert isinstance(call.tool_kwargs["city"], str)


@check
def tool_streamed() -> None:
    """So it is from a stream."""
    llm = model()
    *_, last = llm.stream_chat_with_tools([WEATHER], user_msg=QUESTION, tool_required=True)
    assert llm.get_tool_calls_from_response(last)[0].tool_name == "get_weather"


@check
def tool_auto() -> None:
    """Left to itself the model answers or calls."""
    llm = model()
    answer = llm.chat_with_tools([WEATHER], user_msg=QUESTION)
    calls = llm.get_tool_calls_from_response(answer, error_on_no_tool_call=False)
    assert answer.message.content or calls


@check
def structured_by_tools() -> None:
    """A structured answer through a tool."""
    found = model().structured_predict(Person, PromptTemplate(PERSON_QUESTION))
    assert isinstance(found, Person)


@check
def structured_by_schema() -> None:
    """A structured answer through `response_format`."""
    found = model(should_use_structured_outputs=True).structured_predict(Person, PromptTemplate(PERSON_QUESTION))
    assert isinstance(found, Person)


@check
def structured_streamed() -> None:
    """A structured answer, streamed."""
    *_, last = model().stream_structured_predict(Person, PromptTemplate(PERSON_QUESTION))
    Person.model_validate(last.model_dump())


if __name__ == "__main__":
    run()
