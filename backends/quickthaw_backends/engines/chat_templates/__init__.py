"""Conversations as a model reads them: its chat template, what that has a place for, and tools where it has none."""

from quickthaw_backends.engines.chat_templates.rendering import (
    NO_TEMPLATE,
    ChatTemplate,
    Rendered,
    chat_prompt,
)

__all__ = ["NO_TEMPLATE", "ChatTemplate", "Rendered", "chat_prompt"]
