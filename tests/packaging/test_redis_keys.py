"""Keys of Redis are written in one place for Python and one for Lua, which agree; the type stands before the name."""

from __future__ import annotations

import ast
import re

import pytest

from quickthaw_platform.redis_keys import RedisKey
from tests.packaging.roots import AREAS, ROOT, modules

SCRIPTS = sorted((AREAS["quickthaw_platform"] / "invocations").glob("*.lua"))
SHARED = {"prelude", "held"}
TRAFFIC = {"live", "calls", "gaps", "idle_since", "learnt"}
"""What prelude.lua's `traffic_key` is called with."""


def texts(source: str) -> set[str]:
    """Return the texts of a module that are not docstrings; none where no key stands in it at all."""
    if "qt:" not in source:
        return set()
    tree = ast.parse(source)
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in told)
    return {node.value for node in found if isinstance(node.value, str)}


@pytest.mark.parametrize("key", RedisKey)
def test_a_key_is_a_type_and_a_name_may_follow(key: RedisKey) -> None:
    assert re.fullmatch(r"qt:[a-z_]+(\.[a-z_]+)?", key)
    assert key.of("a:b") == f"{key}:a:b"


def test_no_type_is_there_twice() -> None:
    values = [key.value for key in RedisKey.__members__.values()]
    assert len(values) == len(set(values)) == len(RedisKey.__members__)


def test_no_other_module_writes_a_key() -> None:
    writing = {
        name for area in AREAS for name, file in modules(area) if any("qt:" in text for text in texts(file.read_text()))
    }
    assert writing - {RedisKey.__module__, "quickthaw_platform.redis_roles"} == set()  # roles have patterns of types


def test_scripts_write_keys_in_what_all_of_them_begin_with_only() -> None:
    assert {script.stem for script in SCRIPTS if "qt:" in script.read_text()} <= SHARED


def test_the_scripts_types_are_those_of_python() -> None:
    shared = "".join(script.read_text() for script in SCRIPTS if script.stem in SHARED)
    written = {text.removesuffix(":") for text in re.findall(r"'(qt:[a-z_.:]+)'", shared)}
    written.remove("qt:function.")
    written |= {f"qt:function.{what}" for what in TRAFFIC}
    assert written <= set(RedisKey)
    called = {what for script in SCRIPTS for what in re.findall(r"traffic_key\(\w+, '(\w+)'\)", script.read_text())}
    assert called == TRAFFIC


def test_tests_and_benchmarks_know_no_other_types() -> None:
    files = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    strange = {
        (file.name, found)
        for file in files
        if file.name not in ("test_redis_keys.py", "test_roles.py")  # patterns of types
        for text in texts(file.read_text())
        for found in re.findall(r"qt:[a-z_]+(?:\.[a-z_]+)?(?![a-z_.*])", text)
        if found not in set(RedisKey)
    }
    assert strange == set()
