"""Functions that run in this process: `local` and `local_stream`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from quickthaw import (
    Delta,
    Function,
    FunctionSpec,
    InvalidRequest,
    NotServable,
    loading,
    runtime,
)


class EchoModel:
    def chat(self, messages: list[dict[str, Any]], **sampling: Any) -> Iterator[Delta]:
        for n in range(sampling["max_tokens"]):
            yield Delta(f"{n} ", (n,))

    def count_tokens(self, text: str) -> int:
        return len(text)


OPENED: list[Any] = []


@contextmanager
def open_model(function: FunctionSpec) -> Iterator[EchoModel]:
    """What an entry point provides."""
    OPENED.append((function.model, function.engine, function.options, function.adapter))
    yield EchoModel()
    OPENED.append("closed")


def install(monkeypatch: pytest.MonkeyPatch, *points: EntryPoint) -> None:
    monkeypatch.setattr(runtime, "entry_points", lambda group, name: points)
    OPENED.clear()


AS_WRITTEN = """
import asyncio, datetime, decimal, pathlib
import quickthaw
app = quickthaw.App("demo", include=["words.txt"])

@app.function(model="m")
async def read(model, day: datetime.date, price: decimal.Decimal = decimal.Decimal(1)):
    await asyncio.sleep(0)
    from beside import half
    return {"words": pathlib.Path("words.txt").read_text(), "day": day + datetime.timedelta(1), "half": half(price)}

@app.function(model="m")
async def streamed(model):
    yield pathlib.Path("words.txt").read_text()
    yield datetime.date(2026, 1, 2)
"""


def test_local_means_by_paths_imports_and_types_what_an_instance_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {
        "function.py": AS_WRITTEN,
        "beside.py": "def half(x): return x / 2\n",
        "words.txt": "hi",
    }.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setitem(sys.modules, "provider", sys.modules[__name__])
    install(monkeypatch, EntryPoint("local", "provider:open_model", runtime.GROUP))
    read, streamed = loading.functions(tmp_path / "function.py")
    before = Path.cwd()
    assert read.local("2026-01-31", price="1.5") == {"words": "hi", "day": "2026-02-01", "half": "0.75"}
    assert list(streamed.local_stream()) == ["hi", "2026-01-02"]
    assert streamed.local() == ["hi", "2026-01-02"]
    assert Path.cwd() == before
    with pytest.raises(InvalidRequest, match="day"):
        read.local("soon")


def test_local_runs_the_handler_on_a_model_of_this_process(
    functions: dict[str, Function[..., Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "provider", sys.modules[__name__])
    install(monkeypatch, EntryPoint("local", "provider:open_model", runtime.GROUP))
    assert functions["chat"].local([], max_tokens=3) == "0 1 2 "
    assert functions["second"].local("four") == {"text": "four", "tokens": 4}
    assert OPENED == [("m", "echo", {"dtype": "bf16"}, "lora"), "closed", ("m", None, {}, None), "closed"]
    assert list(functions["chat"].local_stream([], max_tokens=1)) == [Delta("0 ", (0,))]
    assert list(functions["second"].local_stream("x")) == [{"text": "x", "tokens": 1}]


@pytest.mark.parametrize("points", [(), (EntryPoint("local", "no_such_module:open_model", runtime.GROUP),)])
def test_local_without_the_platform_says_what_to_install(
    functions: dict[str, Function[..., Any]], monkeypatch: pytest.MonkeyPatch, points: tuple[EntryPoint, ...]
) -> None:
    install(monkeypatch, *points)
    with pytest.raises(NotServable, match=r"pip install 'quickthaw\[platform\]'"):
        functions["chat"].local([])
