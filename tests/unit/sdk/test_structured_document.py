"""docs/structured.md: its Python compiles, its handlers run, its links lead somewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import quickthaw
from quickthaw import Answer, Delta, Tool, ToolCallDelta
from quickthaw.shape import shape_of

DOCS = Path(__file__).parents[3] / "docs"
TEXT = (DOCS / "structured.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


class Bonn:
    """Answers with Bonn, or by calling the first tool with it."""

    def __init__(self) -> None:
        self._calls = [Delta(tool_calls=(ToolCallDelta(0, "1", "weather", '{"city": "Bonn", "days": 2}'),))]

    def chat(self, messages: list[Any], tools: list[Tool] | None = None, **fields: Any) -> Answer[Any]:
        if tools:
            return Answer([self._calls.pop()] if self._calls else [Delta(messages[-1]["content"])])
        city = {"name": "Bonn", "country": "Germany", "population": 330_000}
        return Answer([Delta(json.dumps(city))], shape_of(fields["response_format"]).read)


@pytest.mark.parametrize("code", PYTHON)
def test_its_python_compiles(code: str) -> None:
    compile(code, "structured.md", "exec")


def test_its_first_handler_returns_the_parsed_object() -> None:
    names: dict[str, Any] = {"__name__": "structured"}
    exec(PYTHON[0], names)
    assert names["city"](Bonn(), "the Rhine").population == 330_000


def test_its_second_handler_calls_its_tool() -> None:
    names: dict[str, Any] = {"quickthaw": quickthaw}
    exec(PYTHON[1], names)
    assert "".join(map(str, names["handle"](Bonn(), "rain?"))) == "Bonn: 2 days of rain"


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)[^)]*\)", TEXT))
def test_its_links_lead_somewhere(target: str) -> None:
    assert (DOCS / target).is_file()
