"""The folder of a function: which of its files are deployed, and what is refused because an instance would miss it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quickthaw import Function, InvalidSource
from quickthaw.bundle import collect
from quickthaw.loading import functions

HEAD = "import quickthaw\napp = quickthaw.App('x')\n"
HANDLER = "@app.function(model='m')\ndef f(model): ...\n"


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "function.py"


def load(file: Path) -> Function[..., Any]:
    return functions(file)[0]


@pytest.mark.parametrize(
    ("files", "taken"),
    [
        ({"function.py": "from helpers import shout\n", "helpers.py": "shout = 1"}, ["helpers.py"]),
        (
            {"function.py": "import helpers\n", "helpers.py": "import deeper", "deeper.py": ""},
            ["deeper.py", "helpers.py"],
        ),
        ({"function.py": "from .helpers import x\n", "helpers.py": "x = 1"}, ["helpers.py"]),
        (
            {"function.py": "from . import helpers\n", "helpers.py": "", "__init__.py": ""},
            ["__init__.py", "helpers.py"],
        ),
        # packages, with and without __init__.py
        (
            {"function.py": "from lib.a import x\n", "lib/__init__.py": "", "lib/a.py": "x=1"},
            ["lib/__init__.py", "lib/a.py"],
        ),
        (
            {"function.py": "from lib import a\n", "lib/a.py": "from . import b", "lib/b.py": ""},
            ["lib/a.py", "lib/b.py"],
        ),
        ({"function.py": "import lib.a.b\n", "lib/a/b.py": ""}, ["lib/a/b.py"]),
        # wherever the import stands
        ({"function.py": "def g():\n    import helpers\n", "helpers.py": ""}, ["helpers.py"]),
        (
            {"function.py": "import importlib\nh = importlib.import_module('helpers')\n", "helpers.py": ""},
            ["helpers.py"],
        ),
        # what is only for type checkers, or is not imported, stays
        ({"function.py": "import typing\nif typing.TYPE_CHECKING:\n    import helpers\n", "helpers.py": ""}, []),
        ({"function.py": "import json, httpx\n", "helpers.py": "", "test_function.py": "import function"}, []),
    ],
)
def test_modules_beside_a_function_are_deployed_where_it_imports_them(
    tmp_path: Path, files: dict[str, str], taken: list[str]
) -> None:
    file = write(tmp_path, files)
    assert sorted(collect(file)) == sorted(["function.py", *taken])


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"project/function.py": "\nfrom .. import common\n", "common.py": ""}, "line 2: the import of '..' leaves"),
        ({"project/function.py": "import json\n", "project/json.py": ""}, "Python's own module json"),
    ],
)
def test_imports_that_an_instance_could_not_follow_are_refused(
    tmp_path: Path, files: dict[str, str], said: str
) -> None:
    write(tmp_path, files)
    with pytest.raises(InvalidSource, match=said):
        collect(tmp_path / "project" / "function.py")


def test_a_module_of_ones_own_outside_the_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"qt_common.py": "", "project/function.py": "import qt_common\n"})
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InvalidSource, match=r"line 1: the import of 'qt_common' is read from .* outside the folder"):
        collect(tmp_path / "project" / "function.py")


def test_modules_of_two_folders_may_have_one_name(tmp_path: Path) -> None:
    text = f"from helpers import word\n{HEAD}@app.function(model='m', name=word)\ndef f(model): ...\n"
    names = []
    for word in ("one", "two"):
        file = write(tmp_path / word, {"function.py": text, "helpers.py": f"word = {word!r}\n"})
        names.append(load(file).name)
    assert names == ["one", "two"]


def test_relative_imports_work_where_a_file_is_run_and_read_the_folders_init(tmp_path: Path) -> None:
    text = f"from . import helpers, word\n{HEAD}@app.function(model='m', name=word + helpers.more)\ndef f(model): ...\n"
    file = write(tmp_path, {"function.py": text, "helpers.py": "more = 's'\n", "__init__.py": "word = 'word'\n"})
    assert load(file).name == "words"


@pytest.mark.parametrize("name", ["function.py", "my.function.py", "my-function.py"])
def test_a_file_that_its_folders_init_imports_is_run_once(tmp_path: Path, name: str) -> None:
    first = "from .function import f\n" if name == "function.py" else ""
    text = f"from .helpers import word\n{HEAD}@app.function(model='m', name=word)\ndef f(model): ...\n"
    write(tmp_path, {"__init__.py": first, name: text, "helpers.py": "word = 'word'\n"})
    assert load(tmp_path / name).name == "word"
    assert set(collect(tmp_path / name)) == {"__init__.py", name, "helpers.py"}


def test_relative_paths_begin_in_the_folder_where_a_file_is_run(tmp_path: Path) -> None:
    reading = "import pathlib\nname = pathlib.Path('name.txt').read_text()\n"
    text = f"{reading}{HEAD}@app.function(model='m', name=name)\ndef f(model): ...\n"
    before = Path.cwd()
    assert load(write(tmp_path, {"function.py": text, "name.txt": "written"})).name == "written"
    assert Path.cwd() == before


@pytest.mark.parametrize(
    "reading",
    [
        "open('prompts/a.txt')",
        "open('prompts/a.txt', 'r')",
        "Path('prompts/a.txt')",
        "pathlib.Path('prompts/a.txt').read_text()",
        "(Path('prompts') / 'a.txt').read_text()",
        "open(Path('prompts', 'a.txt'))",
        "(Path(__file__).parent / 'prompts' / 'a.txt').read_text()",
        "(pathlib.Path(__file__).resolve().parent / 'prompts/a.txt').open()",
        "open(os.path.join(os.path.dirname(__file__), 'prompts', 'a.txt'))",
        "open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'prompts', 'a.txt'))",
    ],
)
def test_a_file_that_the_code_reads_and_nothing_includes_is_refused_by_name(tmp_path: Path, reading: str) -> None:
    file = write(tmp_path, {"function.py": f"def g():\n    return {reading}\n", "prompts/a.txt": "a"})
    with pytest.raises(InvalidSource, match=r"function\.py, line 2: 'prompts/a\.txt' .* include=\['prompts/a\.txt'\]"):
        collect(file)
    assert sorted(collect(file, ["prompts/*"])) == ["function.py", "prompts/a.txt"]


@pytest.mark.parametrize(
    "listing", ["Path('prompts').glob('*')", "os.listdir('prompts')", "sorted(Path('prompts').iterdir())"]
)
def test_a_folder_that_the_code_lists_and_nothing_includes_is_refused(tmp_path: Path, listing: str) -> None:
    file = write(tmp_path, {"function.py": f"{listing}\n", "prompts/a.txt": "a"})
    with pytest.raises(InvalidSource, match=r"function\.py, line 1: .* include=\['prompts/\*\*/\*'\]"):
        collect(file)
    assert sorted(collect(file, ["prompts/**/*"])) == ["function.py", "prompts/a.txt"]


@pytest.mark.parametrize(
    "writing",
    [
        "open('a.txt', 'w')",
        "open('a.txt', mode='ab')",
        "Path('a.txt').write_text('')",
        "Path('a.txt').open('w')",
        "open(Path('a.txt'), 'w')",
        "open('none.txt')",
        "open('/etc/hostname')",
        "Path(__file__).parent.parent / 'a.txt'",
        "out / 'a.txt'",
        "', '.join(['a.txt'])",
        "Path(name).glob('a.txt')",
    ],
)
def test_files_that_are_written_or_lie_elsewhere_need_no_include(tmp_path: Path, writing: str) -> None:
    assert list(collect(write(tmp_path, {"function.py": f"def g(): {writing}\n", "a.txt": ""}))) == ["function.py"]


DECORATED = {
    "wraps": "@by_wraps\ndef f(model, n: int = 1): return n\n",
    "bare": "@bare\ndef f(model, n: int = 1): return n\n",
    "lru_cache": "@functools.lru_cache\ndef f(model, n: int = 1): return n\n",
    "validate_call": "@pydantic.validate_call\ndef f(model, n: int = 1): return n\n",
}
DECORATORS = """
import functools

