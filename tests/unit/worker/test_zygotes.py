"""Which zygote an instance comes from, and what that has imported."""

from __future__ import annotations

import pytest

from quickthaw_platform import plugins
from quickthaw_platform.errors import PluginBroken
from quickthaw_platform.worker.zygotes import named_by_engines, preloads

HEAVY = ("heavy",)
LIGHT = ("light",)


def test_each_engine_has_the_modules_that_it_names() -> None:
    assert preloads({"one": HEAVY, "other": LIGHT}, None) == {"one": HEAVY, "other": LIGHT}


def test_an_engine_that_names_none_shares_the_zygote_that_imports_least() -> None:
    named = {"any": (), "one": (*HEAVY, *LIGHT), "other": LIGHT}
    assert preloads(named, None)["any"] == LIGHT


def test_engines_that_name_nothing_share_one_that_imports_nothing() -> None:
    assert preloads({"any": (), "other": ()}, None) == {"any": (), "other": ()}


@pytest.mark.parametrize("chosen", [(), HEAVY])
def test_modules_that_are_chosen_are_those_of_all(chosen: tuple[str, ...]) -> None:
    assert preloads({"one": HEAVY, "other": LIGHT, "any": ()}, chosen) == dict.fromkeys(("one", "other", "any"), chosen)


def test_engines_built_on_transformers_share_a_zygote_and_llama_cpp_has_another() -> None:
    found = preloads(named_by_engines(), None)
    assert found["vllm"] == found["transformers"]
    assert found["llamacpp"] == found["echo"] != found["transformers"]


def test_engines_that_say_nothing_of_modules_or_do_not_load_need_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def engine_class(name: str) -> type:
        if name == "broken":
            raise PluginBroken("it does not load")
        return type("Older", (), {})

    monkeypatch.setattr(plugins, "names", lambda _group: ["broken", "older"])
    monkeypatch.setattr(plugins, "engine_class", engine_class)
    assert named_by_engines() == {"broken": (), "older": ()}
