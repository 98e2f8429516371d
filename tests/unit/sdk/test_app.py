"""Apps and functions: what is declared, and what is deployed of it."""

from __future__ import annotations

from typing import Any

import pytest

from quickthaw import (
    App,
    Function,
    InvalidRequest,
    InvalidSource,
)
from tests.unit.sdk.conftest import SOURCE


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
        ({"timeout": -1}, "timeout"),
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
