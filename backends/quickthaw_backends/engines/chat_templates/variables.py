"""What a chat template is told besides the messages and tools."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from quickthaw.errors import InvalidRequest
from quickthaw.generation import ChatOptions

_TAKEN = frozenset({"messages", "tools", "documents", "add_generation_prompt", "continue_final_message"})
_SWITCHES = ("enable_thinking", "thinking")
"""Names of the variable that says whether the model thinks first."""


def template_variables(options: ChatOptions, known: Collection[str], *, thinks: bool) -> dict[str, Any]:
    """Return the variables, given those that the template `known`s, and whether its model thinks first.

    Raises InvalidRequest, naming it, for an option that the template does not look at. That a model shall do what it
    does anyway, think or not, is no such option.
    """
    variables: dict[str, Any] = {"add_generation_prompt": options.add_generation_prompt}
    for name, value in options.chat_template_kwargs.items():
        if name in _TAKEN:
            raise _refusal(f"chat_template_kwargs.{name}", f"is a field of its own; send it as {name}")
        if name in known:
            variables[name] = value
        elif name not in _SWITCHES or bool(value) != thinks:
            raise _refusal(f"chat_template_kwargs.{name}", "is no variable of this model's chat template")
    if options.documents:
        if "documents" not in known:
            raise _refusal("documents", "has no place in this model's chat template; put them into a message")
        variables["documents"] = [dict(document) for document in options.documents]
    return variables | _effort(options.reasoning_effort, known, thinks=thinks)


def _effort(effort: str | None, known: Collection[str], *, thinks: bool) -> dict[str, Any]:
    """Return the variable that has the effort; a model that knows none can at most be told not to think."""
    if effort is None:
        return {}
    if "reasoning_effort" in known:
        return {"reasoning_effort": effort}
    switch = next((name for name in _SWITCHES if name in known), None)
    if effort == "none" and (switch is not None or not thinks):
        return {} if switch is None else {switch: False}
    choice = 'can only be "none" for this model' if switch is not None else "is not known to this model"
    raise _refusal("reasoning_effort", choice)


def _refusal(name: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"{name} {reason}", param=name)
