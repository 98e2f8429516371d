"""LangChain's standard integration tests of chat models and embeddings, with its OpenAI classes.

Tools and structured output are on. What a text model has no sense for (images, sound, documents) is off, as in any
integration of such a model.
"""

from __future__ import annotations

import os
from typing import Any

from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests

STEADY = {"frequency_penalty": 0.5, "parallel_tool_calls": False}
"""Without these so small a model repeats itself until it is cut: within a text, and from call to call.

The penalty counts what the answer holds, not the prompt: what a user names may be said again.
"""

ACCESS = {"base_url": f"{os.environ['QUICKTHAW_URL']}/v1", "api_key": os.environ["QUICKTHAW_KEY"]}


class TestQuickthawChat(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[ChatOpenAI]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        own = {"temperature": 0, "max_tokens": 200, "max_retries": 0, "stream_usage": True, "extra_body": STEADY}
        return {"model": "chat", **own, **ACCESS}

    @property
    def has_tool_calling(self) -> bool:
        return True

    @property
    def has_tool_choice(self) -> bool:
        return True

    @property
    def has_structured_output(self) -> bool:
        return True

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "gpt-6-astra"


class TestQuickthawChatResponses(TestQuickthawChat):
    """The same over the Responses API."""

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**super().chat_model_params, "use_responses_api": True}


class TestQuickthawEmbeddings(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[OpenAIEmbeddings]:
        return OpenAIEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": "embed", "check_embedding_ctx_length": False, **ACCESS}