def by_wraps(function):
    @functools.wraps(function)
    def wrapped(*args, **kwargs): return function(*args, **kwargs)
    return wrapped

def bare(function):
    def wrapped(model, n: int = 1): return function(model, n)
    return wrapped
"""


@pytest.mark.parametrize("name", DECORATED)
def test_a_decorated_handler_is_found_in_its_own_module_with_its_own_types(tmp_path: Path, name: str) -> None:
    lines = DECORATED[name].replace("@", "@app.function(model='m', name='f')\n@", 1)
    text = f"import functools, pydantic\nfrom decorators import *\n{HEAD}{lines}"
    function = load(write(tmp_path, {"function.py": text, "decorators.py": DECORATORS}))
    spec = function.spec()
    assert spec.handler is not None
    assert (spec.handler.file, spec.handler.object) == ("function.py", "f")
    assert spec.handler.parameters["properties"] == {"n": {"type": "integer", "default": 1}}
    assert function(object(), n=2) == 2


def test_a_partial_is_deployed_under_the_name_it_is_bound_to(tmp_path: Path) -> None:
    text = f"import functools\n{HEAD}def g(model, style: str, n: int = 1): return style * n\n"
    text += "shouted = app.function(model='m', name='shouted')(functools.partial(g, style='A'))\n"
    function = load(write(tmp_path, {"function.py": text}))
    spec = function.spec()
    assert spec.handler is not None
    assert spec.handler.object == "shouted"
    assert function(object(), n=3) == "AAA"


def test_a_decorator_above_the_functions_own_leaves_it_deployable(tmp_path: Path) -> None:
    text = f"from decorators import *\n{HEAD}@bare\n@app.function(model='m')\ndef f(model, n: int = 1): return n\n"
    file = write(tmp_path, {"function.py": text + "g = app.functions['f']\n", "decorators.py": DECORATORS})
    spec = load(file).spec()
    assert spec.handler is not None
    assert (spec.handler.file, spec.handler.object) == ("function.py", "g")
