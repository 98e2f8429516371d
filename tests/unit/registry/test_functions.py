"""The registry against a real Valkey: content addresses, aliases, rollback, concurrent deploys."""

from __future__ import annotations

import random
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from quickthaw.resources import CheckpointInfo
from quickthaw.types import FunctionSpec, Handler
from quickthaw_platform import plugins
from quickthaw_platform.errors import (
    AliasNotFound,
    CheckpointNotFound,
    Conflict,
    EngineNotFound,
    FunctionNotFound,
    InvalidRequest,
    InvalidSource,
    QuickthawError,
    SecretNotFound,
    VersionNotFound,
)
from quickthaw_platform.registry.catalogue import Catalogue
from quickthaw_platform.registry.functions import DELETED_VERSION_SECONDS, FunctionRegistry, version_key
from quickthaw_platform.registry.sealing import KEY_FILE, KeyFile
from quickthaw_platform.registry.secrets import SecretStore

HANDLER = "def chat(model, messages):\n    yield from model.chat(messages)\n"


class OptionlessEngine:
    """Stands for an engine plugin: knows the option `delay` only."""

    weights_formats = frozenset({"safetensors"})

    @classmethod
    def missing(cls) -> str | None:
        return None

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        if set(options) - {"delay"}:
            raise InvalidRequest("unknown option", param="options")


@pytest.fixture(autouse=True)
def engines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "names", lambda group: ["echo", "transformers"])
    monkeypatch.setattr(plugins, "engine_class", lambda name: OptionlessEngine)


@pytest.fixture
def keys(redis: Redis, tmp_path: Path) -> KeyFile:
    """The keys of a node that secrets are sealed to."""
    file = KeyFile(tmp_path / KEY_FILE)
    SecretStore(redis).announce(file)
    return file


@pytest.fixture
def registry(redis: Redis) -> FunctionRegistry:
    Catalogue(redis).announce([CheckpointInfo(id="c0ffee", name="tiny", task="generate", bytes=1, context_tokens=128)])
    return FunctionRegistry(redis, random.Random(7))


def spec(name: str = "chat", **changes: Any) -> FunctionSpec:
    return FunctionSpec(name=name, model="tiny", engine="echo", **changes)


def test_the_same_spec_is_the_same_version_and_another_spec_another(registry: FunctionRegistry) -> None:
    first, again, other = registry.deploy(spec()), registry.deploy(spec()), registry.deploy(spec(concurrency=2))
    assert first.model_copy(update={"unchanged": True}) == again
    assert (first.number, other.number) == (1, 2)
    assert (first.unchanged, other.unchanged) == (False, False)
    assert first.id != other.id
    assert [v.id for v in registry.versions("chat")] == [first.id, other.id]


def test_a_version_names_the_checkpoint_that_its_model_meant_at_deploy(
    redis: Redis, registry: FunctionRegistry
) -> None:
    before = registry.deploy(spec())
    newer = CheckpointInfo(id="decade", name="tiny", task="generate", bytes=1, context_tokens=128)
    Catalogue(redis).announce([newer])
    after = registry.deploy(spec())
    assert (before.checkpoint, after.checkpoint) == ("c0ffee", "decade")
    assert before.id != after.id


def test_concurrent_deploys_all_stand(registry: FunctionRegistry) -> None:
    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(lambda n: registry.deploy(spec(concurrency=n)), range(1, 25)))
    assert sorted(v.number for v in versions) == list(range(1, 25))
    assert {v.id for v in registry.versions("chat")} == {v.id for v in versions}
    assert registry.resolve("chat").id in {v.id for v in versions}


def test_rollback_walks_back_through_what_the_alias_pointed_to(registry: FunctionRegistry) -> None:
    ids = [registry.deploy(spec(concurrency=n)).id for n in (1, 2, 3)]
    assert registry.rollback("chat").aliases["live"] == {ids[1]: 1.0}
    assert registry.rollback("chat").aliases["live"] == {ids[0]: 1.0}
    with pytest.raises(Conflict, match="no earlier version"):
        registry.rollback("chat")


