"""An engine whose packages are not installed says which extra brings them, before anything is imported."""

from __future__ import annotations

from typing import Any

import pytest

from quickthaw.errors import EngineNotFound
from quickthaw.types import FunctionSpec
from quickthaw_backends.engines.echo_engine import EchoEngine
from quickthaw_backends.engines.extras import missing_extra
from quickthaw_platform import plugins
from quickthaw_platform.registry import validation
from quickthaw_platform.worker import local


class Bare(EchoEngine):
    """An engine that needs a package nobody has."""

    @classmethod
    def missing(cls) -> str | None:
        return missing_extra("bare", "sys", "no_such_package_at_all")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    load = plugins.engine_class
    monkeypatch.setattr(plugins, "engine_class", lambda name: Bare if name == "bare" else load(name))
    monkeypatch.setattr(plugins, "names", lambda group: ["bare", "echo"])


def test_only_what_is_absent_is_named_with_the_command_that_installs_it() -> None:
    assert missing_extra("all", "sys", "json") is None
    said = missing_extra("bare", "sys", "no_such_package_at_all", "nor_this")
    assert said is not None
    assert "no_such_package_at_all and nor_this" in said
    assert "pip install 'quickthaw[bare]'" in said
    assert "sys" not in said


@pytest.mark.parametrize("name", ["echo", "transformers"])
def test_an_engine_that_has_all_it_needs_is_usable(name: str) -> None:
    assert plugins.usable_engine(name) is plugins.engine_class(name)


@pytest.mark.usefixtures("bare")
def test_a_deploy_for_an_engine_without_its_packages_is_refused_with_the_extra() -> None:
    with pytest.raises(EngineNotFound, match=r"quickthaw\[bare\]") as refused:
        validation.check_engine(FunctionSpec(name="chat", model="tiny", engine="bare"))
    assert refused.value.param == "engine"


@pytest.mark.usefixtures("bare")
def test_a_start_with_an_engine_without_its_packages_is_refused_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    class Found:
        def __init__(self, _folder: object) -> None: ...

        def find(self, name: str) -> Any:
            return name

    monkeypatch.setattr(local, "DiskStore", Found)
    spec = FunctionSpec(name="chat", model="tiny", engine="bare")
    with pytest.raises(EngineNotFound, match=r"quickthaw\[bare\]"), local.open_model(spec):
        pass
