"""Apps and functions: what is declared, deployed, called and run here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import httpx
import pytest

from quickthaw import (
    App,
    Client,
    Delta,
    Function,
    FunctionSpec,
    InvalidRequest,
    InvalidSource,
    NotServable,
    loading,
    runtime,
)
from tests.unit.sdk.fake_gateway import INVOCATION, NO_WAIT, URL, FakeGateway, event, stream

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


@pytest.fixture
def functions(tmp_path: Path) -> dict[str, Function[..., Any]]:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "p.txt").write_text("hi")
    (tmp_path / "function.py").write_text(SOURCE)
    return {function.name: function for function in loading.functions(tmp_path / "function.py")}


def with_gateway(function: Function[..., Any], gateway: FakeGateway) -> Function[..., Any]:
    function.app._client = Client(URL, backoff=NO_WAIT, transport=gateway.transport)
    return function


def test_a_spec_holds_settings_place_schema_and_source(functions: dict[str, Function[..., Any]]) -> None:
    spec = functions["chat"].spec()
    assert (spec.name, spec.model, spec.engine, spec.adapter) == ("chat", "m", "echo", "lora")
    assert (spec.keep_alive, spec.min_instances, spec.max_instances, spec.concurrency) == (60.0, 1, 2, 4)
    assert (spec.queue_size, spec.memory, spec.env, spec.options) == (7, 1 << 30, {"A": "b"}, {"dtype": "bf16"})
    limits = spec.limits
    assert (limits.start, limits.first_token, limits.between_tokens, limits.total) == (10.0, 60.0, 5.0, 300.0)
    assert spec.handler is not None
    assert (spec.handler.file, spec.handler.object) == ("function.py", "chat")
    assert spec.handler.parameters["required"] == ["messages"]
    assert spec.source == {"function.py": SOURCE, "prompts/p.txt": "hi"}


def test_settings_that_are_not_given_are_the_defaults(functions: dict[str, Function[..., Any]]) -> None:
    spec = functions["second"].spec()
    assert (spec.keep_alive, spec.max_instances, spec.limits.total) == (60.0, 1, 300.0)
    assert spec.handler is not None
    assert spec.handler.object == "other"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"keep_alive": "soon"}, "keep_alive"),
        ({"timeout": -1}, "total"),
        ({"concurrency": 0}, "concurrency"),
        ({"name": "No Spaces"}, "name"),
        ({"colour": "blue"}, "colour"),
        ({"prefix": "Once", "system": "You"}, "prompts begin with"),
        ({"system": ""}, "system"),
    ],
)
def test_a_wrong_option_fails_where_it_is_written(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest, match=field):
        App("demo").function(model="m", **{"name": "x", **options})(lambda model: None)


def test_python_functions_are_described_where_a_function_names_its_tools() -> None:
    def add(a: int) -> int:
        """Add."""
        return a

    function = App("demo").function(model="m", name="x", tools=[add])(lambda model: None)
    (made,) = function._settings.tools or ()
    assert made["function"]["name"] == "add"


def test_two_functions_of_one_name_are_refused() -> None:
    app = App("demo")
    app.function(model="m", name="x")(lambda model: None)
    with pytest.raises(InvalidRequest, match="already has a function called 'x'"):
        app.function(model="m", name="x")(lambda model: None)


def test_a_handler_inside_another_function_cannot_be_deployed() -> None:
    @App("demo").function(model="m")
    def inner(model: object) -> None: ...

    with pytest.raises(InvalidSource, match="top level of a file"):
        inner.spec()


def test_a_handler_that_was_typed_in_cannot_be_deployed() -> None:
    space: dict[str, Any] = {"app": App("demo")}
    exec("@app.function(model='m')\ndef typed_in(model): ...", space)
    with pytest.raises(InvalidSource, match="not read from a file"):
        space["typed_in"].spec()


def test_called_directly_it_is_the_handler() -> None:
    @App("demo").function(model="m")
    def double(model: int, x: int) -> int:
        """Twice."""
        return model * x

    assert double(2, 3) == 6
    assert double.handler(2, 3) == 6
    assert double.__doc__ == "Twice."


# --- called at the gateway ---


def test_remote_returns_the_result(functions: dict[str, Function[..., Any]]) -> None:
    gateway = FakeGateway([httpx.Response(200, json=INVOCATION)])
    assert with_gateway(functions["chat"], gateway).remote([{"role": "user", "content": "?"}], max_tokens=3) == "Paris"
    assert gateway.lines == ["POST /v1/functions/chat/invoke"]
    assert gateway.body()["input"] == {"messages": [{"role": "user", "content": "?"}], "max_tokens": 3}


def test_stream_yields_deltas(functions: dict[str, Function[..., Any]]) -> None:
    chunk = event(1, "chunk", {"delta": {"text": "Paris", "tokens": [1]}})
    gateway = FakeGateway([stream(chunk, event(2, "result", {"value": "Paris"}))])
    assert [str(delta) for delta in with_gateway(functions["chat"], gateway).stream([])] == ["Paris"]


def test_spawn_returns_an_invocation(functions: dict[str, Function[..., Any]]) -> None:
    gateway = FakeGateway([httpx.Response(202, json=INVOCATION), stream(event(1, "result", {"value": {"a": 1}}))])
    invocation = with_gateway(functions["chat"], gateway).spawn([])
    assert invocation.result(timeout=60) == {"a": 1}
    assert gateway.lines == ["POST /v1/functions/chat/async", "GET /v1/invocations/inv-1/events"]


def test_arguments_that_do_not_fit_never_leave(functions: dict[str, Function[..., Any]]) -> None:
    for call in ("remote", "stream", "spawn", "local"):
        with pytest.raises(InvalidRequest, match="messages"):
            getattr(with_gateway(functions["chat"], FakeGateway([])), call)()


def test_an_app_deploys_all_its_functions(functions: dict[str, Function[..., Any]]) -> None:
    def deployed(request: httpx.Request) -> httpx.Response:
        spec = gateway.body()
        version = {"id": "v1", "function": spec["name"], "number": 1, "checkpoint": "c", "created_at": 1.0}
        return httpx.Response(200, json={**version, "spec": {"name": spec["name"], "model": "m"}})

    gateway = FakeGateway([deployed, deployed])
    versions = with_gateway(functions["chat"], gateway).app.deploy(alias="next")
    assert {name: version.function for name, version in versions.items()} == {"chat": "chat", "second": "second"}
    assert gateway.lines == ["POST /v1/functions?alias=next"] * 2


# --- run here ---


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