def test_deploying_what_is_live_already_leaves_the_history_alone(registry: FunctionRegistry) -> None:
    first = registry.deploy(spec(concurrency=1)).id
    registry.deploy(spec(concurrency=2))
    registry.deploy(spec(concurrency=2))
    assert registry.rollback("chat").aliases["live"] == {first: 1.0}


def test_a_version_that_is_deployed_again_is_tried_again_at_once(redis: Redis, registry: FunctionRegistry) -> None:
    version = registry.deploy(spec())
    redis.set(f"qt:controller.wanted:{version.id}", 1, ex=10)  # the controller has just tried to start it
    assert registry.deploy(spec()).id == version.id
    assert not redis.exists(f"qt:controller.wanted:{version.id}")


def test_a_deploy_to_another_alias_leaves_live(registry: FunctionRegistry) -> None:
    live = registry.deploy(spec(concurrency=1))
    staged = registry.deploy(spec(concurrency=2), alias="staging")
    assert registry.resolve("chat") == live
    assert registry.resolve("chat", "staging") == staged


def test_a_canary_gets_its_share(registry: FunctionRegistry) -> None:
    old, new = registry.deploy(spec(concurrency=1)), registry.deploy(spec(concurrency=2))
    record = registry.set_alias("chat", "live", {"1": 3, new.id: 1})
    assert record.aliases["live"] == {old.id: 0.75, new.id: 0.25}
    drawn = [registry.resolve("chat").id for _ in range(400)]
    assert 60 <= drawn.count(new.id) <= 140


@pytest.mark.parametrize(
    ("weights", "error"),
    [
        ({"9": 1.0}, VersionNotFound),  # no such version
        ({"1": 0.0}, InvalidRequest),  # nothing left to draw from
    ],
)
def test_bad_weights_are_refused(
    registry: FunctionRegistry, weights: dict[str, float], error: type[QuickthawError]
) -> None:
    registry.deploy(spec())
    with pytest.raises(error):
        registry.set_alias("chat", "live", weights)


def test_live_cannot_be_removed_but_others_can(registry: FunctionRegistry) -> None:
    registry.deploy(spec())
    registry.deploy(spec(), alias="staging")
    assert set(registry.remove_alias("chat", "staging").aliases) == {"live"}
    with pytest.raises(Conflict):
        registry.remove_alias("chat", "live")
    with pytest.raises(AliasNotFound, match="live"):
        registry.resolve("chat", "lvie")


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"engine": "ecco"}, EngineNotFound, "echo"),
        ({"model": "tny"}, CheckpointNotFound, "tiny"),
        ({"options": {"dealy": 1}}, InvalidRequest, "unknown option"),
        ({"source": {"function.py": "def f(:\n"}}, InvalidSource, r"function\.py, line 1"),
        ({"source": {"a.py": "x = 1\n", "b.py": "y = (\n"}}, InvalidSource, r"b\.py, line 1"),
        ({"source": {"a.py": "x = '\0'"}}, InvalidSource, r"a\.py"),
        ({"source": {"a.py": "(" * 5000}}, InvalidSource, r"a\.py"),  # too deep for the parser
        ({"source": {"a.py": HANDLER}, "handler": Handler(file="b.py", object="chat")}, InvalidSource, r"a\.py"),
        ({"source": {"a.py": HANDLER}, "handler": Handler(file="a.py", object="chta")}, InvalidSource, "chat"),
        (
            {"source": {"a.py": HANDLER}, "handler": Handler(file="a.py", object="chat", parameters={"type": 3})},
            InvalidRequest,
            "JSON schema",
        ),
        ({"env": {"A=B": "1"}}, InvalidRequest, "environment variable"),
    ],
)
def test_a_bad_spec_is_refused_and_nothing_is_written(
    redis: Redis, registry: FunctionRegistry, change: dict[str, Any], error: type[QuickthawError], says: str
) -> None:
    keys = set(redis.keys())
    with pytest.raises(error, match=says):
        registry.deploy(spec().model_copy(update=change))
    assert set(redis.keys()) == keys


