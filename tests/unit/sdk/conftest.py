"""Both clients under one name, and a file of functions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quickthaw import Function, loading
from tests.unit.sdk.fake_gateway import call_async, call_sync

Call = Callable[..., Any]

SOURCE = '''
import quickthaw

app = quickthaw.App("demo", include=["prompts/*.txt"])

@app.function(model="m", engine="echo", keep_alive="60s", max_instances=2, concurrency=4, timeout="5m",
              start_timeout=10, first_token_timeout="1m", token_timeout="5s", memory="1GiB", queue_size=7,
              env={"A": "b"}, options={"dtype": "bf16"}, min_instances=1, adapter="lora")
def chat(model, messages: list[dict], max_tokens: int = 256):
    """Answer."""
    yield from model.chat(messages, max_tokens=max_tokens)

@app.function(model="m", name="second")
def other(model, text: str):
    return {"text": text, "tokens": model.count_tokens(text)}
'''


@pytest.fixture(params=[call_sync, call_async], ids=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    """`call(gateway, method, *args)` of each client in turn."""
    chosen: Call = request.param
    return chosen


@pytest.fixture
def functions(tmp_path: Path) -> dict[str, Function[..., Any]]:
    """The functions `chat` and `second` of a file, which includes another file."""
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "p.txt").write_text("hi")
    (tmp_path / "function.py").write_text(SOURCE)
    return {function.name: function for function in loading.functions(tmp_path / "function.py")}
