"""The public names of the SDK are a promise; importing it costs next to nothing."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import quickthaw

NAMES = [
    "AliasInfo",
    "AliasNotFound",
    "Answer",
    "App",
    "AsyncClient",
    "AsyncInvocation",
    "AuthenticationFailed",
    "BackendNotFound",
    "Backoff",
    "ChatOptions",
    "CheckpointInfo",
    "CheckpointNotFound",
    "Client",
    "Conflict",
    "ContextLengthExceeded",
    "Delta",
    "EngineNotFound",
    "Event",
    "EventType",
    "Function",
    "FunctionFailed",
    "FunctionInfo",
    "FunctionNotFound",
    "FunctionSpec",
    "HandlerDiverged",
    "HandlerFailed",
    "InstanceInfo",
    "InstanceLost",
    "InstanceNotFound",
    "InvalidRequest",
    "InvalidSource",
    "Invocation",
    "InvocationCancelled",
    "InvocationInfo",
    "InvocationNotFound",
    "InvocationState",
    "KeyCreated",
    "KeyInfo",
    "KeyNotFound",
    "Limits",
    "LogLine",
    "MemoryLimitExceeded",
    "Message",
    "Model",
    "NoCapacity",
    "NodeInfo",
    "NodeLost",
    "NodeNotFound",
    "NotFound",
    "NotServable",
    "PermissionDenied",
    "PoisonInvocation",
    "QueueFull",
    "QuickthawError",
    "Quotas",
    "RateLimited",
    "RequestTooLarge",
    "Sampling",
    "Scope",
    "SecretNotFound",
    "StartFailed",
    "StartTooLate",
    "Structure",
    "TimedOut",
    "TokenLogprob",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "Unavailable",
    "Unreachable",
    "UnusableAnswer",
    "Usage",
    "Version",
    "VersionNotFound",
    "Webhook",
]


def test_the_public_names_are_these() -> None:
    assert quickthaw.__all__ == NAMES
    assert set(NAMES) <= set(dir(quickthaw))


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(quickthaw, name) is not None


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(quickthaw.__file__).read_text())
    block = next(n for n in tree.body if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n.test))
    seen = {a.name: i.module for i in block.body if isinstance(i, ast.ImportFrom) for a in i.names}
    assert seen == {name: f"quickthaw.{home}" for name, home in quickthaw._HOME.items()}


def test_every_error_of_the_tree_is_public() -> None:
    def tree(kind: type[quickthaw.QuickthawError]) -> set[str]:
        children = [child for child in kind.__subclasses__() if child.__module__ == "quickthaw.errors"]
        return {kind.__name__}.union(*map(tree, children))

    assert tree(quickthaw.QuickthawError) <= set(NAMES)


def test_the_loop_with_tools_is_a_module_of_its_own() -> None:
    assert callable(quickthaw.tools.run)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such"):
        quickthaw.no_such  # noqa: B018


def test_importing_is_light() -> None:
    code = (
        "import time, json, sys; begin = time.process_time(); import quickthaw; "
        "seconds = time.process_time() - begin; quickthaw.App; print(json.dumps([seconds, list(sys.modules)]))"
    )
    seconds, modules = json.loads(subprocess.check_output([sys.executable, "-c", code]))
    assert seconds < 0.3
    heavy = {"torch", "transformers", "numpy", "quickthaw_platform", "quickthaw_backends", "httpx", "click", "rich"}
    assert heavy.isdisjoint(modules)
