"""What a deploy checks before it writes anything: each check names the field and says what is wrong."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator
from hashlib import sha256

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from quickthaw.resources import SECRET_PATTERN
from quickthaw.types import NAME_PATTERN, FunctionSpec, Handler
from quickthaw_platform import plugins
from quickthaw_platform.errors import EngineNotFound, InvalidRequest, InvalidSource
from quickthaw_platform.registry.variables import check_variables


def version_id(spec: FunctionSpec, checkpoint_id: str, adapter_id: str | None = None) -> str:
    """Return the content address of a version: 16 hex digits of the SHA-256 of its canonical JSON."""
    content = {"checkpoint": checkpoint_id, "spec": spec.model_dump(mode="json")}
    if adapter_id is not None:
        content["adapter"] = adapter_id
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(canonical.encode()).hexdigest()[:16]


def check_name(name: str, noun: str) -> None:
    """Refuse what could not be part of a URL or a Redis key."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise InvalidRequest(
            f"{name!r} is not a valid {noun}: small letters, digits, '.', '_' and '-', at most 63, not beginning with "
            "a sign",
            param=noun,
        )


def check_spec(spec: FunctionSpec) -> None:
    """Check all of a spec that needs no state, but for its source: engine, options, environment."""
    check_engine(spec)
    if spec.adapter is not None and spec.prefix is not None:
        raise InvalidRequest(
            "functions with an adapter are not primed; leave `prefix` out, it would do nothing", param="prefix"
        )
    for name in spec.env:
        if not re.fullmatch(SECRET_PATTERN, name):
            raise InvalidRequest(f"{name!r} is not the name of an environment variable", param="env")
    check_variables(spec.env)
    if any("\0" in value for value in spec.env.values()):
        raise InvalidRequest("an environment variable cannot hold a NUL character", param="env")


def check_engine(spec: FunctionSpec) -> None:
    """Refuse an unknown engine, one whose packages are not installed, and options that the engine does not know."""
    known = plugins.names(plugins.ENGINES)
    if spec.engine is None or spec.engine not in known:
        raise EngineNotFound.named(spec.engine or "", known)
    plugins.usable_engine(spec.engine).check_options(spec.options)


def check_source(spec: FunctionSpec) -> None:
    """Compile (never run) every Python file of the bundle and look for the handler in its file."""
    modules = {path: _parse(path, text) for path, text in spec.source.items() if path.endswith(".py")}
    if spec.handler is not None:
        _check_handler(spec.handler, modules)


def _parse(path: str, text: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            compile(text, path, "exec", dont_inherit=True)
            return ast.parse(text, path)
    except SyntaxError as error:
        shown = f": {error.text.strip()[:120]}" if error.text else ""
        raise InvalidSource(f"{path}, line {error.lineno}: {error.msg}{shown}", param="source") from error
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        raise InvalidSource(f"{path} does not compile: {error or 'it is nested too deeply'}", param="source") from error


def _check_handler(handler: Handler, modules: dict[str, ast.Module]) -> None:
    if handler.file not in modules:
        have = ", ".join(sorted(modules)) or "no Python file"
        raise InvalidSource(
            f"the handler's file {handler.file!r} is not in the source, which has {have}", param="source"
        )
    names = sorted(set(_top_level_names(modules[handler.file])))
    if handler.object not in names:
        have = ", ".join(names) or "nothing"
        raise InvalidSource(f"{handler.file} defines {have}, but no {handler.object!r}", param="handler")
    try:
        Draft202012Validator.check_schema(handler.parameters)
    except SchemaError as error:
        raise InvalidRequest(f"handler.parameters is not a JSON schema: {error.message}", param="handler") from error


def _top_level_names(module: ast.Module) -> Iterator[str]:
    for statement in module.body:
        yield from _bound_by(statement)


def _bound_by(statement: ast.stmt) -> Iterator[str]:
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Assign() | ast.AnnAssign():
            yield from (n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            yield from (alias.asname or alias.name.split(".")[0] for alias in aliases)
        case ast.If() | ast.Try() | ast.With():
            for child in ast.iter_child_nodes(statement):
                if isinstance(child, ast.stmt):
                    yield from _bound_by(child)
        case _:
            pass
