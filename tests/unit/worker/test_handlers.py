"""Handlers as people write them: what an instance imports, passes and takes back."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from quickthaw.errors import StartFailed
from quickthaw_backends.engines.echo_engine import EchoEngine
from quickthaw_platform.worker import handlers

HEAD = "import quickthaw\napp = quickthaw.App('x')\n@app.function(model='m')\n"


@pytest.fixture(autouse=True)
def import_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance keeps its folder on the search path; this process goes on."""
    monkeypatch.setattr(sys, "path", list(sys.path))


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def called(folder: Path, source: str, given: dict[str, Any], **files: str) -> list[dict[str, Any]]:
    """Load a bundle's `f`, call it and return the frames that it sent."""
    write(folder, {"function.py": source} | {name.replace("__", "/") + ".py": text for name, text in files.items()})
    sent: list[dict[str, Any]] = []
    ended = threading.Event()

    def send(frame: dict[str, Any]) -> None:
        sent.append(frame)
        if frame["t"] in ("done", "error"):
            ended.set()

    runner = handlers.Runner(
        EchoEngine(),
        handlers.load(folder, "function.py", "f"),
        bundle=folder,
        max_output=1 << 20,
        captures=(),
        resumable=True,
        send=send,
        send_soon=send,
        on_prefill=lambda _seconds: None,
        on_output=lambda: None,
    )
    runner.invoke("inv", 1, {"input": given})
    assert ended.wait(30)
    return sent


TYPES = """
import dataclasses, datetime, decimal, enum, pathlib, typing, uuid
import pydantic

class City(pydantic.BaseModel):
    name: str
    founded: datetime.date

@dataclasses.dataclass
class Point:
    x: int

class Colour(enum.Enum):
    RED = "red"

def f(model, city: City, cities: list[City], point: Point, colour: Colour, day: datetime.date, where: pathlib.Path,
      key: uuid.UUID, price: decimal.Decimal, maybe: typing.Optional[City] = None,
      n: int = pydantic.Field(default=3, ge=1), m: typing.Annotated[int, pydantic.Field(default=4)] = 5):
    assert isinstance(city, City) and isinstance(cities[0], City) and isinstance(point, Point) and maybe is None
    return [city, point, colour, day, where.parent, key, price + 1, n, m, {day: {"when": day}}]
"""
INPUT = {
    "city": {"name": "Bonn", "founded": "0011-01-01"},
    "cities": [{"name": "Ulm", "founded": "0854-07-22"}],
    "point": {"x": 1},
    "colour": "red",
    "day": "2026-01-02",
    "where": "a/b",
    "key": "12345678-1234-5678-1234-567812345678",
    "price": "1.50",
}
RESULT = [
    INPUT["city"], {"x": 1}, "red", "2026-01-02", "a", INPUT["key"], "2.50", 3, 5,
    {"2026-01-02": {"when": "2026-01-02"}},
]  # fmt: skip


def test_typed_arguments_arrive_as_their_types_and_go_back_as_json(tmp_path: Path) -> None:
    (last,) = called(tmp_path, TYPES, INPUT)
    assert last.get("value") == RESULT, last


def test_a_function_made_by_the_sdk_reads_its_arguments_too(tmp_path: Path) -> None:
    source = f"import datetime\n{HEAD}def f(model, day: datetime.date): return day.year\n"
    (last,) = called(tmp_path, source, {"day": "2026-01-02"})
    assert last["value"] == 2026


def test_an_argument_that_does_not_suit_is_the_callers_fault_and_is_named(tmp_path: Path) -> None:
    (last,) = called(tmp_path, TYPES, INPUT | {"city": {"name": "Bonn", "founded": "soon"}})
    assert last["error"]["code"] == "invalid_request"
    assert "city.founded" in last["error"]["message"]


def test_numpys_numbers_and_arrays_are_results(tmp_path: Path) -> None:
    source = (
        "import numpy\ndef f(model): return {'a': numpy.arange(3), 'b': numpy.float32(0.5), 'c': numpy.bool_(True)}\n"
    )
    (last,) = called(tmp_path, source, {})
    assert last["value"] == {"a": [0, 1, 2], "b": 0.5, "c": True}


def test_an_asynchronous_handler_is_run(tmp_path: Path) -> None:
    source = "import asyncio\nasync def f(model, n: int):\n    await asyncio.sleep(0)\n    return n + 1\n"
    (last,) = called(tmp_path, source, {"n": 1})
    assert last["value"] == 2


def test_an_asynchronous_generator_streams(tmp_path: Path) -> None:
    source = (
        "import asyncio\nasync def f(model):\n    for n in range(2):\n        yield n\n        await asyncio.sleep(0)\n"
    )
    frames = called(tmp_path, source, {})
    assert [frame.get("value") for frame in frames] == [0, 1, [0, 1]]


