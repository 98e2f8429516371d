"""Files as a deployer may write them: each is deployed, or refused with what is wrong, and nothing else happens."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quickthaw import loading
from quickthaw.errors import QuickthawError
from tests.made_up import examples

VALUES = [
    *("None", "True", "-1", "0", "1.5", "10**400", "float('nan')", "float('inf')", "''", "'x'", "'1GiB'", "'5m'"),
    *("b'x'", "[]", "{}", "[None]", "{'a': 1}", "{1: 2}", "object()", "print", "'\\ud800'", "'a' * 70_000", "{1, 2}"),
]
OPTIONS = [
    *("model", "name", "engine", "adapter", "memory", "timeout", "token_timeout", "keep_alive", "concurrency"),
    *("max_instances", "queue_size", "labels", "env", "options", "tools", "system", "prefix", "device", "weight"),
    *("max_tokens", "max_tokens_limit", "compress", "replicas", "backend", "no_such_option"),
]
HANDLERS = [
    "def handle(model): pass",
    "def handle(): pass",
    "def handle(*everything, **more): pass",
    "def handle(model, /, prompt, *, n=1): pass",
    "def handle(model, x: 'NoSuchType'): pass",
    "def handle(model, x: list['handle'] = None): pass",
    "def handle(model, x=object()): pass",
    "def handle(model, x: {}): pass",
    "async def handle(model, messages: list[dict]): yield 1",
    "class handle:\n    def __init__(self, model): pass",
    "handle = lambda model: 1",
    "handle = 3",
    "handle = print",
    "import functools\nhandle = functools.partial(print, 1)",
]
ENDS = [
    "",
    "raise SystemExit(3)",
    "1 / 0",
    "del app",
    "app = 3",
    "import no_such_module",
    "from . import beside",
    "\tx",
]
ENDS += ["import helpers\nimport os.path as p", "open('prompts/a.txt')", "__file__ = None", "exec('raise ValueError')"]

written = st.builds(
    lambda options, handler, end: (
        "import quickthaw\napp = quickthaw.App('demo')\n"
        f"{handler}\nhandle = app.function({', '.join(f'{k}={v}' for k, v in options.items())})(handle)\n{end}\n"
    ).encode("utf-8", "surrogatepass"),
    st.dictionaries(st.sampled_from(OPTIONS), st.sampled_from(VALUES), max_size=3).map(lambda d: {"model": "'m'", **d}),
    st.sampled_from(HANDLERS),
    st.sampled_from(ENDS),
)
odd = st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass"))


def deployed(content: bytes) -> None:
    """Do what `quickthaw deploy` does before it asks the gateway."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "function.py"
        file.write_bytes(content)
        for function in loading.functions(file):
            assert function.spec().handler is not None


@settings(max_examples=examples(150))
@given(written)
def test_whatever_is_declared_is_deployed_or_refused(content: bytes) -> None:
    with contextlib.suppress(QuickthawError):
        deployed(content)


@settings(max_examples=examples(100))
@given(odd)
@example(b"\xef\xbb\xbfx = 1\n")
@example(b"# coding: latin-1\nx = '\xe9'\n")
@example(b"# coding: no-such-encoding\n")
@example("x = 1\n".encode("utf-16"))
@example(b"(" * 5000)
@example(b"-" * 100_000 + b"1")
@example(b"x = " + b"[" * 150 + b"]" * 150)
@example(b"x = " + b"9" * 5000)
@example(b"\0")
@example(b"raise KeyError")
@example(b"def f():\n  return f()\nf()\n")
@example(b"import sys; sys.exit()")
@example(b"raise BaseException('mine')")
@example(b"raise GeneratorExit")
def test_what_defines_no_function_is_refused(content: bytes) -> None:
    with pytest.raises(QuickthawError):
        deployed(content)
