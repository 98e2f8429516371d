"""All suites, by name, in the order of the table."""

from __future__ import annotations

from tests.suites import (
    anthropic_js,
    anthropic_python,
    instructor,
    langchain,
    litellm,
    llama_index,
    llm_command,
    openai_agents,
    openai_python,
    openapi,
    pydantic_ai,
    smolagents,
    vercel_ai,
)
from tests.suites.suite import Suite

_ALL: tuple[Suite, ...] = (
    openai_python.SUITE,
    langchain.SUITE,
    litellm.SUITE,
    instructor.SUITE,
    openai_agents.SUITE,
    pydantic_ai.SUITE,
    smolagents.SUITE,
    llama_index.SUITE,
    llm_command.SUITE,
    vercel_ai.SUITE,
    anthropic_python.SUITE,
    anthropic_js.SUITE,
    openapi.SUITE,
)

SUITES = {suite.name: suite for suite in _ALL}