def test_what_a_generator_returns_besides_is_not_lost_in_silence(tmp_path: Path) -> None:
    source = "def f(model, n: int):\n    if not n:\n        return 'none'\n    yield 'some'\n"
    assert called(tmp_path, source, {"n": 1})[-1]["value"] == "some"
    (last,) = called(tmp_path, source, {"n": 0})
    assert "yields, and then returned a str, which nobody would get" in last["error"]["message"]


def test_what_an_asynchronous_handler_raises_is_its_failure(tmp_path: Path) -> None:
    (last,) = called(tmp_path, "async def f(model):\n    raise ValueError('no')\n", {})
    assert last["error"]["code"] == "handler_failed"
    assert "ValueError: no" in last["error"]["message"]


@pytest.mark.parametrize(
    "statement", ["from helpers import word", "from .helpers import word", "from lib.a import word"]
)
def test_modules_of_the_bundle_are_imported(tmp_path: Path, statement: str) -> None:
    source = f"{statement}\ndef f(model): return word\n"
    (last,) = called(tmp_path, source, {}, helpers="word = 'hi'\n", lib__a="word = 'hi'\n")
    assert last["value"] == "hi"


def test_decorators_run_with_the_handler(tmp_path: Path) -> None:
    inner = "    @functools.wraps(g)\n    def h(*a, **k): return 2 * g(*a, **k)\n    return h\n"
    decorator = f"import functools\ndef twice(g):\n{inner}"
    source = f"from decorators import twice\n{HEAD}@twice\ndef f(model, n: int): return n\n"
    (last,) = called(tmp_path, source, {"n": 2}, decorators=decorator)
    assert last["value"] == 4


def test_a_module_that_is_nowhere_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"function.py": "import qt_nowhere\n"})
    with pytest.raises(StartFailed, match="'qt_nowhere' is neither in the function's bundle nor installed on the node"):
        handlers.load(tmp_path, "function.py", "f")


def test_a_module_that_hides_one_of_the_platforms_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"function.py": "import structlog\n", "structlog.py": ""})
    with pytest.raises(StartFailed, match=r"structlog\.py has the name of a module that the platform itself uses"):
        handlers.load(tmp_path, "function.py", "f")


def test_a_file_that_is_missing_in_the_bundle_says_how_it_gets_there(tmp_path: Path) -> None:
    (last,) = called(tmp_path, "def f(model): return open('prompts/none.txt').read()\n", {})
    assert "include=" in last["error"]["message"]


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        ("ValueError('half \\ud83d')", "the handler raised ValueError: half \\ud83d"),
        ("SystemExit('bye \\ud83d')", "the handler exited: SystemExit: bye \\ud83d"),
        ("InvalidRequest('half \\ud83d')", "half \\ud83d"),
        ("InvalidRequest(ValueError('as it came'))", "as it came"),
        ("Dumb()", "the handler raised function.Dumb: <exception str() failed>"),
        ("Mute()", "the handler raised Mute, and telling of it raised AttributeError"),
        ("Nameless('x')", "the handler raised Nameless, and telling of it raised ZeroDivisionError"),
    ],
)
def test_whatever_a_handler_raises_is_told(tmp_path: Path, raised: str, told: str) -> None:
    source = f"""
from quickthaw.errors import InvalidRequest
class Dumb(Exception):
    def __str__(self): raise RuntimeError
class Mute(InvalidRequest):
    def __init__(self): pass
class Nameless(FileNotFoundError):
    @property
    def filename(self): return 1 / 0
def f(model): raise {raised}
"""
    (last,) = called(tmp_path, source, {})
    assert last["error"]["message"].split("\n")[0].replace("quickthaw_user.", "") == told


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("[pathlib.PurePosixPath('a/b')]", ["a/b"]),  # Pydantic writes the paths of this system only
        ("{'w': pathlib.PureWindowsPath('a')}", {"w": "a"}),
        ("Held(pathlib.PurePosixPath('x'))", {"value": "x"}),
        ("Kind.A", "x"),
        ("pydantic.HttpUrl('http://a/')", "http://a/"),
        ("pydantic.PostgresDsn('postgres://u@h/d')", "postgres://u@h/d"),
        ("ipaddress.ip_network('10.0.0.0/8')", "10.0.0.0/8"),
    ],
)
def test_what_pydantic_reads_as_an_argument_is_a_result_too(tmp_path: Path, value: str, expected: Any) -> None:
    source = f"""
import dataclasses, enum, ipaddress, pathlib, pydantic
@dataclasses.dataclass
class Held:
    value: object
class Kind(enum.Enum):
    A = pathlib.PurePosixPath("x")
def f(model): return {value}
"""
    (last,) = called(tmp_path, source, {})
    assert last["value"] == expected