@pytest.mark.parametrize(
    "source",
    [
        HANDLER,
        "async def chat(model): ...",
        "chat = print",
        "from elsewhere import answer as chat",
        "try:\n    import fast as chat\nexcept ImportError:\n    chat = None",
    ],
)
def test_a_handler_may_be_bound_in_any_way(registry: FunctionRegistry, source: str) -> None:
    handler = Handler(file="f.py", object="chat", parameters={"type": "object"})
    assert registry.deploy(spec(source={"f.py": source}, handler=handler)).number == 1


def test_compiling_never_runs_the_source(registry: FunctionRegistry) -> None:
    source = {"f.py": "raise SystemExit(3)\ndef chat(model): ..."}
    registry.deploy(spec(source=source, handler=Handler(file="f.py", object="chat")))


def test_source_that_nothing_would_run_is_refused(registry: FunctionRegistry) -> None:
    with pytest.raises(InvalidRequest, match="without a handler would never run") as caught:
        registry.deploy(spec(source={"f.py": HANDLER}))
    assert caught.value.param == "handler"


def test_unknown_functions_name_the_near_ones(registry: FunctionRegistry) -> None:
    registry.deploy(spec())
    for call in (registry.resolve, registry.get, registry.versions, registry.rollback, registry.delete):
        with pytest.raises(FunctionNotFound, match="chat"):
            call("chatt")


def test_a_deleted_function_is_gone_but_what_runs_can_still_read_its_version(
    redis: Redis, registry: FunctionRegistry, keys: KeyFile
) -> None:
    assert keys.read()
    version = registry.deploy(spec())
    registry.set_secret("chat", "TOKEN", "s3cret")
    assert registry.delete("chat") == [version.id]
    assert registry.list() == []
    assert registry.secret_names("chat") == set()
    assert registry.version(version.id) == version
    assert 0 < redis.ttl(version_key(version.id)) <= DELETED_VERSION_SECONDS
    registry.deploy(spec())
    assert redis.ttl(version_key(version.id)) == -1


def test_secrets_are_kept_by_name(redis: Redis, registry: FunctionRegistry, keys: KeyFile) -> None:
    registry.deploy(spec())
    registry.set_secret("chat", "TOKEN", "one")
    registry.set_secret("chat", "TOKEN", "two")
    assert registry.secret_names("chat") == {"TOKEN"}
    assert SecretStore(redis).opened("chat", keys) == {"TOKEN": "two"}
    with pytest.raises(InvalidRequest):
        registry.set_secret("chat", "1BAD", "x")
    with pytest.raises(FunctionNotFound):
        registry.set_secret("nobody", "TOKEN", "x")
    registry.remove_secret("chat", "TOKEN")
    with pytest.raises(SecretNotFound, match="there is no secret yet"):
        registry.remove_secret("chat", "TOKEN")


def test_pointed_versions_are_those_that_a_call_can_reach(registry: FunctionRegistry) -> None:
    registry.deploy(spec(concurrency=1))
    live = registry.deploy(spec(concurrency=2))
    staged = registry.deploy(spec("other"), alias="staging")
    assert {v.id for v in registry.pointed_versions()} == {live.id, staged.id}


def test_the_catalogue_finds_by_name_and_id(redis: Redis, registry: FunctionRegistry) -> None:
    catalogue = Catalogue(redis)
    assert catalogue.find("tiny") == catalogue.find("c0ffee")
    with pytest.raises(CheckpointNotFound, match="tiny"):
        catalogue.find("tinny")
    assert catalogue.withdraw("c0ffee")
    assert not catalogue.withdraw("c0ffee")
    assert catalogue.list() == []
